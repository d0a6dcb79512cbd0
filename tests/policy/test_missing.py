from dataclasses import replace
from itertools import combinations

import pytest

from shared.policy import ConsentRecord, ResearchApproval, SecrecyRelease, decide, present_law
from shared.policy.cases import request_part
from shared.policy.model import CHANGES
from shared.policy.request import request_from_json
from tests.policy.small_law import ask, law, rule
from tests.policy.worked import CASES

LAW = present_law()
DERIVED = {"consent_covers", "secrecy_release_covers", "entrusting_consent_covers", "research_approval_covers"}


def what_is_missing(*rules, **request):
    return decide(law(*rules), ask(**request)).categories[0].missing


def test_a_single_missing_fact_is_named():
    assert what_is_missing(rule("r", when="{fact: necessary, is: true}"), facts={"necessary": False}) == (
        ("necessary",),
    )


def test_only_minimal_sets_are_named_the_easiest_first():
    found = what_is_missing(
        rule("a", when="{all: [{fact: necessary, is: true}, {fact: court_order, is: true}]}"),
        rule("b", when="{all: [{fact: necessary, is: true}, {fact: notice, is: true}]}"),
        rule("c", when="{all: [{rule: b}, {fact: court_order, is: true}]}"),
        rule("d", when="{fact: consent_covers, is: true}"),
        facts={},
    )
    assert found == (("necessary", "notice"), ("necessary", "court_order"), ("consent_covers",))


def test_what_nobody_can_change_is_not_proposed():
    assert what_is_missing(rule("r", when="{fact: emergency, is: true}"), facts={"emergency": False}) == ()


def test_a_forbid_without_exception_leaves_nothing_to_do():
    forbid = rule("never", "forbid", "§ 96 Abs. 3 SGB X")
    assert what_is_missing(rule("r"), forbid, facts={"necessary": True}) == ()


def test_what_lifts_a_forbid_belongs_to_the_set():
    forbid = rule(
        "secret", "forbid", "§ 76 Abs. 1 SGB X", unless='[{norm: "§ 73 SGB X", when: {fact: court_order, is: true}}]'
    )
    found = what_is_missing(rule("r", when="{fact: necessary, is: true}"), forbid, facts={"necessary": False})
    assert found == (("necessary", "court_order"),)


def test_a_package_needs_what_all_its_categories_need():
    rules = law(
        rule("a", categories="[master_data]", when="{fact: necessary, is: true}"),
        rule("b", categories="[report]", when="{fact: notice, is: true}"),
    )
    facts = {"necessary": False, "notice": False}
    decision = decide(rules, ask(categories=("master_data", "report"), facts=facts))
    assert decision.missing == (("necessary", "notice"),)


def test_two_findings_that_exclude_each_other_establish_neither():
    json = {
        "date": "2026-04-07",
        "sender": {"body": "youth_office"},
        "recipient": {"body": "jobcenter"},
        "categories": ["youth_help_plan"],
        "purpose": "cooperation_plan_coordination",
        "facts": {"necessary": True, "help_success_endangered": True},
    }
    decision = decide(LAW, request_from_json(json, unnamed="no")).categories[0]
    assert decision.missing == (("consent_covers",),)


def granted(request, names):
    """The request once somebody has brought about what is missing."""
    facts = {**request.facts, **{name: True for name in names if name not in DERIVED}}
    where = {"recipients": (request.recipient.body,), "categories": request.categories}
    declared = {**where, "status": "given", "given_on": request.day, "form": "written"}
    everybody = ("data_subject", "legal_guardian", "third_party")
    consents, releases, approval = request.consents, request.secrecy_releases, request.research_approval
    told = {"purposes": (request.purpose,), "informed_67b_2": True, "voluntary": True}
    if "consent_covers" in names:
        consents = (*consents, ConsentRecord(**declared, **told, given_by=everybody))
    if "entrusting_consent_covers" in names:
        consents = (*consents, ConsentRecord(**declared, **told, given_by=("entrusting_person",)))
    if "secrecy_release_covers" in names:
        releases = (*releases, SecrecyRelease(**declared, given_by=everybody, professionals=("Dr. A.",)))
    if "research_approval_covers" in names:
        approval = ResearchApproval(**where, valid_until=request.day)
    return replace(request, facts=facts, consents=consents, secrecy_releases=releases, research_approval=approval)


REFUSED = [
    (case["id"], request)
    for case in CASES
    if not decide(LAW, request := request_from_json(request_part(case), unnamed="no")).permitted
]


def test_every_set_leads_to_a_permit_and_no_smaller_one_does():
    checked = 0
    for name, request in REFUSED:
        for item in decide(LAW, request).categories:
            alone = replace(request, categories=(item.category,))
            for names in item.missing:
                checked += 1
                assert len(names) <= 4
                assert decide(LAW, granted(alone, names)).permitted, (name, names)
                smaller = [part for size in range(len(names)) for part in combinations(names, size)]
                for part in smaller:
                    assert not decide(LAW, granted(alone, part)).permitted, (name, names, part)
    assert checked > 100


@pytest.mark.parametrize("index", range(0, len(REFUSED), 30))
def test_no_set_of_one_or_two_facts_is_overlooked(index):
    name, request = REFUSED[index]
    curable = [word.id for word in LAW.vocabulary.facts.values() if word.change]
    for item in decide(LAW, request).categories:
        alone = replace(request, categories=(item.category,))
        found = {frozenset(names) for names in item.missing}
        if not decide(LAW, alone).permitted:
            for size in (1, 2):
                for names in combinations(curable, size):
                    if decide(LAW, granted(alone, names)).permitted:
                        assert any(known <= set(names) for known in found), (name, names)


def test_the_order_of_ease_is_documentation_procedure_anothers_act_consent():
    assert CHANGES == ("documentation", "procedural", "another_person", "consent")
    for name, request in REFUSED:
        for item in decide(LAW, request).categories:
            hardest = [max(CHANGES.index(LAW.vocabulary.facts[n].change) for n in names) for names in item.missing]
            assert hardest == sorted(hardest), name
