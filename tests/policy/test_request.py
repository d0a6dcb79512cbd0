import json
from datetime import date

import pytest

from shared.errors import Invalid
from shared.policy import decide, present_law, request_from_json
from shared.policy.engine import known_facts

LAW = present_law()
JSON = {
    "date": "2026-07-06",
    "sender": {"body": "jobcenter", "domain": "sgb_ii"},
    "recipient": {"body": "pension_insurer", "domain": "sgb_vi"},
    "categories": ["benefit_data"],
    "purpose": "application_forwarding",
    "facts": {"necessary": True},
}
RECORD = {
    "status": "given",
    "given_on": "2026-07-01",
    "form": "written",
    "given_by": ["data_subject"],
    "recipients": ["pension_insurer"],
    "categories": ["benefit_data"],
}
CONSENT = {**RECORD, "purposes": ["application_forwarding"], "informed_67b_2": True, "voluntary": True}


def pointers(change, unnamed="unknown"):
    with pytest.raises(Invalid) as refused:
        request_from_json({**JSON, **change}, unnamed=unnamed)
    assert refused.value.code == "policy.request_not_understood"
    return {problem.pointer: problem.detail for problem in refused.value.problems}


def test_a_request_is_read():
    request = request_from_json({**JSON, "facts": {"consents": [CONSENT], "age": 30}}, unnamed="unknown")
    assert request.day == date(2026, 7, 6)
    assert request.sender.body == "jobcenter"
    assert request.facts == {"age": 30}
    assert request.consents[0].given_on == date(2026, 7, 1)
    assert request.consents[0].informed_67b_2


def test_an_unnamed_fact_is_unknown_in_a_request_and_no_in_a_case():
    outside = request_from_json(JSON, unnamed="unknown")
    case = request_from_json(JSON, unnamed="no")
    assert "erasure_due" not in outside.facts
    assert case.facts["erasure_due"] is False
    assert not decide(LAW, outside).permitted
    assert decide(LAW, case).permitted


def test_a_request_is_told_which_questions_are_open():
    open_questions = decide(LAW, request_from_json(JSON, unnamed="unknown")).categories[0].unanswered
    assert "erasure_due" in open_questions
    assert "automated_retrieval" in open_questions


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"date": None}, "/date", "the date is missing"),
        ({"date": "yesterday"}, "/date", "'yesterday' is not a day"),
        ({"sender": {"body": "bank"}}, "/sender/body", "unknown body 'bank'"),
        ({"sender": None}, "/sender/body", "no body is named"),
        (
            {"recipient": {"body": "jobcenter", "domain": "sgb_xx"}},
            "/recipient/domain",
            "unknown legal domain 'sgb_xx'",
        ),
        ({"recipient": {"body": "jobcenter", "name": "x"}}, "/recipient/name", "unknown field 'name'"),
        ({"categories": []}, "/categories", "no category is named"),
        ({"categories": ["benefit_data", "secrets"]}, "/categories/1", "unknown category 'secrets'"),
        ({"purpose": "curiosity"}, "/purpose", "unknown purpose 'curiosity'"),
        ({"purpose": None}, "/purpose", "no purpose is named"),
        ({"facts": {"weather": True}}, "/facts/weather", "unknown fact 'weather'"),
        ({"facts": {"necessary": "yes"}}, "/facts/necessary", "'necessary' is yes or no"),
        ({"facts": {"age": "17"}}, "/facts/age", "'age' is a whole number"),
        ({"facts": {"consent_covers": True}}, "/facts/consent_covers", "'consent_covers' is computed, never stated"),
        ({"facts_by_category": {"secrets": {}}}, "/facts_by_category/secrets", "unknown category 'secrets'"),
        ({"basis": "§ 1 KKG"}, "/basis", "no permit rests on '§ 1 KKG'"),
        ({"basis": "because"}, "/basis", "unknown norm 'because'"),
        ({"urgent": True}, "/urgent", "unknown field 'urgent'"),
        ({"facts": {"consents": [{**CONSENT, "mood": 1}]}}, "/facts/consents/0/mood", "unknown field 'mood'"),
        (
            {"facts": {"consents": [{**CONSENT, "status": "maybe"}]}},
            "/facts/consents/0/status",
            "unknown status 'maybe'",
        ),
        (
            {"facts": {"consents": [{**CONSENT, "categories": ["x"]}]}},
            "/facts/consents/0/categories/0",
            "unknown word 'x'",
        ),
    ],
)
def test_an_unknown_word_is_refused_by_name_with_its_place(change, pointer, detail):
    assert pointers(change)[pointer] == detail


def test_every_problem_is_named_at_once():
    assert len(pointers({"purpose": "x", "categories": ["y"], "date": None})) == 3


def test_a_blanket_consent_is_understood_and_covers_nothing():
    blanket = {**CONSENT, "recipients": ["any"]}
    request = request_from_json({**JSON, "facts": {"consents": [blanket]}}, unnamed="no")
    assert not decide(LAW, request).permitted


def test_the_basis_may_be_a_norm_in_either_order_or_the_id_of_a_permit():
    for basis in ("§ 69 Abs. 1 Nr. 1 SGB X", "SGB X § 69 Abs. 1 Nr. 1", "sgb10-69-1-1"):
        decision = decide(LAW, request_from_json({**JSON, "basis": basis}, unnamed="no"))
        assert decision.permitted, basis


def test_a_consent_that_is_used_is_named_in_the_decision():
    facts = {"consents": [{**CONSENT, "id": "c-7"}], "minor": False}
    decision = decide(LAW, request_from_json({**JSON, "facts": facts}, unnamed="no"))
    assert decision.permitted
    assert decision.consents_used == ("c-7",)


def test_a_decision_is_plain_json():
    decision = decide(LAW, request_from_json(JSON, unnamed="no")).to_json()
    assert json.loads(json.dumps(decision)) == decision
    assert decision["rule_set"] == LAW.hash


@pytest.mark.parametrize(("age", "minor"), [(17, True), (18, False)])
def test_whoever_is_under_eighteen_is_a_minor_without_saying_so(age, minor):
    request = request_from_json({**JSON, "facts": {"age": age}}, unnamed="no")
    assert known_facts(LAW, request, request.categories[0])["minor"] is minor
