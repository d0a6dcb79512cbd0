import json
from collections import Counter

import pytest

from shared.policy import LawError, decide, present_law, request_from_json
from shared.policy.cases import check, check_one, read_cases, request_part
from shared.policy.lint import dead_exceptions, uncovered_rules
from shared.policy.model import ALWAYS
from tests.policy.worked import CASES
from tests.support.shared_data import shared_data

LAW = present_law()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_law_says_what_the_case_expects(case):
    assert check_one(LAW, case) == []


def test_no_case_is_told_twice():
    names = [case["id"] for case in CASES]
    assert len(names) == len(set(names)) >= 100


def test_every_rule_decides_a_case_fails_in_one_and_every_exception_is_used():
    assert uncovered_rules(LAW, CASES) == []


TIMES = 3


@pytest.fixture(scope="module")
def decided():
    """Every category of every case with what the law says about it."""
    found = []
    for case in CASES:
        request = request_from_json(request_part(case), unnamed="no")
        found += [(request, item) for item in decide(LAW, request).categories]
    return found


def outside(rule, request, category):
    """In how many respects the rule does not speak about it: sender, recipient, data category, purpose, day."""
    scope = rule.scope
    return [
        request.sender.body in scope.senders,
        request.recipient.body in scope.recipients,
        category in scope.categories,
        request.purpose in scope.purposes,
        rule.in_force(request.day),
    ].count(False)


def test_every_rule_decides_in_three_cases(decided):
    times = Counter(id_ for _, item in decided for id_ in item.rules)
    assert {rule.id: times[rule.id] for rule in LAW.rules if times[rule.id] < TIMES} == {}


def test_every_rule_just_fails_to_apply_in_three_cases(decided):
    """It speaks about the disclosure and a condition is not met, or an exception lifts it.

    A rule without condition and exception can fail in one way only: the case differs from its scope or its dates in a
    single respect. A default rule fails where a permit holds.
    """
    fails = Counter(a.rule for _, item in decided for a in item.applicable if a.truth is not True)
    for rule in LAW.rules:
        if rule.default:
            fails[rule.id] = sum(item.permitted and outside(rule, asked, item.category) == 0 for asked, item in decided)
        elif rule.when == ALWAYS and not rule.unless:
            fails[rule.id] = sum(outside(rule, asked, item.category) == 1 for asked, item in decided)
    assert {rule.id: fails[rule.id] for rule in LAW.rules if fails[rule.id] < TIMES} == {}


def test_there_are_not_more_cases_than_somebody_can_read():
    assert len(CASES) < 600


def test_no_exception_is_dead():
    assert dead_exceptions(LAW) == []


@pytest.mark.shared_data
def test_the_public_cases_show_no_mismatch():
    file = shared_data("legal", "cases-public.yaml")
    cases = read_cases(file.read_text(encoding="utf-8"), file.name)
    assert len(cases) >= 49
    assert check(LAW, cases) == []


CASE = {
    "id": "X",
    "date": "2026-06-03",
    "sender": {"body": "jobcenter", "domain": "sgb_ii"},
    "recipient": {"body": "pension_insurer", "domain": "sgb_vi"},
    "categories": ["expert_opinion_76_2"],
    "purpose": "recipient_statutory_task",
    "facts": {"necessary": True},
    "expected": "forbid",
    "expected_basis": ["SGB X § 76 Abs. 2 Nr. 1"],
    "missing": ["objection_notice_given"],
}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, []),
        ({"expected": "permit"}, ["decision", "category expert_opinion_76_2"]),
        ({"expected_by_category": {"expert_opinion_76_2": "permit"}}, ["category expert_opinion_76_2"]),
        ({"expected_by_category": {"master_data": "permit"}}, ["category master_data"]),
        ({"expected_basis": ["KKG § 4 Abs. 1"]}, ["basis"]),
        ({"missing": ["judge_order_73"]}, ["missing"]),
        ({"missing": ["not_curable"]}, ["missing"]),
        ({"missing": ["alternative_ask_the_person"]}, []),
        ({"expected_rules": ["sgb10-76-1"]}, ["rule"]),
        ({"expected_exceptions": ["sgb10-76-1"]}, ["exception"]),
        ({"expected_obligations": ["log_disclosure"]}, ["obligation"]),
        ({"expected": "perhaps"}, ["form"]),
        ({"purpose": "curiosity"}, ["form"]),
        ({"surprise": 1}, ["form"]),
    ],
)
def test_a_difference_is_found(change, what):
    assert [miss.what for miss in check_one(LAW, {**CASE, **change})] == what


def test_cases_may_be_written_as_json():
    text = json.dumps({"cases": [CASE, {**CASE, "expected": "permit"}]})
    assert {miss.what for miss in check(LAW, read_cases(text, "x.json"))} == {
        "decision",
        "category expert_opinion_76_2",
    }


@pytest.mark.parametrize("text", ["cases: 1", '{"a": 1, "a": 2}', "a: [", '{"a": '])
def test_what_is_no_case_file_is_refused_with_its_name(text):
    with pytest.raises(LawError) as refused:
        read_cases(text, "x.yaml")
    assert refused.value.file == "x.yaml"


def test_an_entry_that_is_no_case_is_reported():
    assert [miss.what for miss in check(LAW, read_cases("- just text", "x.yaml"))] == ["form"]
