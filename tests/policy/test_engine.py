from dataclasses import replace
from datetime import date

import pytest

from shared.canonical import canonical
from shared.errors import Invalid
from shared.policy import Party, decide, restore
from tests.policy.small_law import DAY, ask, law, rule

NECESSARY = "{fact: necessary, is: true}"
PERMIT = rule("task", when=NECESSARY, obligations="[log]")


def test_without_a_permit_nothing_is_disclosed():
    decision = decide(law(), ask(facts={"necessary": True})).categories[0]
    assert not decision.permitted
    assert decision.rules == ("default",)
    assert decision.basis == ("§ 67b Abs. 1 Satz 1 SGB X",)
    assert decision.obligations == ("inform",)


def test_a_permit_opens_when_its_condition_is_met():
    decision = decide(law(PERMIT), ask(facts={"necessary": True})).categories[0]
    assert decision.permitted
    assert decision.rules == ("task",)
    assert decision.obligations == ("log",)


@pytest.mark.parametrize("value", [False, None])
def test_a_permit_must_be_provably_true(value):
    assert not decide(law(PERMIT), ask(facts={"necessary": value})).permitted


def test_a_fact_nobody_mentioned_opens_no_door():
    assert not decide(law(PERMIT), ask(facts={})).permitted


def test_one_forbid_outweighs_every_permit():
    objection = rule("objection", "forbid", "§ 76 Abs. 2 Nr. 1 SGB X", when="{fact: objection, is: true}")
    rules = law(PERMIT, rule("other"), objection)
    assert decide(rules, ask(facts={"necessary": True, "objection": False})).permitted
    refused = decide(rules, ask(facts={"necessary": True, "objection": True})).categories[0]
    assert refused.rules == ("objection",)


def test_a_forbid_that_is_not_provably_false_blocks():
    objection = rule("objection", "forbid", "§ 76 Abs. 2 Nr. 1 SGB X", when="{fact: objection, is: true}")
    decision = decide(law(PERMIT, objection), ask(facts={"necessary": True})).categories[0]
    assert not decision.permitted
    assert decision.rules == ("objection",)
    assert decision.missing == ()
    assert decision.unanswered == ("objection",)


def test_an_exception_lifts_a_forbid_only_when_it_is_provably_true():
    forbid = rule(
        "secret", "forbid", "§ 76 Abs. 1 SGB X", unless='[{norm: "§ 34 StGB", when: {fact: emergency, is: true}}]'
    )
    rules = law(rule("open"), forbid)
    assert not decide(rules, ask()).permitted
    assert not decide(rules, ask(facts={"emergency": False})).permitted
    lifted = decide(rules, ask(facts={"emergency": True})).categories[0]
    assert lifted.permitted
    assert [(used.rule, used.norm) for used in lifted.exceptions] == [("secret", "§ 34 StGB")]
    assert "§ 34 StGB" in lifted.basis


def test_exceptions_have_exceptions_of_their_own():
    forbid = rule(
        "secret",
        "forbid",
        "§ 76 Abs. 1 SGB X",
        unless="""
    - norm: § 76 Abs. 2 Nr. 1 SGB X
      when: {fact: notice, is: true}
      unless:
        - norm: § 76 Abs. 2 Nr. 1 Halbsatz 2 SGB X
          when: {fact: objection, is: true}
          unless:
            - {norm: § 76 Abs. 3 SGB X, when: {fact: court_order, is: true}}""",
    )
    rules = law(rule("open"), forbid)

    def permitted(*, notice, objection, order):
        return decide(rules, ask(facts={"notice": notice, "objection": objection, "court_order": order})).permitted

    assert permitted(notice=True, objection=False, order=False)
    assert not permitted(notice=False, objection=False, order=True)
    assert not permitted(notice=True, objection=True, order=False)
    assert permitted(notice=True, objection=True, order=True)
    assert not permitted(notice=True, objection=None, order=False)
    assert permitted(notice=True, objection=None, order=True)


def test_a_satisfied_permit_can_lift_a_forbid_and_brings_its_duties():
    emergency = rule("help", norm="§ 34 StGB", when="{fact: emergency, is: true}", obligations="[inform]")
    forbid = rule("secret", "forbid", "§ 76 Abs. 1 SGB X", unless='[{norm: "§ 34 StGB", when: {rule: help}}]')
    rules = law(PERMIT, emergency, forbid)
    facts = {"necessary": True, "emergency": True}
    decision = decide(rules, ask(facts=facts, basis="§ 69 Abs. 1 Nr. 1 SGB X")).categories[0]
    assert decision.permitted
    assert decision.rules == ("task",)
    assert decision.obligations == ("log", "inform")
    assert not decide(rules, ask(facts={"necessary": True, "emergency": False})).permitted


def test_a_permit_outside_its_scope_lifts_nothing():
    emergency = rule("help", norm="§ 34 StGB", categories="[report]")
    forbid = rule("secret", "forbid", "§ 76 Abs. 1 SGB X", unless='[{norm: "§ 34 StGB", when: {rule: help}}]')
    decision = decide(law(rule("open"), emergency, forbid), ask(categories=("master_data", "report")))
    assert decision.permitted_categories == ("report",)


def test_each_category_is_decided_on_its_own_and_the_whole_only_if_all_are():
    decision = decide(law(rule("task", categories="[master_data]")), ask(categories=("master_data", "report")))
    assert [item.permitted for item in decision.categories] == [True, False]
    assert not decision.permitted
    assert decision.permitted_categories == ("master_data",)


def test_facts_of_one_category_count_there_only():
    request = ask(
        categories=("master_data", "report"),
        facts={"necessary": False},
        facts_by_category={"report": {"necessary": True}},
    )
    assert decide(law(PERMIT), request).permitted_categories == ("report",)


def test_the_law_of_the_day_decides_and_ends_before_its_last_day():
    rules = law(rule("task", valid_from="2023-07-01", valid_until="2026-07-01"))
    permitted = {
        day: decide(rules, ask(day=date.fromisoformat(day))).permitted
        for day in ("2023-06-30", "2023-07-01", "2026-06-30", "2026-07-01")
    }
    assert list(permitted.values()) == [False, True, True, False]


def test_two_versions_of_a_rule_take_turns():
    rules = law(
        rule("task", valid_until="2026-07-01", when=NECESSARY),
        rule("task", valid_from="2026-07-01", when="{fact: notice, is: true}"),
    )
    assert decide(rules, ask(day=date(2026, 6, 30), facts={"necessary": True})).permitted
    assert not decide(rules, ask(day=date(2026, 7, 1), facts={"necessary": True})).permitted
    assert decide(rules, ask(day=date(2026, 7, 1), facts={"notice": True})).permitted


def test_an_exception_may_have_dates_of_its_own():
    forbid = rule(
        "secret",
        "forbid",
        "§ 76 Abs. 1 SGB X",
        unless='[{norm: "§ 76 Abs. 2 Nr. 1a SGB X", when: {all: []}, valid_from: 2019-11-26}]',
    )
    rules = law(rule("open"), forbid)
    assert not decide(rules, ask(day=date(2019, 11, 25))).permitted
    assert decide(rules, ask(day=date(2019, 11, 26))).permitted


def test_the_named_basis_must_carry_even_if_another_would():
    statute = rule("statute", norm="§ 50 Abs. 1 SGB II", when="{fact: notice, is: true}")
    rules = law(PERMIT, statute)
    request = ask(facts={"necessary": True, "notice": False}, basis="§ 50 Abs. 1 SGB II")
    refused = decide(rules, request).categories[0]
    assert not refused.permitted
    assert [other.rule for other in refused.other_bases] == ["task"]
    assert refused.missing == (("notice",),)
    assert decide(rules, replace(request, basis="§ 69 SGB X")).permitted


def test_consent_is_never_offered_first():
    consent = rule("a-consent", norm="§ 67b Abs. 2 SGB X", when="{fact: consent_covers, is: true}")
    decision = decide(law(consent, PERMIT), ask(facts={"necessary": False})).categories[0]
    assert decision.missing == (("necessary",), ("consent_covers",))


def test_a_required_duty_that_no_code_performs_turns_the_permit_into_a_deny():
    request = ask(facts={"necessary": True})
    refused = decide(law(PERMIT), request, installed=frozenset({"inform"})).categories[0]
    assert not refused.permitted
    assert refused.uninstalled == ("log",)
    assert decide(law(PERMIT), request, installed=frozenset({"log"})).permitted


def test_an_advisory_duty_needs_no_code():
    rules = law(rule("task", obligations="[inform]"))
    assert decide(rules, ask(), installed=frozenset()).permitted


def test_what_came_closest_is_named_with_what_kept_it_from_carrying():
    rules = law(
        rule("ended", norm="§ 15a Abs. 1 SGB II", valid_until="2026-01-01"),
        rule("other-purpose", norm="§ 50 Abs. 1 SGB II", purposes="[research]"),
        rule("other-category", norm="§ 61 Abs. 1 SGB II", categories="[report]"),
        rule("other-parties", norm="§ 44a SGB II", to="[employer]"),
        PERMIT,
    )
    decision = decide(rules, ask())
    near = {miss.rule: miss.fails for miss in decision.near_misses["master_data"]}
    assert near == {"ended": "day", "other-purpose": "purpose", "other-category": "category", "task": "facts"}
    assert decision.cites("SGB II § 15a Abs. 1")
    assert not decision.cites("SGB II § 44a")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"sender": Party("bank", "sgb_ii")}, "/sender/body"),
        ({"recipient": Party("bank", "sgb_ii")}, "/recipient/body"),
        ({"categories": ("secrets",)}, "/categories/0"),
        ({"purpose": "curiosity"}, "/purpose"),
        ({"categories": ()}, "/categories"),
    ],
)
def test_the_law_does_not_guess_at_words_it_does_not_know(change, pointer):
    with pytest.raises(Invalid) as refused:
        decide(law(), ask(**change))
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_the_same_question_gets_the_same_answer_to_the_byte():
    request = ask(categories=("master_data", "report"), facts={"necessary": True})
    first, second = (canonical(decide(law(PERMIT), request).to_json()) for _ in range(2))
    assert first == second


def test_the_hash_names_the_law_and_does_not_depend_on_how_it_is_written():
    one, two = law(rule("a"), rule("b")), law(rule("a"), "# a remark\n" + rule("b"))
    assert one.hash == two.hash
    assert one.hash != law(rule("a"), rule("b", when=NECESSARY)).hash
    assert decide(one, ask()).to_json()["rule_set"] == one.hash


def test_an_old_case_is_decided_again_from_the_stored_law():
    old = law(rule("task", valid_until="2026-07-01", when=NECESSARY))
    again = restore(old.content)
    assert again.hash == old.hash
    request = ask(day=DAY, facts={"necessary": True})
    assert decide(again, request).to_json() == decide(old, request).to_json()
