"""Consents of others and of ours, as the tests of interoperability use them."""

import json
from pathlib import Path
from typing import Any

from services.consent.domain.terms import Form, Giver
from services.consent.interchange.documents import Found
from services.consent.interchange.translation import Directory, KnownText
from shared.domain import Json
from tests.support.workplace import INFORMED

FILES = Path(__file__).parent / "fhir"
NAMES = sorted(str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.suffix in (".xml", ".json"))
MII = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"
LOINC = "http://loinc.org"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CATEGORY, PURPOSE = "urn:handschlag:category", "urn:handschlag:purpose"
TEXT = "https://klinik.example/einwilligung/3"

DISCHARGE = {"coding": [{"system": LOINC, "code": "18842-5"}]}
COORDINATION = {"system": ACT_REASON, "code": "COC"}
DIRECTORY = Directory(
    persons={"Patient/1": "p-1"},
    recipients={"Organization/drv": "drv", "Organization/aok": "aok"},
    texts={TEXT: KnownText(information=INFORMED, form=Form.WRITTEN, voluntary=True, given_by=(Giver.DATA_SUBJECT,))},
)


def actor(reference: str = "Organization/drv", role: str = "PRCP") -> Json:
    return {"role": {"coding": [{"system": PARTICIPATION, "code": role}]}, "reference": {"reference": reference}}


def provision(kind: str = "permit", **changed: Any) -> Json:
    """To one recipient, one kind of document, one purpose; `without` leaves an element out."""
    usual: Json = {"type": kind, "actor": [actor()], "purpose": [COORDINATION], "code": [DISCHARGE]}
    usual |= {name.removesuffix("_"): each for name, each in changed.items()}
    return {name: each for name, each in usual.items() if each is not None}


def consent(*provisions: Json, **changed: Any) -> Json:
    """A consent of the kind of the German broad consent: everything denied but what stands in it."""
    usual: Json = {
        "resourceType": "Consent",
        "id": "c-1",
        "status": "active",
        "patient": {"reference": "Patient/1"},
        "dateTime": "2026-01-15",
        "policy": [{"uri": TEXT}],
        "provision": {"type": "deny", "provision": list(provisions)},
    }
    usual |= changed
    return {name: each for name, each in usual.items() if each is not None}


def found(content: Json) -> Found:
    return Found("Consent", "Consent", content)


def written(folder: Path, content: Json, name: str = "consent.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), "utf-8")
    return path
