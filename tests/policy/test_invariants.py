import textwrap
from dataclasses import replace
from datetime import date

import pytest

from shared.policy import LawError, Party, Request, RuleSet, decide, present_law
from shared.policy.invariants import counterexample, load_invariants
from shared.policy.request import LAW as FOLDER
from tests.policy.small_law import law, rule

LAW = present_law()
INVARIANTS = load_invariants(LAW, FOLDER / "invariants.yaml")
BY_ID = {invariant.id: invariant for invariant in INVARIANTS}


@pytest.mark.parametrize(
    "invariant", [each for each in INVARIANTS if each.never == "permitted"], ids=lambda invariant: invariant.id
)
def test_the_sentence_holds_over_all_requests(invariant):
    assert counterexample(LAW, invariant) is None


def without(rule_id):
    rules = tuple(rule for rule in LAW.rules if rule.id != rule_id)
    kept = {rule.id for rule in rules}
    assert len(kept) == len(LAW.rules) - 1
    return RuleSet(rules, LAW.vocabulary, LAW.obligations, "changed", LAW.content)


@pytest.mark.parametrize(
    ("invariant", "removed"),
    [
        ("a-doctors-secret-travels-only-with-a-release", None),
        ("consent-alone-does-not-open-a-doctors-secret", None),
        ("a-conference-needs-consent", "sgb9-20-1-consent"),
        ("no-joint-medical-file", "sgb10-96-3"),
        ("no-retrieval-by-private-bodies", "sgb10-79-1"),
        ("no-diagnosis-to-the-employer", "sgb10-69-4"),
        ("voluntary-support-feeds-no-reduction", "sgb2-16k-4"),
        ("erasable-data-go-nowhere-else", "gdpr-17"),
        ("no-report-without-weighty-indications", "sgb10-71-1-6-indications"),
        ("a-private-requester-undertakes-first", "sgb10-78-1-2"),
        ("no-silent-change-of-basis", "gdpr-7-3"),
        ("no-full-discharge-report-to-the-insurer", "sgb10-76-1-discharge-report"),
    ],
)
def test_a_law_without_the_rule_is_refuted_by_a_request_it_really_permits(invariant, removed):
    if removed is None:
        assert counterexample(LAW, BY_ID[invariant]) is None
        tried = LAW
        loosened = replace(BY_ID[invariant], facts={})
    else:
        tried, loosened = without(removed), BY_ID[invariant]
    broken = counterexample(tried, loosened)
    assert broken is not None
    found = broken.found
    if not any("covers" in name for name, value in found.facts.items() if value):
        request = Request(
            day=max(found.day, date(2018, 5, 25)),
            sender=Party(found.sender, ""),
            recipient=Party(found.recipient, ""),
            categories=(found.category,),
            purpose=found.purpose,
            facts={**dict.fromkeys(LAW.vocabulary.facts, False), **found.facts, "age": 30},
        )
        assert decide(tried, request).permitted, str(found)


def sentence(tmp_path, rules, text):
    file = tmp_path / "invariants.yaml"
    file.write_text(f"- id: x\n  norm: § 1 KKG\n  says: {{de: x, en: x}}\n{textwrap.indent(text, '  ')}\n")
    return counterexample(rules, load_invariants(rules, file)[0])


OPEN = rule("open", when="{fact: necessary, is: true}")
SHUT = rule("shut", "forbid", when="{fact: objection, is: true}", unless="[{norm: § 34 StGB, when: {rule: order}}]")
ORDER = rule("order", norm="§ 34 StGB", when="{fact: court_order, is: true}")


@pytest.mark.parametrize(
    ("rules", "text", "shown"),
    [
        ((OPEN,), "never: permitted", "necessary"),
        ((OPEN,), "never: permitted\nexcept: [open]", None),
        ((OPEN, SHUT, ORDER), "never: opened\nchange: {objection: true}", None),
        ((OPEN, SHUT, ORDER), "never: opened\nchange: {objection: false}", "objection -> no"),
        ((OPEN, SHUT, ORDER), "never: opened\nchange: {any: false}\nexcept: [shut]", None),
        ((OPEN, SHUT, ORDER), "never: opened\nchange: {any: false}\nexcept: [order]", "objection -> no"),
        ((OPEN, SHUT, ORDER), "never: redundant", None),
        ((OPEN, SHUT, ORDER), "never: redundant\nexcept: [shut]", "shut: "),
        ((OPEN, SHUT, ORDER, rule("again", when="{fact: necessary, is: true}")), "never: redundant", "again: "),
        ((OPEN, SHUT, ORDER), "never: unreachable", None),
        ((OPEN, SHUT, rule("order", norm="§ 34 StGB", purposes="[research]")), "never: unreachable", None),
        (
            (
                OPEN,
                SHUT.replace("purposes: [any]", "purposes: [task]"),
                ORDER.replace("purposes: [any]", "purposes: [research]"),
            ),
            "never: unreachable",
            "shut (§ 34 StGB): ",
        ),
        ((OPEN, SHUT, ORDER), "never: outside_dates", None),
    ],
)
def test_each_kind_of_sentence_is_proved_or_refuted_by_what_breaks_it(tmp_path, rules, text, shown):
    broken = sentence(tmp_path, law(*rules), text)
    assert (broken is None) if shown is None else shown in str(broken), broken


def test_an_engine_that_forgets_the_dates_is_found_out(tmp_path, monkeypatch):
    ended = law(OPEN, rule("old", valid_until="2020-01-01", when="{fact: necessary, is: true}"))
    for item in ended.compiled():
        monkeypatch.setattr(item, "end_day", date.max)
    assert sentence(tmp_path, ended, "never: outside_dates").found.rule == "old"


def test_an_unknown_kind_of_sentence_is_refused(tmp_path):
    with pytest.raises(LawError) as refused:
        sentence(tmp_path, LAW, "never: sunny")
    assert "'never: sunny' is not understood" in refused.value.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("given: {to: [bank]}", "unknown word 'bank'"),
        ("given: {facts: {weather: true}}", "unknown fact or value 'weather'"),
        ("given: {colour: red}", "unknown key 'colour'"),
        ("when: always", "unknown key 'when'"),
        ("except: [nowhere]", "unknown rule 'nowhere'"),
        ("change: {necessary: false}", "'change' belongs to"),
    ],
)
def test_a_sentence_in_unknown_words_is_refused(tmp_path, text, detail):
    file = tmp_path / "invariants.yaml"
    file.write_text(f"- id: x\n  norm: § 1 KKG\n  says: {{de: x, en: x}}\n  never: permitted\n  {text}\n")
    with pytest.raises(LawError) as refused:
        load_invariants(LAW, file)
    assert any(detail in flaw.detail for flaw in refused.value.flaws)
