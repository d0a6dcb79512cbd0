"""Entries of the audit log as FHIR R4 AuditEvent, in the patterns of IHE BALP (profiles.ihe.net/ITI/BALP).

A ruling is an authorisation decision (AuthZconsent); content that was handed over is a privacy disclosure at its
source, and what the recipient acknowledged one at the recipient. Other kinds of entries have no pattern there and
become nothing. `contracts/formats/audit-event.md` says what stands where, and what these events do not prove.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.audit import Leaf
from shared.clock import timestamp
from shared.merkle import leaf_hash

Json = dict[str, Any]

DCM = "http://dicom.nema.org/resources/ontology/DCM"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SECURITY_ROLE = "http://terminology.hl7.org/CodeSystem/extra-security-role-type"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
RESOURCES = "http://hl7.org/fhir/resource-types"
SNOMED = "http://snomed.info/sct"
BALP = "https://profiles.ihe.net/ITI/BALP"

MACHINE_NAME, URI = "1", "5"
APPLICATION_SERVER, SECURITY_SERVER = "4", "6"
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
RULINGS = {"intent": SUCCESS, "looked": SUCCESS, "denial": SERIOUS_FAILURE}
HANDED_OVER = "handed_over"
ACKNOWLEDGED = {"matched": SUCCESS, "not_found": MINOR_FAILURE, "ambiguous": MINOR_FAILURE}

PURPOSES = {
    "treatment": "TREAT",
    "care_transition": "COC",
    "emergency_help": "ETREAT",
    "case_management_sick_pay": "CAREMGT",
    "case_management_pension": "CAREMGT",
    "work_capacity_determination": "ELIGDTRM",
    "voucher_billing": "HPAYMT",
    "evaluation_research": "HRESCH",
    "social_court_proceeding": "HLEGAL",
    "data_subject_access": "PATRQT",
}
"""The purposes that v3-ActReason knows, too. The others stand in our own word alone."""

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class Logged:
    """An entry, where it stands, and the consents that its ruling rests on."""

    origin: str
    data: bytes
    consents: Sequence[str] = ()

    @property
    def leaf(self) -> Leaf:
        return Leaf.parse(self.data)

    @property
    def id(self) -> str:
        """The RFC 6962 hash of the entry: by it the event is found in the log again."""
        return leaf_hash(self.data).hex()


def audit_event(entry: Logged, intent: Logged | None = None, person: str | None = None) -> Json | None:
    """The event, or None where there is no pattern. `intent` is what an outcome is about; without it there is none.

    The patient is `person`, where the reader asked for somebody; otherwise the entry's commitment stands in their
    place, which says nothing to those who cannot open it and does not return in other events.
    """
    leaf = entry.leaf
    if leaf.kind in RULINGS:
        return _decision(entry, leaf, person)
    if leaf.kind != "outcome" or intent is None:
        return None
    if leaf.result == HANDED_OVER:
        return _at_source(entry, leaf, intent, person)
    if leaf.result in ACKNOWLEDGED:
        return _at_recipient(entry, leaf, intent, person)
    return None


def _decision(entry: Logged, leaf: Leaf, person: str | None) -> Json:
    desc = "; ".join((str(leaf.decision), leaf.kind, *leaf.norms, ", ".join(leaf.categories)))
    return {
        **_frame(entry, leaf, "AuthZconsent", "E", RULINGS[leaf.kind]),
        "type": _coding(DCM, "110113", "Security Alert"),
        "subtype": [_coding(f"{BALP}/CodeSystem/AuthZsubType", "AuthZ-Consent")],
        "outcomeDesc": desc,
        "agent": [
            {
                "type": _concept(DCM, "110150"),
                "who": _reference("Device", _host(entry)),
                "network": {"address": _host(entry), "type": MACHINE_NAME},
                "requestor": False,
            },
            {
                "type": _concept(PARTICIPATION, "IRCP"),
                "who": _reference("Organization", leaf.recipient),
                "requestor": True,
                "purposeOfUse": [_purpose(leaf, entry)],
            },
            {
                "type": _concept(ROLE_CLASS, "PROV"),
                "who": _reference("Organization", leaf.sender),
                "requestor": False,
            },
            {
                "type": _concept(SECURITY_ROLE, "authserver"),
                "who": _reference("Device", "audit"),
                "requestor": False,
            },
        ],
        "entity": [_patient(leaf, person), _grounds(entry, leaf)],
        "source": {
            "site": _host(entry),
            "observer": _reference("Device", "audit"),
            "type": [_coding(SOURCE_TYPE, SECURITY_SERVER)],
        },
    }


def _at_source(entry: Logged, leaf: Leaf, intent: Logged, person: str | None) -> Json:
    return {
        **_frame(entry, leaf, "PrivacyDisclosure.Source", "R", SUCCESS),
        "type": _coding(DCM, "110106", "Export"),
        "subtype": [
            _coding(LIFECYCLE, "disclose", "Disclose Record Lifecycle Event"),
            _coding(RESTFUL, "read", "read"),
        ],
        **_disclosure(entry, intent, person),
        "source": {
            "site": _host(entry),
            "observer": {"display": str(leaf.sender)},
            "type": [_coding(SOURCE_TYPE, APPLICATION_SERVER, "Application Server")],
        },
    }


def _at_recipient(entry: Logged, leaf: Leaf, intent: Logged, person: str | None) -> Json:
    return {
        **_frame(entry, leaf, "PrivacyDisclosure.Recipient", "C", ACKNOWLEDGED[str(leaf.result)]),
        "type": _coding(DCM, "110107", "Import"),
        "subtype": [_coding(LIFECYCLE, "disclose", "Disclose Record Lifecycle Event")],
        **_disclosure(entry, intent, person),
        "source": {
            "site": str(leaf.recipient),
            "observer": _reference("Organization", leaf.recipient),
            "type": [_coding(SOURCE_TYPE, APPLICATION_SERVER, "Application Server")],
        },
    }


def _disclosure(entry: Logged, intent: Logged, person: str | None) -> Json:
    """Who gave what to whom, at whose request: the person's, where the person consented."""
    about = intent.leaf
    patient = _patient(about, person)
    consented = {"type": _concept(SNOMED, "429577009", "Patient Advocate"), "who": patient["what"], "requestor": True}
    by_law = {
        "type": _concept(ROLE_CLASS, "PROV"),
        "who": _reference("Organization", about.sender),
        "requestor": True,
    }
    report = {
        "type": _coding(ENTITY_TYPE, "2", "System Object"),
        "role": _coding(OBJECT_ROLE, "3", "Report"),
        "what": {"reference": f"DocumentReference/{intent.id}"},
    }
    return {
        "purposeOfEvent": [_purpose(about, intent)],
        "agent": [
            {
                "type": _concept(DCM, "110153", "Source Role ID"),
                "who": {"display": str(about.sender)},
                "requestor": False,
                "network": {"address": _host(entry), "type": MACHINE_NAME},
            },
            {
                "type": _concept(DCM, "110152", "Destination Role ID"),
                "who": {"display": str(about.recipient)},
                "requestor": False,
                "network": {"address": f"urn:handschlag:partner:{about.recipient}", "type": URI},
            },
            consented if intent.consents else by_law,
        ],
        "entity": [patient, report],
    }


def _frame(entry: Logged, leaf: Leaf, profile: str, action: str, outcome: str) -> Json:
    return {
        "resourceType": "AuditEvent",
        "id": entry.id,
        "meta": {"profile": [f"{BALP}/StructureDefinition/IHE.BasicAudit.{profile}"]},
        "action": action,
        "recorded": timestamp(leaf.time) if leaf.time else "",
        "outcome": outcome,
    }


def _grounds(entry: Logged, leaf: Leaf) -> Json:
    """The consent that carries the decision; where the law does, or nothing, the rules by which it was made."""
    if len(entry.consents) == 1:
        what = _reference("Consent", entry.consents[0])
    elif entry.consents:
        what = {"display": ", ".join(entry.consents)}
    else:
        what = {"display": f"no consent; rules {leaf.rule_set}"}
    return {"type": _coding(RESOURCES, "Consent"), "what": what}


def _patient(leaf: Leaf, person: str | None) -> Json:
    return {
        "type": _coding(ENTITY_TYPE, "1"),
        "role": _coding(OBJECT_ROLE, "1"),
        "what": _reference("Patient", person or leaf.commitments.get("person")),
    }


def _purpose(leaf: Leaf, entry: Logged) -> Json:
    code = PURPOSES.get(leaf.purpose or "") or ("PATRQT" if entry.consents else None)
    coded = {"coding": [_coding(ACT_REASON, code)]} if code else {}
    return {**coded, "text": str(leaf.purpose)}


def _reference(kind: str, name: str | None) -> Json:
    """A reference where the name can be the id of a resource."""
    return {"reference": f"{kind}/{name}"} if name and _ID.fullmatch(name) else {"display": str(name)}


def _host(entry: Logged) -> str:
    return entry.origin.split("/", 1)[0]


def _coding(system: str, code: str, display: str = "") -> Json:
    return {"system": system, "code": code, **({"display": display} if display else {})}


def _concept(system: str, code: str, display: str = "") -> Json:
    return {"coding": [_coding(system, code, display)]}
