"""The worked cases go through the whole pipeline over HTTP: permits are delivered, forbids are refused.

A case is told to the platform as its users would: agency, partner, person, files, consents, releases and objections
are recorded where they belong; only what a deciding person has to say is stated in the request. What a case does not
name was asked and answered no.
"""

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from joserfc.jwk import OKPKey

from services.command.demo.platform_client import As
from shared.clock import SystemClock
from shared.law import LOOKED_UP, needs_break_glass
from shared.policy import decide, present_law, request_from_json
from shared.policy.consent import ENTRUSTED, names_a_person
from tests.journeys.acting import INFORMED, new_key
from tests.support.platform import Platform
from tests.support.shared_data import shared_data

Json = dict[str, Any]
TODAY = SystemClock().today()
RECORDS = ("consents", "secrecy_releases", "research_approval_75")
AT_LEAST = 12
pytestmark = pytest.mark.shared_data


@dataclass
class Town:
    """Agencies and partners of any kind, made when a case needs them, each with programs that may sign in."""

    platform: Platform
    known: set[str] = field(default_factory=set)

    def client(self, role: str, agency: str, partner: str = "") -> As:
        """A program with that role; its account is added to the file of accounts."""
        client_id = "-".join(part for part in ("case", role.replace("_", "-"), agency, partner) if part)
        path = self.platform.settings.state / "demo.json"
        accounts = json.loads(path.read_text("utf-8"))
        if client_id not in self.known:
            self.known.add(client_id)
            more = {"partner": partner} if partner else {}
            account = {"client_id": client_id, "secret": "s" * 40, "role": role, "agency": agency, **more}
            accounts["clients"].append(account)
            draft = Path(f"{path}.new")
            draft.write_text(json.dumps(accounts), "utf-8")
            draft.replace(path)
        return self.platform.client().machine(client_id, "s" * 40)

    def second_person(self, agency: str) -> As:
        """Somebody at the agency who signs in and decides what another has prepared."""
        sub = f"leitung-{agency}"
        path = self.platform.settings.state / "demo.json"
        accounts = json.loads(path.read_text("utf-8"))
        if sub not in self.known:
            self.known.add(sub)
            accounts["persons"].append({"sub": sub, "name": "Leitung", "role": "case_worker", "agency": agency})
            draft = Path(f"{path}.new")
            draft.write_text(json.dumps(accounts), "utf-8")
            draft.replace(path)
        return self.platform.client().person(sub)

    def agency(self, body: str, domain: str) -> str:
        agency = f"case-{body.replace('_', '-')}"
        kind = {"body": body, "domain": domain}
        operator = self.client("operator", agency)
        operator.post("/agencies", {"agency_id": agency, "name": agency, "kind": kind}, f"agency-{agency}")
        return agency

    def partner(self, agency: str, body: str, domain: str) -> str:
        partner = f"case-{body.replace('_', '-')}"
        if (place := f"{agency}/{partner}") not in self.known:
            self.known.add(place)
            encryption, medical = OKPKey.generate_key("X25519"), OKPKey.generate_key("X25519")
            signing = OKPKey.generate_key("Ed25519")
            keys = {"encryption_key": encryption, "medical_encryption_key": medical, "signing_key": signing}
            described = {
                "partner_id": partner,
                "name": partner,
                "kind": {"body": body, "domain": domain},
                "channel": "feed",
                **{use: key.as_dict(private=False) for use, key in keys.items()},
            }
            operator, key = self.client("operator", agency), f"partner-{place}".replace("/", "-")
            operator.post("/partners", described, key)
            signed = {"on": TODAY.isoformat(), "text_version": "1"}
            operator.post(f"/partners/{partner}/commitment", signed, f"{key}-commitment")
        return partner


@pytest.fixture(scope="module")
def town(embedded_platform: Platform) -> Town:
    return Town(embedded_platform)


def cases() -> list[Json]:
    found: list[Json] = yaml.safe_load(shared_data("legal", "cases-public.yaml").read_text("utf-8"))["cases"]
    return [case for case in found if goes_today(case)]


def goes_today(case: Json) -> bool:
    """Whether the law of today still decides the case as it stands, with consents given today."""
    facts = {**case["facts"]}
    if "research_approval_75" in facts:
        return False
    for record in (*facts.get("consents", []), *facts.get("secrecy_releases", [])):
        if record["status"] != "given":
            return False
    fresh = {"given_on": TODAY.isoformat(), "valid_until": None}
    for kind in ("consents", "secrecy_releases"):
        if kind in facts:
            facts[kind] = [{**record, **fresh} for record in facts[kind]]
    asked = {key: case[key] for key in ("sender", "recipient", "categories", "purpose")}
    request = request_from_json({**asked, "facts": facts, "date": TODAY}, unnamed="no")
    decision = decide(present_law(), request)
    return decision.permitted == (case["expected"] == "permit") and not (set(facts) & (LOOKED_UP - REGISTERED))


HELD = {
    "anonymous_data": '[{"group": "all", "count": 40}]',
    "child_protection_feedback": '{"confirmed": true, "active": false}',
}
"""Where the law says in which form something travels, the file holds it so."""

REGISTERED = frozenset({"objection_notice_given", "objection_76_2"})


def stated(case: Json) -> Json:
    """Every question that the platform does not answer itself, with the answer of the case: no, if it gives none."""
    words = present_law().vocabulary.facts.values()
    asked = [word.id for word in words if word.kind == "boolean" and word.id not in LOOKED_UP]
    return {name: case["facts"].get(name, False) for name in asked}


def birth_date(case: Json) -> str:
    age = int(case["facts"].get("age", 40))
    return date(TODAY.year - age - 1, 1, 1).isoformat() if age else date(TODAY.year - 1, 1, 1).isoformat()


def tell(town: Town, case: Json) -> tuple[As, str, str, str]:
    """Record everything that the case presupposes."""
    agency = town.agency(case["sender"]["body"], case["sender"]["domain"])
    partner = town.partner(agency, case["recipient"]["body"], case["recipient"]["domain"])
    worker = town.client("case_worker", agency)
    person = str(uuid4())
    described = {"person_id": person, "name": f"Person {case['id']}", "birth_date": birth_date(case)}
    worker.post("/persons", {**described, "contact": "Telefon 0"}, new_key())
    for category in case["categories"]:
        held = HELD.get(category, f"Text zu {category}")
        text = {"person_id": person, "category": category, "content": held, "origin": "case"}
        worker.post("/entries", text, new_key())
    record_will(worker, case, person, partner)
    return worker, agency, partner, person


SPEAKS_FOR_ANOTHER = ("legal_guardian", "authorised_representative")


def representation(worker: As, person: str, given_by: list[str]) -> Json:
    """Who speaks for the person has a representation on record; the case presupposes that it is there."""
    kinds = [kind for kind in SPEAKS_FOR_ANOTHER if kind in given_by]
    if not kinds:
        return {}
    known = {"person_id": person, "kind": kinds[0], "name": "Erika Beispiel", "evidence": "bescheinigung-1"}
    made = worker.post("/representations", {**known, "acts": ["consent", "release"]}, new_key())
    return {"representation_id": made["representation_id"]}


def entrusted_by_others(terms: Json) -> bool:
    """A consent of somebody who cannot give it is not even recorded; the case is denied all the same."""
    return ENTRUSTED in terms["categories"] and "entrusting_person" not in terms["given_by"]


def record_will(worker: As, case: Json, person: str, partner: str) -> None:
    facts = case["facts"]
    for consent in facts.get("consents", []):
        for purpose in consent["purposes"]:
            terms = {
                "person_id": person,
                "recipient": partner,
                "purpose": purpose,
                "categories": consent["categories"],
                "form": consent["form"],
                "given_by": consent["given_by"],
                "information": INFORMED,
                "voluntary": consent["voluntary"],
                **representation(worker, person, consent["given_by"]),
            }
            if not entrusted_by_others(terms):
                worker.post("/consents", {"terms": terms}, new_key())
    for release in facts.get("secrecy_releases", []):
        for professional in filter(names_a_person, release["professionals"]):
            given = {"person_id": person, "professional": professional, "recipient": partner}
            worker.post("/releases", {**given, "categories": release["categories"], "form": release["form"]}, new_key())
    if facts.get("objection_notice_given"):
        worker.post("/objection-notices", {"person_id": person}, new_key())
    if facts.get("objection_76_2"):
        worker.post("/objections", {"person_id": person}, new_key())


def test_the_cases_are_decided_and_carried_out_by_the_whole_pipeline(town: Town) -> None:
    wrong, permitted, refused = [], 0, 0
    for case in cases():
        worker, agency, partner, person = tell(town, case)
        body = {
            "person_id": person,
            "partner_id": partner,
            "categories": case["categories"],
            "purpose": case["purpose"],
            "facts": stated(case),
            "reasons": f"Fall {case['id']}",
            "decided_by": "fachkraft",
        }
        if needs_break_glass(case["purpose"]):
            body["break_glass"] = {"ends_at": (SystemClock().now() + timedelta(hours=2)).isoformat()}
        made = worker.post("/disclosures", body, new_key())
        if made["state"] == "awaiting_confirmation":
            decided = {"confirm": True, "reason": "geprüft"}
            place = f"/disclosures/{made['disclosure_id']}/confirmation"
            made = town.second_person(agency).post(place, decided, new_key())
        fetched = town.client("partner_system", agency, partner).get("/feed", after=0, limit=100)["items"]
        delivered = made["disclosure_id"] in [item["document"]["id"] for item in fetched]
        expected = case["expected"] == "permit"
        if delivered != expected or (made["state"] == "denied") == expected:
            wrong.append((case["id"], made["state"], delivered, made["answer"][:400]))
        permitted, refused = permitted + expected, refused + (not expected)
    assert wrong == []
    assert permitted >= AT_LEAST
    assert refused >= AT_LEAST
