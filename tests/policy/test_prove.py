"""The whole proof (`make prove`): large samples in two processes, every sentence by two provers of different kind."""

import itertools
import random

import pytest
import z3

from shared.policy import present_law
from shared.policy.invariants import counterexample, load_invariants
from shared.policy.model import FactIs, RuleHolds, leaves
from shared.policy.request import LAW as FOLDER
from shared.policy.ruleset import CompiledRule, State
from tests.policy.samples import Samples, against_cedar
from tests.policy.solver import Formula, Kleene

pytestmark = pytest.mark.prove

LAW = present_law()
INVARIANTS = load_invariants(LAW, FOLDER / "invariants.yaml")
SAMPLES = 100_000


@pytest.fixture(scope="module", autouse=True)
def samples():
    """Started first and asked for last: the other proofs are made meanwhile."""
    running = Samples(against_cedar, SAMPLES)
    yield running
    running.close()


def test_there_are_at_least_fifteen_sentences_and_each_has_a_name_of_its_own():
    assert len({invariant.id for invariant in INVARIANTS}) == len(INVARIANTS) >= 15
    assert {invariant.never for invariant in INVARIANTS} >= {"permitted", "opened", "redundant", "unreachable"}


@pytest.mark.parametrize(
    "invariant", [each for each in INVARIANTS if each.never != "permitted"], ids=lambda invariant: invariant.id
)
def test_the_sentence_about_the_rules_holds(invariant):
    assert counterexample(LAW, invariant) is None


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.id)
def test_a_solver_comes_to_the_same_result(invariant):
    formula = Formula(LAW)
    match invariant.never:
        case "permitted":
            broken = z3.And(formula.given(invariant), formula.permitted(), z3.Not(formula.held(invariant.excepted)))
            assert not possible(broken)
        case "opened":
            opened = [
                name
                for name, value in invariant.change.items()
                if possible(z3.And(formula.given(invariant), formula.opened(invariant, name, after=value)))
            ]
            assert opened == []
        case "redundant":
            # That a rule does matter is shown by a request; only that one does not has to be proved.
            assert all(changes_nothing(formula, rule) for name in invariant.excepted for rule in LAW.versions(name))
        case "unreachable":
            dead = [
                (rule.id, exemption.norm)
                for rule in LAW.rules
                for exemption in rule.unless
                if not possible(z3.And(formula.anywhere(), formula.lifted(rule, exemption)))
            ]
            assert dead == []
        case "outside_dates":
            early = [rule.id for rule in LAW.rules if possible(z3.And(formula.applies(rule), formula.day < 20180525))]
            assert early == []


def changes_nothing(formula, rule):
    without = Formula(LAW, without=rule)
    return not possible(z3.And(formula.anywhere(), z3.Xor(formula.permitted(), without.permitted())))


def possible(formula):
    solver = z3.Solver()
    solver.add(formula)
    answer = solver.check()
    assert answer != z3.unknown
    return answer == z3.sat


@pytest.mark.parametrize("rule", LAW.rules, ids=lambda rule: f"{rule.id}-{rule.valid_from}")
def test_what_a_rule_says_with_open_facts_it_says_under_every_completion(rule):
    """z3 proves it of the formula, and the engine computes that formula."""
    kleene = Kleene(LAW)
    yes, no = kleene.rule(rule)
    whole = [(known, z3.BoolVal(True)) for known in kleene.known.values()]  # noqa: FBT003 - z3's own signature
    complete = z3.substitute(yes, *whole)
    assert not possible(z3.Or(z3.And(yes, z3.Not(complete)), z3.And(no, complete), z3.And(yes, no)))
    for facts in assignments(rule):
        state = State(facts, rule.valid_from)
        for name in named(rule):
            state.truths[name] = evaluated(name, facts, rule)
        assert CompiledRule(rule).evaluate(state) is value_of(kleene, yes, no, facts), facts


def value_of(kleene, yes, no, facts):
    known = [(kleene.known[name], z3.BoolVal(value is not None)) for name, value in facts.items()]
    told = [(kleene.facts[name], z3.BoolVal(bool(value))) for name, value in facts.items()]
    surely, never = (z3.is_true(z3.simplify(z3.substitute(part, *known, *told))) for part in (yes, no))
    return True if surely else False if never else None


def evaluated(name, facts, rule):
    values = [truth(other, facts) for other in LAW.versions(name)]
    return True if True in values else None if None in values else False


def truth(rule, facts):
    state = State(facts, rule.valid_from)
    for name in named(rule):
        state.truths[name] = evaluated(name, facts, rule)
    return CompiledRule(rule).evaluate(state)


def named(rule):
    return [leaf.rule for leaf in leaves(rule) if isinstance(leaf, RuleHolds)]


def read(rule):
    own = {leaf.fact for leaf in leaves(rule) if isinstance(leaf, FactIs)}
    return sorted(own.union(*(read(other) for name in named(rule) for other in LAW.versions(name))))


def assignments(rule, most=40):
    """Yes, no and open for every fact the rule reads: all of them, or a sample where they are many."""
    facts = read(rule)
    if 3 ** len(facts) <= most:
        values = list(itertools.product((True, False, None), repeat=len(facts)))
    else:
        pick = random.Random(rule.id)
        values = [[pick.choice((True, False, None)) for _ in facts] for _ in range(most)]
    return [dict(zip(facts, each, strict=True)) for each in values]


@pytest.mark.timeout(600)
def test_cedar_decides_a_hundred_thousand_requests_alike_and_open_facts_never_say_too_much(samples):
    """Decision and determining rules in both engines; with a tenth of the facts open, no answer turns a yes or a no."""
    found, permits = samples.findings()
    assert found == []
    assert SAMPLES // 10 < permits < SAMPLES * 9 // 10
