"""Consents of ours as FHIR R4 Consent, refusals, pauses and withdrawals included.

Who reads no more than the standard finds nothing permitted that does not stand: `active` is only what is given and not
paused, used up, replaced, run out or withdrawn, and inside it everything is denied but the one provision. What the
standard cannot say stands in two extensions: the terms beside the provision, and the course.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from services.consent.domain.consent import Status
from services.consent.domain.terms import Giver, Terms
from services.consent.interchange.tables import tables
from services.consent.queries import ConsentView
from shared.domain import Json
from shared.schema import dump

STATUSES = {Status.GIVEN: "active", Status.NOT_YET: "active", Status.REFUSED: "rejected"}
INACTIVE = "inactive"
LOINC, ACT_CODE = "http://loinc.org", "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


def consent_resource(view: ConsentView, agency: str) -> Json:
    """The Consent. Ids of person, recipient and agency are identifiers of ours; no name stands in it."""
    own, terms = tables().own, view.terms
    patient = {"type": "Patient", "identifier": {"system": own["person"], "value": terms.person_id}}
    made: Json = {
        "resourceType": "Consent",
        "id": view.consent_id,
        "extension": [_folded(own["terms"], _beside(view)), _folded(own["course"], _course(view))],
        "status": STATUSES.get(view.status, INACTIVE),
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
        "patient": patient,
    }
    said_on = view.given_on or view.refused_on
    if said_on:
        made["dateTime"] = said_on.isoformat()
    if Giver.DATA_SUBJECT in terms.given_by:
        made["performer"] = [patient]
    return made | {
        "organization": [{"type": "Organization", "identifier": {"system": own["agency"], "value": agency}}],
        "policy": [{"uri": f"{own['text']}{terms.information.text_version}"}],
        "policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTOUT"}]},
        "provision": {
            "type": "deny",
            "provision": [_provision(terms, "deny" if view.status is Status.REFUSED else "permit")],
        },
    }


def bundle(resources: Iterable[Json]) -> Json:
    """A collection of consents."""
    entries = [{"fullUrl": f"urn:uuid:{each.get('id', '')}", "resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def _provision(terms: Terms, kind: str) -> Json:
    own, use = tables().own, terms.use
    recipient = {"type": "Organization", "identifier": {"system": own["partner"], "value": terms.recipient}}
    made: Json = {"type": kind}
    period = _period(terms.valid_from, terms.valid_until) if kind == "permit" else {}
    if period:
        made["period"] = period
    made["actor"] = [
        {"role": {"coding": [{"system": PARTICIPATION, "code": "PRCP"}]}, "reference": recipient},
    ]
    made["purpose"] = [{"system": own["purpose"], "code": terms.purpose}]
    made["code"] = [{"coding": [{"system": own["category"], "code": each}]} for each in terms.categories]
    data_period = _period(use.data_from, use.data_until) if use else {}
    if data_period:
        made["dataPeriod"] = data_period
    return made


def _period(first: date | None, last: date | None) -> Json:
    ends = {"start": first, "end": last}
    return {name: day.isoformat() for name, day in ends.items() if day}


def _beside(view: ConsentView) -> Json:
    """What of the terms has no element of its own; uses that are left, of those that are limited for ever."""
    terms = view.terms
    found: Json = {
        "information": {name: each for name, each in dump(terms.information).items() if each is not None},
        "form": str(terms.form),
        "voluntary": terms.voluntary,
        "given_by": [str(each) for each in terms.given_by],
    }
    use = terms.use
    if use and (use.times or use.erase_at):
        left = view.uses_left if use.per is None and view.uses_left is not None else use.times
        limits = {"times": left, "per": use.per and str(use.per), "erase_at": use.erase_at and use.erase_at.isoformat()}
        found["use"] = {name: each for name, each in limits.items() if each is not None}
    return found


def _course(view: ConsentView) -> Json:
    days = {
        "given_on": view.given_on,
        "refused_on": view.refused_on,
        "withdrawn_on": view.withdrawn_on,
        "paused_on": view.paused_on,
        "ended_on": view.ended_on,
    }
    course: Json = {"status": str(view.status)} | {name: day.isoformat() for name, day in days.items() if day}
    if view.replaced_by:
        course["replaced_by"] = view.replaced_by
    proof = view.terms.proof
    told = {"representation_id": view.terms.representation_id, "document": proof.document if proof else None}
    return course | {name: text for name, text in told.items() if text}


def _folded(url: str, value: Any) -> Json:
    """A value as an extension: members by their names, the members of a list under a name that ends in []."""
    if isinstance(value, dict):
        members: list[Json] = []
        for name, inner in value.items():
            if isinstance(inner, list):
                members += [_folded(f"{name}[]", each) for each in inner]
            else:
                members.append(_folded(name, inner))
        return {"url": url, "extension": members}
    kind = "Boolean" if isinstance(value, bool) else "Integer" if isinstance(value, int) else "String"
    return {"url": url, f"value{kind}": value}
