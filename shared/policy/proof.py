"""Proofs over all requests there can be, by looking at every kind of request.

Bodies, categories and purposes that no rule tells apart are one kind. For each kind the facts that are left free are
tried out as far as they matter: three truth values cut off what can no longer change the answer. So what is not found
does not exist, for every request and every combination of facts, and what is found is a request that shows it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from shared.policy.engine import decide
from shared.policy.model import (
    AllOf,
    AnyOf,
    Condition,
    Exemption,
    FactIs,
    Not,
    Rule,
    RuleHolds,
    Scope,
    Truth,
    leaves,
)
from shared.policy.request import Party, Request
from shared.policy.ruleset import CompiledExemption, CompiledRule, RuleSet, State

Rules = tuple[CompiledRule, ...]
Variant = tuple[Rules, Mapping[str, Truth]]
"""Rules to be asked, and facts that differ from the other variants."""

Goal = Callable[[list[State]], Truth]
"""Whether what is looked for is there: in the states of the variants, once their rules have been decided."""


@dataclass(frozen=True)
class Where:
    """The part of all requests that is looked at."""

    scope: Scope
    day_from: date = date.min
    day_until: date = date.max
    facts: Mapping[str, bool] | None = None


@dataclass(frozen=True)
class Found:
    """A request that shows what was looked for; `rule` where it is about one rule."""

    day: date
    sender: str
    recipient: str
    category: str
    purpose: str
    facts: Mapping[str, bool]
    rule: str = ""

    def __str__(self) -> str:
        true = ", ".join(name for name, value in sorted(self.facts.items()) if value) or "-"
        request = f"{self.day} {self.sender} > {self.recipient}: {self.category} ({self.purpose}); {true}"
        return f"{self.rule}: {request}" if self.rule else request


def permitting(law: RuleSet, where: Where, excepted: tuple[str, ...] = ()) -> Found | None:
    """A permitted request in which none of the excepted rules holds."""
    for kind in _kinds(law, where):

        def goal(states: list[State], rules: Rules = kind.rules) -> Truth:
            held = _any(states[0].truths.get(name, False) for name in excepted)
            return _all((_permitted(rules, states[0]), _not(held)))

        facts = _search(((kind.rules, {}),), dict(where.facts or {}), kind.day, goal)
        if facts is not None:
            return kind.found(facts)
    return None


def opening(law: RuleSet, where: Where, change: Mapping[str, bool], excepted: tuple[str, ...] = ()) -> Found | None:
    """A refused request that becomes a permitted one by a change of one fact to the given value.

    A rule that is excepted may bring it about, if it names the fact and turns with it. Where no other rule gives way
    to the change, nothing has to be tried out.
    """
    yielding = _yielding(law, where)
    for fact, after in change.items():
        turning = tuple(name for name in excepted if any(_names(rule, fact) for rule in law.versions(name)))
        for kind, ids in yielding.get((fact, after), ()):
            if ids.issubset(turning):
                continue

            def goal(states: list[State], rules: Rules = kind.rules, turning: tuple[str, ...] = turning) -> Truth:
                before, then = states
                turned = _any(_differ(before.truths.get(n, False), then.truths.get(n, False)) for n in turning)
                return _all((_permitted(rules, then), _not(_permitted(rules, before)), _not(turned)))

            variants = ((kind.rules, {fact: not after}), (kind.rules, {fact: after}))
            facts = _search(variants, dict(where.facts or {}), kind.day, goal)
            if facts is not None:
                return kind.found({**facts, fact: after}, f"{fact} -> {'yes' if after else 'no'}")
    return None


def _yielding(law: RuleSet, where: Where) -> dict[tuple[str, bool], list[tuple["_Kind", set[str]]]]:
    """For each change of a fact the kinds in which it may open something, and the rules that give way to it."""
    leaning = _Leaning(law)
    found: dict[tuple[str, bool], list[tuple[_Kind, set[str]]]] = {}
    for kind in _kinds(law, where):
        giving: dict[tuple[str, bool], set[str]] = {}
        for item in kind.rules:
            for fact, value in leaning.of(item.rule):
                giving.setdefault((fact, value is item.permit), set()).add(item.id)
        for changed, ids in giving.items():
            found.setdefault(changed, []).append((kind, ids))
    return found


def redundant(law: RuleSet, excepted: tuple[str, ...] = ()) -> Found | None:
    """A rule without which every request would be decided as before; or an excepted one that does matter."""
    kinds = _everywhere(law)
    for item in law.compiled():
        if item.default:
            continue
        difference = _difference(item, kinds[id(item)])
        if (difference is None) != (item.id in excepted):
            return difference or _somewhere(item.rule)
    return None


def _difference(item: CompiledRule, kinds: list["_Kind"]) -> Found | None:
    """A request that would be decided otherwise without the rule."""
    for kind in kinds:
        without = tuple(other for other in kind.rules if other is not item)

        def goal(states: list[State], rules: Rules = kind.rules, without: Rules = without) -> Truth:
            return _differ(_permitted(rules, states[0]), _permitted(without, states[1]))

        facts = _search(((kind.rules, {}), (without, {})), {}, kind.day, goal)
        if facts is not None:
            return kind.found(facts, item.id)
    return None


def unreachable(law: RuleSet) -> Found | None:
    """A rule with an exception that never makes the difference, at any depth."""
    kinds = _everywhere(law)
    for item in law.compiled():
        for path in _paths(item.rule.unless):
            if not _reached(item, path, kinds[id(item)]):
                return replace(_somewhere(item.rule), rule=f"{item.id} ({path[-1].norm})")
    return None


def _reached(item: CompiledRule, path: tuple[Exemption, ...], kinds: list["_Kind"]) -> bool:
    outer, last = [CompiledExemption(part) for part in path[:-1]], CompiledExemption(path[-1])
    peers = path[-2].unless if outer else item.rule.unless
    others = [CompiledExemption(peer) for peer in peers if peer is not path[-1]]

    def goal(states: list[State]) -> Truth:
        state = states[0]
        conditions = (item.when(state), *(part.when(state) for part in outer), last.evaluate(state))
        return _all((*conditions, *(_not(other.evaluate(state)) for other in others)))

    needed = {path[-1].when.rule} if isinstance(path[-1].when, RuleHolds) else set()
    return any(
        needed <= {other.id for other in kind.rules} and _search(((kind.rules, {}),), {}, kind.day, goal) is not None
        for kind in kinds
    )


def outside_dates(law: RuleSet) -> Found | None:
    """A rule that has a say on a day on which it is not in force, or none on a day on which it is."""
    for rule in law.rules:
        days = {rule.valid_from - timedelta(days=1), rule.valid_from}
        if rule.valid_until:
            days |= {rule.valid_until - timedelta(days=1), rule.valid_until}
        some = _somewhere(rule)
        for day in sorted(days):
            request = Request(
                day=day,
                sender=Party(some.sender, law.vocabulary.domain_of[some.sender]),
                recipient=Party(some.recipient, law.vocabulary.domain_of[some.recipient]),
                categories=(some.category,),
                purpose=some.purpose,
            )
            item = decide(law, request).categories[0]
            speaks = rule.id in {applicable.rule for applicable in item.applicable} or rule.id in item.rules
            due = any(version.in_force(day) and _speaks(version, some) for version in law.versions(rule.id))
            if speaks != due and not rule.default:
                return replace(some, day=day)
    return None


def _speaks(rule: Rule, some: Found) -> bool:
    scope = rule.scope
    return (
        some.sender in scope.senders
        and some.recipient in scope.recipients
        and some.category in scope.categories
        and some.purpose in scope.purposes
    )


def _somewhere(rule: Rule) -> Found:
    sender, recipient, category, purpose = (
        min(words) for words in (rule.scope.senders, rule.scope.recipients, rule.scope.categories, rule.scope.purposes)
    )
    return Found(rule.valid_from, sender, recipient, category, purpose, {}, rule.id)


def _search(variants: tuple[Variant, ...], facts: dict[str, Truth], day: date, goal: Goal) -> dict[str, bool] | None:
    """Facts that extend the given ones and reach the goal; None when there are none."""
    states = []
    undecided: list[CompiledRule] = []
    for rules, own in variants:
        state = State({**facts, **own}, day)
        for item in rules:
            truth = state.truths[item.id] = item.evaluate(state)
            if truth is None:
                undecided.append(item)
        states.append(state)
    reached = goal(states)
    if reached is False:
        return None
    if reached is True:
        return {name: bool(value) for name, value in facts.items()}
    fixed = {name for _, own in variants for name in own}
    everything = [item for rules, _ in variants for item in rules]
    free = next(_free(undecided, facts, fixed), None) or next(_free(everything, facts, fixed))
    for value in (True, False):
        found = _search(variants, {**facts, free: value}, day, goal)
        if found is not None:
            return found
    return None


def _free(rules: Iterable[CompiledRule], facts: Mapping[str, Truth], fixed: set[str]) -> Iterator[str]:
    """Facts that are open and matter to one of these rules: of the permits first."""
    for item in sorted(rules, key=lambda rule: not rule.permit):
        for leaf in leaves(item.rule):
            if isinstance(leaf, FactIs) and leaf.fact not in facts and leaf.fact not in fixed:
                yield leaf.fact


def _permitted(rules: Rules, state: State) -> Truth:
    opened = _any(state.truths[item.id] for item in rules if item.permit)
    blocked = _any(state.truths[item.id] for item in rules if not item.permit)
    return _all((opened, _not(blocked)))


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _all(truths: Iterable[Truth]) -> Truth:
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def _any(truths: Iterable[Truth]) -> Truth:
    return _not(_all(_not(truth) for truth in truths))


def _differ(one: Truth, other: Truth) -> Truth:
    return None if one is None or other is None else one is not other


def _names(rule: Rule, fact: str) -> bool:
    return any(isinstance(leaf, FactIs) and leaf.fact == fact for leaf in leaves(rule))


class _Leaning:
    """Towards which values of which facts a rule leans: a change to such a value can make it hold, no other can."""

    def __init__(self, law: RuleSet) -> None:
        self._law = law
        self._known: dict[int, frozenset[tuple[str, bool]]] = {}

    def of(self, rule: Rule) -> frozenset[tuple[str, bool]]:
        if id(rule) not in self._known:
            self._known[id(rule)] = frozenset(self._unless(rule.when, rule.unless, holds=True))
        return self._known[id(rule)]

    def _unless(self, when: Condition, exemptions: tuple[Exemption, ...], *, holds: bool) -> Iterator[tuple[str, bool]]:
        yield from self._condition(when, holds=holds)
        for exemption in exemptions:
            yield from self._unless(exemption.when, exemption.unless, holds=not holds)

    def _condition(self, condition: Condition, *, holds: bool) -> Iterator[tuple[str, bool]]:
        match condition:
            case FactIs(fact=name, wanted=wanted):
                yield name, wanted is holds
            case RuleHolds(rule=name):
                for rule in self._law.versions(name):
                    yield from ((fact, value is holds) for fact, value in self.of(rule))
            case Not(part=part):
                yield from self._condition(part, holds=not holds)
            case AllOf(parts=parts) | AnyOf(parts=parts):
                for part in parts:
                    yield from self._condition(part, holds=holds)


def _paths(exemptions: tuple[Exemption, ...]) -> Iterator[tuple[Exemption, ...]]:
    """Every exception at any depth, with those it stands in."""
    for exemption in exemptions:
        yield (exemption,)
        for inner in _paths(exemption.unless):
            yield (exemption, *inner)


@dataclass(frozen=True)
class _Kind:
    """All requests that no rule tells apart, by one of them, on one day of a period in which the same rules hold."""

    day: date
    sender: str
    recipient: str
    category: str
    purpose: str
    rules: Rules

    def found(self, facts: Mapping[str, bool], rule: str = "") -> Found:
        return Found(self.day, self.sender, self.recipient, self.category, self.purpose, facts, rule)


def _kinds(law: RuleSet, where: Where) -> Iterator[_Kind]:
    seen: set[tuple[date | None, Rules]] = set()
    dated = {day for rule in law.rules for path in _paths(rule.unless) for day in _days(path[-1])}
    for sender, recipient, category, purpose, rules in _scopes(law, where.scope):
        changes = {where.day_from, *dated}.union(*((item.first_day, item.end_day) for item in rules))
        for day in sorted(day for day in changes if where.day_from <= day < where.day_until):
            speaking = tuple(item for item in rules if item.first_day <= day < item.end_day)
            key = (day if law.dated_exceptions else None, speaking)
            if key not in seen:
                seen.add(key)
                yield _Kind(day, sender, recipient, category, purpose, speaking)


def _days(exemption: Exemption) -> Iterator[date]:
    yield from (day for day in (exemption.valid_from, exemption.valid_until) if day)


def _everywhere(law: RuleSet) -> dict[int, list[_Kind]]:
    """The kinds of all requests about which each rule has a say, by the rule's identity."""
    words = law.vocabulary
    bodies = frozenset(words.bodies)
    found: dict[int, list[_Kind]] = {id(item): [] for item in law.compiled()}
    scope = Scope(bodies, bodies, frozenset(words.categories), frozenset(words.purposes))
    for kind in _kinds(law, Where(scope)):
        for item in kind.rules:
            found[id(item)].append(kind)
    return found


def _scopes(law: RuleSet, scope: Scope) -> Iterator[tuple[str, str, str, str, Rules]]:
    rules = tuple(item for item in law.compiled() if not item.default)
    for sender, by_sender in _told_apart(scope.senders, rules, lambda item: item.rule.scope.senders):
        for purpose, by_purpose in _told_apart(scope.purposes, by_sender, lambda item: item.rule.scope.purposes):
            for recipient, by_recipient in _told_apart(scope.recipients, by_purpose, lambda item: item.recipients):
                for category, speaking in _told_apart(scope.categories, by_recipient, lambda item: item.categories):
                    yield sender, recipient, category, purpose, speaking


def _told_apart(
    words: frozenset[str], rules: Rules, scope: Callable[[CompiledRule], frozenset[str]]
) -> Iterator[tuple[str, Rules]]:
    seen: set[Rules] = set()
    for word in sorted(words):
        speaking = tuple(item for item in rules if word in scope(item))
        if speaking not in seen:
            seen.add(speaking)
            yield word, speaking
