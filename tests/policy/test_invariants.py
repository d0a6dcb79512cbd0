from dataclasses import replace
from datetime import date

import pytest
import z3

from shared.policy import LawError, Party, Request, RuleSet, decide, present_law
from shared.policy.invariants import counterexample, load_invariants
from shared.policy.request import LAW as FOLDER
from tests.policy.solver import Formula

LAW = present_law()
INVARIANTS = load_invariants(LAW, FOLDER / "invariants.yaml")
BY_ID = {invariant.id: invariant for invariant in INVARIANTS}


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.id)
def test_the_sentence_holds_over_all_requests(invariant):
    assert counterexample(LAW, invariant) is None


def test_a_solver_of_another_kind_proves_the_same():
    formula = Formula(LAW)
    solver = z3.Solver()
    solver.add(formula.permitted())
    for invariant in INVARIANTS:
        solver.push()
        solver.add(formula.given(invariant))
        assert solver.check() == z3.unsat, (invariant.id, solver.model())
        solver.pop()


def without(rule_id):
    rules = tuple(rule for rule in LAW.rules if rule.id != rule_id)
    kept = {rule.id for rule in rules}
    assert len(kept) == len(LAW.rules) - 1
    return RuleSet(rules, LAW.vocabulary, LAW.obligations, "changed", LAW.content)


@pytest.mark.parametrize(
    ("invariant", "rule"),
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
def test_a_law_without_the_rule_is_refuted_by_a_request_it_really_permits(invariant, rule):
    if rule is None:
        assert counterexample(LAW, BY_ID[invariant]) is None
        law = LAW
        loosened = replace(BY_ID[invariant], facts={})
    else:
        law, loosened = without(rule), BY_ID[invariant]
    found = counterexample(law, loosened)
    assert found is not None
    if not any("covers" in name for name, value in found.facts.items() if value):
        request = Request(
            day=max(found.day, date(2018, 5, 25)),
            sender=Party(found.sender, ""),
            recipient=Party(found.recipient, ""),
            categories=(found.category,),
            purpose=found.purpose,
            facts={**dict.fromkeys(LAW.vocabulary.facts, False), **found.facts, "age": 30},
        )
        assert decide(law, request).permitted, str(found)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("given: {to: [bank]}", "unknown word 'bank'"),
        ("given: {facts: {weather: true}}", "unknown fact or value 'weather'"),
        ("given: {colour: red}", "unknown key 'colour'"),
        ("when: always", "unknown key 'when'"),
    ],
)
def test_a_sentence_in_unknown_words_is_refused(tmp_path, text, detail):
    file = tmp_path / "invariants.yaml"
    file.write_text(f"- id: x\n  norm: § 1 KKG\n  says: {{de: x, en: x}}\n  never: permitted\n  {text}\n")
    with pytest.raises(LawError) as refused:
        load_invariants(LAW, file)
    assert any(detail in flaw.detail for flaw in refused.value.flaws)
