"""Every word of a rule matters: whoever turns a condition round or strikes an exception makes some case fail."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.policy import RuleSet, present_law
from shared.policy.cases import check_one, request_part
from shared.policy.engine import decide
from shared.policy.model import AllOf, AnyOf, FactIs, Not, Rule
from shared.policy.request import request_from_json
from tests.policy.worked import CASES

pytestmark = pytest.mark.prove

LAW = present_law()
BASE = date(2018, 5, 25)


def flips(condition):
    """The condition with one literal turned round, or one part struck, each in turn."""
    match condition:
        case FactIs():
            yield replace(condition, wanted=not condition.wanted)
        case Not(part=part):
            yield part
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for index, part in enumerate(parts):
                for other in flips(part):
                    yield replace(condition, parts=(*parts[:index], other, *parts[index + 1 :]))
                if len(parts) > 1:
                    yield replace(condition, parts=parts[:index] + parts[index + 1 :])


def mutants(rule: Rule):
    for when in flips(rule.when):
        yield f"condition {when}", replace(rule, when=when)
    for index, exemption in enumerate(rule.unless):
        rest = rule.unless[:index], rule.unless[index + 1 :]
        yield f"without {exemption.norm}", replace(rule, unless=(*rest[0], *rest[1]))
        for when in flips(exemption.when):
            yield f"other {exemption.norm}", replace(rule, unless=(*rest[0], replace(exemption, when=when), *rest[1]))
    for name in ("valid_from", "valid_until"):
        day = getattr(rule, name)
        if day not in (None, BASE):
            for moved in (-1, 1):
                yield f"{name} by {moved} day", replace(rule, **{name: day + timedelta(days=moved)})
    yield "effect", replace(rule, effect="forbid" if rule.effect == "permit" else "permit", default=False)


def with_rule(old: Rule, new: Rule) -> RuleSet:
    rules = tuple(new if rule is old else rule for rule in LAW.rules)
    return RuleSet(rules, LAW.vocabulary, LAW.obligations, "mutant", LAW.content)


def touched():
    """The cases in which each rule has a say."""
    found = {rule.id: [] for rule in LAW.rules}
    for case in CASES:
        decision = decide(LAW, request_from_json(request_part(case), unnamed="no"))
        spoke = {a.rule for item in decision.categories for a in item.applicable}
        spoke |= {rule for item in decision.categories for rule in item.rules}
        for id_ in spoke:
            found[id_].append(case)
    return found


def test_hardly_a_mutant_survives_the_cases():
    cases = touched()
    made, survivors = 0, []
    for rule in LAW.rules:
        if rule.default:
            continue
        for what, mutant in mutants(rule):
            made += 1
            law = with_rule(rule, mutant)
            told = CASES if what.startswith("valid") else cases[rule.id]
            if not any(check_one(law, case) for case in told):
                survivors.append(f"{rule.id}: {what}")
    print(f"{made} mutants, {len(survivors)} survive")
    assert made > 400
    assert len(survivors) <= made * 0.05, "\n".join(survivors)
