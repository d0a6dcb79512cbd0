"""What is missing: the minimal sets of facts that would make a disclosure lawful.

Sets hold only facts that somebody can bring about (`change` in the vocabulary), at most four. A fact that is open
but cannot be brought about, such as whether data are due for erasure, is no part of a set; it is asked separately.
"""

from collections.abc import Iterable, Mapping
from datetime import date

from shared.policy.model import (
    CHANGES,
    AllOf,
    AnyOf,
    Condition,
    Exemption,
    FactIs,
    Not,
    RuleHolds,
    Truth,
    Vocabulary,
)
from shared.policy.ruleset import CompiledRule

LIMIT = 4

Need = tuple[frozenset[str], frozenset[str]]
"""Facts to bring about, and open questions to be answered favourably."""

_NOTHING: tuple[Need, ...] = ((frozenset(), frozenset()),)


class Search:
    """The search for one category: the facts known of it and the rules that speak about it."""

    def __init__(
        self,
        facts: Mapping[str, Truth],
        stated: Mapping[str, bool | int | None],
        rules: Iterable[CompiledRule],
        day: date,
        words: Vocabulary,
        *,
        all_facts: bool,
    ) -> None:
        self.facts = facts
        self.stated = stated
        self.rules = {item.id: item for item in rules}
        self.day = day
        self.words = words
        self.all_facts = all_facts
        self.known: dict[tuple[str, bool], tuple[Need, ...]] = {}

    def to_permit(self, permits: Iterable[CompiledRule], forbids: Iterable[CompiledRule]) -> tuple[Need, ...]:
        """What would make one of the permits hold and none of the forbids."""
        found = _either(self.rule(item.id, wanted=True) for item in permits)
        for forbid in forbids:
            if not found:
                return ()
            found = _both(found, self.rule(forbid.id, wanted=False))
        return found

    def rule(self, id_: str, *, wanted: bool) -> tuple[Need, ...]:
        item = self.rules.get(id_)
        if item is None:
            return () if wanted else _NOTHING
        key = (id_, wanted)
        if key not in self.known:
            self.known[key] = self.unless(item.rule.when, item.rule.unless, wanted=wanted)
        return self.known[key]

    def unless(self, when: Condition, exemptions: tuple[Exemption, ...], *, wanted: bool) -> tuple[Need, ...]:
        if wanted:
            found = self.condition(when, wanted=True)
            for exemption in exemptions:
                found = _both(found, self.exemption(exemption, wanted=False))
            return found
        return _either(
            (self.condition(when, wanted=False), *(self.exemption(item, wanted=True) for item in exemptions))
        )

    def exemption(self, exemption: Exemption, *, wanted: bool) -> tuple[Need, ...]:
        first, end = exemption.valid_from or date.min, exemption.valid_until or date.max
        if not first <= self.day < end:
            return () if wanted else _NOTHING
        return self.unless(exemption.when, exemption.unless, wanted=wanted)

    def condition(self, condition: Condition, *, wanted: bool) -> tuple[Need, ...]:
        match condition:
            case FactIs(fact=name, wanted=value):
                return self.fact(name, wanted=value == wanted)
            case RuleHolds(rule=name):
                return self.rule(name, wanted=wanted)
            case Not(part=part):
                return self.condition(part, wanted=not wanted)
            case AllOf(parts=parts):
                return self.every(parts, wanted=True) if wanted else self.some(parts, wanted=False)
            case AnyOf(parts=parts):
                return self.some(parts, wanted=True) if wanted else self.every(parts, wanted=False)

    def every(self, parts: tuple[Condition, ...], *, wanted: bool) -> tuple[Need, ...]:
        found: tuple[Need, ...] = _NOTHING
        for part in parts:
            if not found:
                break
            found = _both(found, self.condition(part, wanted=wanted))
        return found

    def some(self, parts: tuple[Condition, ...], *, wanted: bool) -> tuple[Need, ...]:
        return _either(self.condition(part, wanted=wanted) for part in parts)

    def fact(self, name: str, *, wanted: bool) -> tuple[Need, ...]:
        value = self.facts.get(name)
        if value is wanted:
            return _NOTHING
        word = self.words.facts[name]
        if wanted and (word.change or self.all_facts):
            if word.kind == "derived" and value is None:
                return ((frozenset(), frozenset({"age"})),)
            contradicted = self.stated.get(word.excludes) if word.excludes else False
            if contradicted:
                return ()
            needed = frozenset() if self.stated.get(name) is True else frozenset({name})
            return ((needed, frozenset({word.excludes}) if contradicted is None else frozenset()),)
        return ((frozenset(), frozenset({name})),) if value is None else ()


def in_order(needs: Iterable[Need], words: Vocabulary) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Sets with the easiest first (documentation < procedure < another's act < consent), and the open questions."""

    def ease(name: str) -> tuple[int, str]:
        change = words.facts[name].change
        return (CHANGES.index(change) if change else len(CHANGES), name)

    chosen: dict[frozenset[str], frozenset[str]] = {}
    for facts, questions in sorted(needs, key=lambda need: (len(need[0]), len(need[1]), sorted(need[1]))):
        if not any(smaller <= facts for smaller in chosen):
            chosen[facts] = questions
    sets = [tuple(sorted(facts, key=ease)) for facts in chosen if facts]
    sets.sort(key=lambda names: (max(ease(n)[0] for n in names), sum(ease(n)[0] for n in names), len(names), names))
    return tuple(sets), tuple(sorted(frozenset().union(*chosen.values())))


def combine(needs: Iterable[tuple[Need, ...]]) -> tuple[Need, ...]:
    """What several categories need together."""
    found: tuple[Need, ...] = _NOTHING
    for other in needs:
        found = _both(found, other)
    return found


def _both(left: tuple[Need, ...], right: tuple[Need, ...]) -> tuple[Need, ...]:
    if left == _NOTHING:
        return right
    if right == _NOTHING:
        return left
    return _minimal((a | c, b | d) for a, b in left for c, d in right if len(a | c) <= LIMIT)


def _either(options: Iterable[tuple[Need, ...]]) -> tuple[Need, ...]:
    return _minimal(need for option in options for need in option)


def _minimal(needs: Iterable[Need]) -> tuple[Need, ...]:
    kept: list[Need] = []
    for need in sorted(set(needs), key=lambda n: (len(n[0]), len(n[1]), sorted(n[0]), sorted(n[1]))):
        if not any(facts <= need[0] and questions <= need[1] for facts, questions in kept):
            kept.append(need)
    return tuple(kept)
