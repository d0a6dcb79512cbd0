"""The loaded law: rules compiled to functions over three truth values, found by sender and purpose."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from shared.policy.citation import places
from shared.policy.model import (
    AllOf,
    AnyOf,
    Applicable,
    Condition,
    Exemption,
    FactIs,
    Not,
    Obligation,
    Rule,
    RuleHolds,
    Truth,
    Vocabulary,
    all_exemptions,
    parts,
)
from shared.policy.readings import Question
from shared.policy.versions import NO_VERSIONS, NormVersions

CONSENT_FACTS = frozenset({"consent_covers", "secrecy_release_covers", "entrusting_consent_covers"})


_REMEMBERED = 50_000


class State:
    """What is known about one data category of one request: facts, rules decided so far, the day."""

    __slots__ = ("day", "facts", "truths")

    def __init__(self, facts: Mapping[str, Truth], day: date) -> None:
        self.facts = facts
        self.truths: dict[str, Truth] = {}
        self.day = day


Evaluate = Callable[[State], Truth]


class CompiledExemption:
    """An exception ready to be decided."""

    __slots__ = ("evaluate", "exemption", "mentions", "when")

    def __init__(self, exemption: Exemption) -> None:
        self.exemption = exemption
        self.when = _condition(exemption.when)
        self.evaluate = _exemption(exemption)
        self.mentions = frozenset(leaf.fact for leaf in parts(exemption.when) if isinstance(leaf, FactIs))


class CompiledRule:
    """A rule ready to be decided: `evaluate` is yes, no or unknown for a state in its scope."""

    __slots__ = (
        "applicable",
        "categories",
        "consent_based",
        "default",
        "end_day",
        "evaluate",
        "exemptions",
        "first_day",
        "id",
        "mentions",
        "permit",
        "recipients",
        "rule",
        "when",
    )  # fmt: skip

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.id = rule.id
        self.permit = rule.effect == "permit"
        self.applicable = {truth: Applicable(rule.id, rule.effect, truth) for truth in (True, False, None)}
        self.default = rule.default
        self.when = _condition(rule.when)
        self.exemptions = tuple(CompiledExemption(exemption) for exemption in rule.unless)
        self.evaluate = _unless(self.when, tuple(item.evaluate for item in self.exemptions))
        self.recipients = rule.scope.recipients
        self.categories = rule.scope.categories
        self.first_day = rule.valid_from
        self.end_day = rule.valid_until or date.max
        self.mentions = frozenset(leaf.fact for leaf in parts(rule.when) if isinstance(leaf, FactIs))
        self.consent_based = bool(self.mentions & CONSENT_FACTS)


class RuleSet:
    """One version of the law, unchangeable; `hash` names it in every decision.

    `content` is all of it as JSON: stored under the hash, it lets an old case be decided again (`restore`).
    `questions` are the open questions with the readings followed; `asked` names those on which a rule of some id
    depends, whether or not it stands in the law under these readings.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        vocabulary: Vocabulary,
        obligations: Mapping[str, Obligation],
        digest: str,
        content: Mapping[str, Any],
        *,
        dated_norms: NormVersions = NO_VERSIONS,
        questions: Mapping[str, Question] | None = None,
        asked: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.rules = rules
        self.vocabulary = vocabulary
        self.obligations = obligations
        self.hash = digest
        self.content = content
        self.dated_norms = dated_norms
        self.questions = questions or {}
        self.asked = asked or {}
        self.exclusive = tuple((name, word.excludes) for name, word in vocabulary.facts.items() if name < word.excludes)
        self.dated_exceptions = any(
            exemption.valid_from or exemption.valid_until for rule in rules for exemption in all_exemptions(rule.unless)
        )
        self._compiled = tuple(CompiledRule(rule) for rule in rules)
        self._cells: dict[tuple[str, str], tuple[CompiledRule, ...]] = {}
        self._speaking: dict[tuple[str, str, str, str], tuple[CompiledRule, ...]] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._by_id: dict[str, tuple[Rule, ...]] = {}
        for rule in rules:
            self._by_id[rule.id] = (*self._by_id.get(rule.id, ()), rule)

    def __repr__(self) -> str:
        return f"RuleSet({len(self.rules)} rules, {self.hash[:12]})"

    def cited(self, rule: Rule, day: date) -> tuple[str, ...]:
        """Every citation of the rule as it is written on the day, the leading norm first."""
        norms = rule.norms
        return self.dated_norms.cite(norms, day) if self.dated_norms.dated(norms) else norms

    def norms_of_words(self, category: str, purpose: str, day: date) -> tuple[str, ...]:
        """The norms that say what category and purpose meant on the day, where that changed over time."""
        norms = self.vocabulary.norms
        if not norms:
            return ()
        found = (norms.get(("categories", category)), norms.get(("purposes", purpose)))
        return tuple(dict.fromkeys(self.dated_norms.cite((norm for norm in found if norm), day)))

    def certainty(self, rule: Rule, day: date) -> tuple[str, ...]:
        """How sure the rule is on the day; a text in force that was not read makes it less than sure."""
        return self.dated_norms.certainty(rule.norm, rule.certainty, day)

    def versions(self, id_: str) -> tuple[Rule, ...]:
        """Every version of a rule, the oldest first; empty when there is no such rule."""
        return self._by_id.get(id_, ())

    def compiled(self) -> tuple[CompiledRule, ...]:
        """All rules, each after those it refers to."""
        return self._compiled

    def cell(self, sender: str, purpose: str) -> tuple[CompiledRule, ...]:
        """The rules that speak about this sender and purpose, each after those it refers to."""
        key = (sender, purpose)
        found = self._cells.get(key)
        if found is None:
            found = tuple(
                item
                for item in self._compiled
                if sender in item.rule.scope.senders and purpose in item.rule.scope.purposes
            )
            self._cells[key] = found
        return found

    def speaking(self, sender: str, recipient: str, category: str, purpose: str) -> tuple[CompiledRule, ...]:
        """The rules that speak about such a disclosure on some day, each after those it refers to."""
        key = (sender, recipient, category, purpose)
        found = self._speaking.get(key)
        if found is None:
            found = tuple(
                item
                for item in self.cell(sender, purpose)
                if recipient in item.recipients and category in item.categories
            )
            if len(self._speaking) < _REMEMBERED:
                self._speaking[key] = found
        return found

    def permits_on(self, basis: str) -> frozenset[str]:
        """The permits that a named legal basis means: a rule id, or a norm that the rule cites."""
        found = self._named.get(basis)
        if found is None:
            wanted = places(basis)
            found = frozenset(
                rule.id
                for rule in self.rules
                if rule.effect == "permit"
                and (
                    rule.id == basis
                    or (wanted and any(p.covers(w) for w in wanted for norm in rule.norms for p in places(norm)))
                )
            )
            self._named[basis] = found
        return found


def _condition(condition: Condition) -> Evaluate:
    match condition:
        case FactIs(fact=name, wanted=True):
            return lambda state: state.facts.get(name)
        case FactIs(fact=name):
            return lambda state: None if (value := state.facts.get(name)) is None else not value
        case RuleHolds(rule=name):
            return lambda state: state.truths.get(name, False)
        case Not(part=part):
            inner = _condition(part)
            return lambda state: None if (value := inner(state)) is None else not value
        case AllOf(parts=inner_parts):
            return _all(tuple(_condition(part) for part in inner_parts))
        case AnyOf(parts=inner_parts):
            return _any(tuple(_condition(part) for part in inner_parts))


def _all(functions: tuple[Evaluate, ...]) -> Evaluate:
    def evaluate(state: State) -> Truth:
        result: Truth = True
        for function in functions:
            value = function(state)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return functions[0] if len(functions) == 1 else evaluate


def _any(functions: tuple[Evaluate, ...]) -> Evaluate:
    def evaluate(state: State) -> Truth:
        result: Truth = False
        for function in functions:
            value = function(state)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return functions[0] if len(functions) == 1 else evaluate


def _unless(when: Evaluate, exceptions: tuple[Evaluate, ...]) -> Evaluate:
    if not exceptions:
        return when
    lifted = _any(exceptions)

    def evaluate(state: State) -> Truth:
        value = when(state)
        if value is False:
            return False
        exception = lifted(state)
        if exception is True:
            return False
        return None if value is None or exception is None else True

    return evaluate


def _exemption(exemption: Exemption) -> Evaluate:
    body = _unless(_condition(exemption.when), tuple(_exemption(inner) for inner in exemption.unless))
    first, end = exemption.valid_from or date.min, exemption.valid_until or date.max
    if exemption.valid_from is None and exemption.valid_until is None:
        return body
    return lambda state: body(state) if first <= state.day < end else False
