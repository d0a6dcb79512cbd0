"""Entries as FHIR AuditEvent: parsed by the R4B models, and of the elements and code systems of the IHE BALP examples.

What neither checks: the invariants of the profiles (StructureDefinitions), whether codes belong to their systems, and
whether what is referred to exists.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from services.command.audit_event import Logged, audit_event
from shared.audit import Leaf, Reference
from shared.merkle import leaf_hash

EXAMPLES = Path(__file__).parent / "balp"
ORIGIN = "handschlag.example/jobcenter/2026"
OWN = {("agent", "purposeOfUse", "text"), ("purposeOfEvent", "text"), ("outcomeDesc",)}
"""What ours have beside the examples: our word for the purpose, and what was decided about what, by which norms."""
LEFT_OUT = {"display", "security", "code", "system", "reference", "outcomeDesc"}
"""What may be missing: how something is called beside its code, and that the example is one."""


def entry(*consents, **changed):
    usual = {
        "kind": "intent",
        "time": datetime(2026, 3, 2, 11, tzinfo=UTC),
        "sender": "jobcenter",
        "recipient": "drv",
        "purpose": "treatment",
        "categories": ("master_data",),
        "decision": "permit",
        "norms": ("§ 67b Abs. 2 SGB X",),
        "rule_set": "ab" * 32,
        "commitments": {"person": "cd" * 32},
    }
    return Logged(ORIGIN, Leaf(**(usual | changed)).to_bytes(), consents)


INTENT = entry("consent-1")
BY_LAW = entry(purpose="own_statutory_task")
DENIAL = entry(kind="denial", decision="deny")
DENIAL_OF_CONSENT = entry("consent-1", kind="denial", decision="deny")


def outcome(result):
    return entry(
        kind="outcome",
        about=Reference(ORIGIN, 1),
        result=result,
        **dict.fromkeys(("purpose", "decision", "rule_set")),
        **dict.fromkeys(("categories", "norms"), ()),
        commitments={},
    )


CASES = {
    "auditAuthZconsent": [(INTENT, None)],
    "auditAuthZconsent-deny": [(DENIAL_OF_CONSENT, None), (DENIAL, None)],
    "auditPrivacyDisclosure-source": [(outcome("handed_over"), INTENT)],
    "auditPrivacyDisclosure-recipient": [(outcome("matched"), INTENT), (outcome("not_found"), INTENT)],
}
PAIRS = [(name, *case) for name, cases in CASES.items() for case in cases]


def example(name):
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def elements(value, path=()):
    """Every path of element names."""
    if isinstance(value, list):
        return set().union(*(elements(each, path) for each in value))
    if isinstance(value, dict):
        return {path}.union(*(elements(inner, (*path, name)) for name, inner in value.items()))
    return {path}


def lengths(value, path=()):
    """How many of each repeating element stand in each parent."""
    if isinstance(value, list):
        return [(path, len(value)), *(found for each in value for found in lengths(each, path))]
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in lengths(inner, (*path, name))]
    return []


def as_reference(path):
    """Who or what is named by a reference or, where there is none, by a text: the examples have both."""
    return (*path[:-1], "reference") if path[-2:-1] in (("who",), ("what",), ("observer",)) else path


def systems(value):
    """Every code system that is used at an element."""
    if isinstance(value, list):
        return set().union(*map(systems, value))
    if isinstance(value, dict):
        own = {value["system"]} if "system" in value else set()
        return own.union(*map(systems, value.values()))
    return set()


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_examples_are_read_by_the_same_models(name):
    assert AuditEvent.model_validate(example(name)).type.code == example(name)["type"]["code"]


@pytest.mark.parametrize(("name", "event", "intent"), PAIRS)
@pytest.mark.parametrize("person", [None, "8b7a0f3e-1111-4111-8111-111111111111"])
def test_an_event_is_of_the_elements_systems_and_cardinalities_of_its_example(name, event, intent, person):
    made = audit_event(event, intent, person)
    read = AuditEvent.model_validate_json(json.dumps(made))
    assert json.loads(read.model_dump_json())["type"]["code"] == made["type"]["code"]
    pattern = example(name)
    assert not {as_reference(path) for path in elements(made) - OWN} - {
        as_reference(path) for path in elements(pattern)
    }
    assert not {path for path in elements(pattern) - elements(made) if path[-1] not in LEFT_OUT}
    assert sorted(lengths(made)) == sorted(each for each in lengths(pattern) if each[0] != ("meta", "security"))
    assert systems(made) <= systems(pattern) | {"http://terminology.hl7.org/CodeSystem/v3-RoleClass"}
    assert made["meta"]["profile"] == pattern["meta"]["profile"]
    assert [made["type"]["code"], made["action"]] == [pattern["type"]["code"], pattern["action"]]
    assert [each["code"] for each in made["subtype"]] == [each["code"] for each in pattern["subtype"]]


def test_the_outcome_says_how_it_went():
    said = {"permit": INTENT, "deny": DENIAL, "looked": entry(kind="looked", decision="deny")}
    assert {name: audit_event(each)["outcome"] for name, each in said.items()} == {
        "permit": "0",
        "deny": "8",
        "looked": "0",
    }
    acknowledged = ("matched", "not_found", "ambiguous")
    assert [audit_event(outcome(each), INTENT)["outcome"] for each in acknowledged] == ["0", "4", "4"]


def test_a_decision_names_consent_or_rules_requester_recipient_purpose_and_person():
    made = audit_event(INTENT, person="p-1")
    who = {each["type"]["coding"][0]["code"]: each["who"] for each in made["agent"]}
    assert who["IRCP"] == {"reference": "Organization/drv"}
    assert who["PROV"] == {"reference": "Organization/jobcenter"}
    assert made["agent"][1]["purposeOfUse"][0]["text"] == "treatment"
    assert [each["what"] for each in made["entity"]] == [
        {"reference": "Patient/p-1"},
        {"reference": "Consent/consent-1"},
    ]
    assert "§ 67b Abs. 2 SGB X" in made["outcomeDesc"]
    by_law = audit_event(BY_LAW)["entity"][1]["what"]
    assert by_law == {"display": f"no consent; rules {'ab' * 32}"}
    several = audit_event(entry("c-1", "c-2"))["entity"]
    assert (len(several), several[1]["what"]) == (2, {"display": "c-1, c-2"})


def test_without_a_person_asked_for_only_the_commitment_stands_there():
    for event, intent in ((INTENT, None), (outcome("handed_over"), INTENT)):
        made = audit_event(event, intent)
        assert made["entity"][0]["what"] == {"reference": f"Patient/{'cd' * 32}"}


def test_an_event_is_found_in_the_log_again_by_its_id():
    made = audit_event(INTENT)
    assert made["id"] == leaf_hash(INTENT.data).hex()
    assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", made["id"])


def test_at_whose_request_content_left_is_the_persons_only_where_they_consented():
    asked = [audit_event(outcome("handed_over"), intent)["agent"][2] for intent in (INTENT, BY_LAW)]
    assert [each["type"]["coding"][0]["code"] for each in asked] == ["429577009", "PROV"]
    assert all(each["requestor"] for each in asked)


@pytest.mark.parametrize("kind", ["year_opened", "log_read", "break_glass", "retraction", "erasure", "rule_set"])
def test_what_has_no_pattern_becomes_no_event(kind):
    assert audit_event(entry(kind=kind)) is None
    assert audit_event(outcome("stopped"), INTENT) is None
    assert audit_event(outcome("handed_over")) is None
