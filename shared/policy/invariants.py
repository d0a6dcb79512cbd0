"""Sentences that hold over all requests: proved by looking at every kind of request there is.

Bodies, categories and purposes that no rule tells apart are one kind. For each kind the facts that are left free are
tried out as far as they matter: three truth values cut off what can no longer change the answer. So a sentence that
passes is proved for every request and every combination of facts, and one that fails comes with a counterexample.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.policy.loading import ScopeReader
from shared.policy.model import FactIs, Scope, Truth, leaves
from shared.policy.reading import Flaw, LawError, read
from shared.policy.ruleset import CompiledRule, RuleSet, State

_KEYS = {"id", "norm", "says", "given", "never"}
_GIVEN_KEYS = {"from", "to", "categories", "purposes", "facts", "day_from", "day_until"}


@dataclass(frozen=True)
class Invariant:
    """In this scope and with these facts nothing is ever permitted."""

    id: str
    norm: str
    says: Mapping[str, str]
    scope: Scope
    facts: Mapping[str, bool]
    day_from: date
    day_until: date


@dataclass(frozen=True)
class Counterexample:
    """A request that a sentence rules out and the law permits."""

    invariant: str
    day: date
    sender: str
    recipient: str
    category: str
    purpose: str
    facts: Mapping[str, bool]

    def __str__(self) -> str:
        true = ", ".join(name for name, value in sorted(self.facts.items()) if value) or "-"
        return f"{self.day} {self.sender} > {self.recipient}: {self.category} ({self.purpose}); {true}"


def load_invariants(law: RuleSet, file: Path) -> list[Invariant]:
    """The sentences of a file, every word checked; raises LawError."""
    document = read(file.read_text(encoding="utf-8"), file.name)
    flaws: list[Flaw] = []
    reader = ScopeReader(document, law.vocabulary, flaws)
    found: list[Invariant] = []
    for index, entry in enumerate(document.data or []):
        path = (index,)
        given = {**{key: ["any"] for key in ("from", "to", "categories", "purposes")}, **entry.get("given", {})}
        for key in (entry.keys() - _KEYS) | (given.keys() - _GIVEN_KEYS):
            reader.flaw(path, f"unknown key '{key}'", "See the head of the file.")
        if entry.get("never") != "permitted":
            reader.flaw(path, "'never' is not 'permitted'", "Only this kind of sentence is proved.")
        facts = given.get("facts") or {}
        for name, value in facts.items():
            if name not in law.vocabulary.facts or not isinstance(value, bool):
                reader.flaw(path, f"unknown fact or value '{name}'", "See vocabulary.yaml; write true or false.")
        reader.citation(entry.get("norm"), path)
        found.append(
            Invariant(
                id=str(entry.get("id")),
                norm=str(entry.get("norm")),
                says=reader.both_languages(entry, "says", path),
                scope=reader.scope(given, (*path, "given")),
                facts=facts,
                day_from=reader.day(given, "day_from", path) or date.min,
                day_until=reader.day(given, "day_until", path) or date.max,
            )
        )
    if flaws:
        raise LawError(flaws)
    return found


def counterexample(law: RuleSet, invariant: Invariant) -> Counterexample | None:
    """A request that breaks the sentence, or None when it is proved."""
    seen: set[tuple[date | None, tuple[CompiledRule, ...]]] = set()
    days = _days(law, invariant)
    for sender, recipient, category, purpose, rules in _kinds(law, invariant.scope):
        for day in days:
            speaking = tuple(item for item in rules if item.first_day <= day < item.end_day)
            key = (day if law.dated_exceptions else None, speaking)
            if key in seen:
                continue
            seen.add(key)
            facts = _permitting(speaking, dict(invariant.facts), day)
            if facts is not None:
                return Counterexample(invariant.id, day, sender, recipient, category, purpose, facts)
    return None


def _permitting(rules: tuple[CompiledRule, ...], facts: dict[str, Truth], day: date) -> Mapping[str, bool] | None:
    """Facts that extend the given ones and make the rules permit; None when there are none."""
    state = State(facts, day)
    opened: Truth = False
    undecided: list[CompiledRule] = []
    for item in rules:
        truth = state.truths[item.id] = item.evaluate(state)
        if item.permit:
            opened = True if opened is True or truth is True else None if opened is None or truth is None else False
        elif truth is True:
            return None
        if truth is None:
            undecided.append(item)
    if opened is False:
        return None
    free = next(_free(undecided, facts), None)
    if free is None:
        return {name: bool(value) for name, value in facts.items()}
    for value in (True, False):
        found = _permitting(rules, {**facts, free: value}, day)
        if found is not None:
            return found
    return None


def _free(rules: Iterable[CompiledRule], facts: Mapping[str, Truth]) -> Iterator[str]:
    """Facts that are open and matter to a rule that is undecided: of the permits first."""
    for item in sorted(rules, key=lambda rule: not rule.permit):
        for leaf in leaves(item.rule):
            if isinstance(leaf, FactIs) and leaf.fact not in facts:
                yield leaf.fact


def _days(law: RuleSet, invariant: Invariant) -> list[date]:
    """One day of each period in which the same rules hold."""
    changes = {rule.valid_from for rule in law.rules} | {rule.valid_until or date.max for rule in law.rules}
    changes |= {part.valid_from for rule in law.rules for part in rule.unless if part.valid_from}
    changes |= {part.valid_until for rule in law.rules for part in rule.unless if part.valid_until}
    return [day for day in sorted({invariant.day_from, *changes}) if invariant.day_from <= day < invariant.day_until]


def _kinds(law: RuleSet, scope: Scope) -> Iterator[tuple[str, str, str, str, tuple[CompiledRule, ...]]]:
    """One representative of all requests that no rule tells apart, with the rules that speak about it."""
    rules = tuple(item for item in law.compiled() if not item.default)
    for sender, by_sender in _told_apart(scope.senders, rules, lambda item: item.rule.scope.senders):
        for purpose, by_purpose in _told_apart(scope.purposes, by_sender, lambda item: item.rule.scope.purposes):
            for recipient, by_recipient in _told_apart(scope.recipients, by_purpose, lambda item: item.recipients):
                for category, speaking in _told_apart(scope.categories, by_recipient, lambda item: item.categories):
                    yield sender, recipient, category, purpose, speaking


def _told_apart(
    words: frozenset[str], rules: tuple[CompiledRule, ...], scope: Callable[[CompiledRule], frozenset[str]]
) -> Iterator[tuple[str, tuple[CompiledRule, ...]]]:
    seen: set[tuple[CompiledRule, ...]] = set()
    for word in sorted(words):
        speaking = tuple(item for item in rules if word in scope(item))
        if speaking not in seen:
            seen.add(speaking)
            yield word, speaking


def broken(law: RuleSet, invariants: Iterable[Invariant]) -> list[Counterexample]:
    """Every sentence that does not hold, with a request that shows it."""
    return [found for invariant in invariants if (found := counterexample(law, invariant)) is not None]
