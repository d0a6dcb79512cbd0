"""decide(): the law applied to one request.

Default deny; one forbid outweighs every permit. Three truth values: a forbid that is not provably false blocks, a
permit must be provably true, and so must an exception. Each data category is decided on its own. There is no clock
in here: the day comes with the request, and the same rule set and request always give the same decision.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import cast

from shared.policy.consent import (
    NONE,
    Coverage,
    Shortfall,
    Where,
    approval_coverage,
    consent_coverage,
    refused_or_withdrawn,
    release_coverage,
    shortfalls,
)
from shared.policy.decision import CategoryDecision, Decision, ExceptionUsed, OtherBasis
from shared.policy.missing import Need, Search, combine, in_order
from shared.policy.model import Applicable, RuleHolds, Truth, parts
from shared.policy.request import Request, check_words
from shared.policy.ruleset import CompiledExemption, CompiledRule, RuleSet, State


def decide(ruleset: RuleSet, request: Request, *, installed: frozenset[str] | None = None) -> Decision:
    """What the law says about a request, category by category.

    With `installed` (ids of the obligations that running code performs) a permit that carries a required
    obligation outside that set becomes a deny. Raises Invalid for words the vocabulary does not know.
    """
    check_words(request, ruleset)
    named = None if request.basis is None else ruleset.permits_on(request.basis)
    decided: list[CategoryDecision] = []
    needs: list[tuple[Need, ...]] = []
    for category in request.categories:
        case = _Category(ruleset, request, category, named)
        decision = case.decide(installed)
        decided.append(decision)
        if not decision.permitted:
            needs.append(() if decision.uninstalled else case.needs)
    missing = in_order(combine(needs), ruleset.vocabulary)[0] if needs else ()
    return Decision(request, tuple(decided), missing, ruleset.hash, ruleset)


def would_permit(ruleset: RuleSet, request: Request, category: str) -> tuple[tuple[str, ...], ...]:
    """The minimal sets over all facts, also those nobody can bring about; for checking cases, not for advice."""
    named = None if request.basis is None else ruleset.permits_on(request.basis)
    needs = _Category(ruleset, request, category, named).search(all_facts=True)
    return in_order(needs, ruleset.vocabulary)[0]


def known_facts(ruleset: RuleSet, request: Request, category: str) -> dict[str, bool]:
    """The facts of one category as the rules see them; what is unknown is left out."""
    stated = {**request.facts, **request.facts_by_category.get(category, {})}
    facts, _ = _facts(ruleset, request, category, stated)
    return {name: bool(value) for name, value in facts.items() if value is True or value is False}


MAJORITY = 18
"""Years of age from which nobody is a minor (§ 2 BGB)."""


class _Category:
    """One category of one request: its facts, the rules that speak about it, their truth values."""

    def __init__(self, ruleset: RuleSet, request: Request, category: str, named: frozenset[str] | None) -> None:
        self.ruleset = ruleset
        self.request = request
        self.category = category
        self.named = named
        day = request.day
        speaking = ruleset.speaking(request.sender.body, request.recipient.body, category, request.purpose)
        self.rules = [item for item in speaking if item.first_day <= day < item.end_day]
        self.stated = {**request.facts, **request.facts_by_category.get(category, {})}
        self.facts, self.coverage = _facts(ruleset, request, category, self.stated)
        self.state = State(self.facts, request.day)

    def decide(self, installed: frozenset[str] | None) -> CategoryDecision:
        state, applicable = self.state, []
        permits: list[CompiledRule] = []
        blocking: list[CompiledRule] = []
        lifted: list[CompiledRule] = []
        for item in self.rules:
            if item.default:
                continue
            truth = state.truths[item.id] = item.evaluate(state)
            applicable.append(item.applicable[truth])
            if item.permit:
                if truth is True:
                    permits.append(item)
            elif truth is not False:
                blocking.append(item)
            elif item.exemptions and item.when(state) is not False:
                lifted.append(item)
        if len(permits) > 1:
            permits.sort(key=lambda item: item.consent_based)
        carrying = permits if self.named is None else [item for item in permits if item.id in self.named]
        others = [item for item in permits if item not in carrying]
        bases = tuple(OtherBasis(item.id, self.cited(item)[0]) for item in others)
        if blocking or not carrying:
            return self.refusal(tuple(applicable), blocking, bases if not blocking else ())
        return self.permission(tuple(applicable), carrying, lifted, bases, installed)

    def permission(
        self,
        applicable: tuple[Applicable, ...],
        carrying: list[CompiledRule],
        lifted: list[CompiledRule],
        others: tuple[OtherBasis, ...],
        installed: frozenset[str] | None,
    ) -> CategoryDecision:
        used = [
            (item, exemption)
            for item in lifted
            for exemption in item.exemptions
            if exemption.evaluate(self.state) is True
        ]
        duties = dict.fromkeys(name for item in carrying for name in item.rule.obligations)
        for _, exemption in used:
            duties.update(dict.fromkeys(self.duties(exemption)))
        facts = {name for item in carrying for name in item.mentions}.union(*(e.mentions for _, e in used))
        covering = [self.coverage[name] for name in sorted(facts) if name in self.coverage]
        basis = dict.fromkeys(norm for item in carrying for norm in self.cited(item))
        exceptions = tuple(ExceptionUsed(item.id, self.norm(exemption)) for item, exemption in used)
        basis.update(dict.fromkeys(exception.norm for exception in exceptions))
        basis.update(dict.fromkeys(norm for cover in covering for norm in cover.norms))
        basis.update(dict.fromkeys(self.ruleset.norms_of_words(self.category, self.request.purpose, self.request.day)))
        obligations = self.ruleset.obligations
        uninstalled = (
            ()
            if installed is None
            else tuple(name for name in duties if obligations[name].required and name not in installed)
        )
        return CategoryDecision(
            category=self.category,
            permitted=not uninstalled,
            basis=tuple(basis),
            rules=tuple(item.id for item in carrying),
            applicable=applicable,
            exceptions=exceptions,
            obligations=tuple(duties),
            other_bases=others,
            consents_used=tuple(dict.fromkeys(id_ for cover in covering for id_ in cover.ids)),
            uninstalled=uninstalled,
        )

    def refusal(
        self, applicable: tuple[Applicable, ...], blocking: list[CompiledRule], others: tuple[OtherBasis, ...]
    ) -> CategoryDecision:
        deciding = blocking or [item for item in self.rules if item.default]
        missing, unanswered = in_order(self.needs, self.ruleset.vocabulary)
        return CategoryDecision(
            category=self.category,
            permitted=False,
            basis=tuple(dict.fromkeys(norm for item in deciding for norm in self.cited(item))),
            rules=tuple(item.id for item in deciding),
            applicable=applicable,
            missing=missing,
            unanswered=unanswered,
            obligations=tuple(dict.fromkeys(name for item in deciding for name in item.rule.obligations)),
            other_bases=others,
            shortfalls=self.shortfalls(),
        )

    def shortfalls(self) -> tuple[Shortfall, ...]:
        """Why the declarations that came with the request do not cover this category."""
        request = self.request
        if not (request.consents or request.secrecy_releases):
            return ()
        where = Where(request.recipient.body, self.category, request.purpose, request.day)
        return shortfalls(request.consents, request.secrecy_releases, where, self.stated, self.ruleset.vocabulary)

    def cited(self, item: CompiledRule) -> tuple[str, ...]:
        return self.ruleset.cited(item.rule, self.request.day)

    def norm(self, exemption: CompiledExemption) -> str:
        return self.ruleset.dated_norms.cite((exemption.exemption.norm,), self.request.day)[0]

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """What would make the category lawful, over facts that somebody can bring about."""
        return self.search(all_facts=False)

    def search(self, *, all_facts: bool) -> tuple[Need, ...]:
        state = self.state
        if not state.truths:
            for item in self.rules:
                state.truths[item.id] = item.evaluate(state)
        words = self.ruleset.vocabulary
        search = Search(self.facts, self.stated, self.rules, self.request.day, words, all_facts=all_facts)
        return search.to_permit(
            [item for item in self.rules if item.permit and (self.named is None or item.id in self.named)],
            [
                item
                for item in self.rules
                if not item.permit and not item.default and state.truths[item.id] is not False
            ],
        )

    def duties(self, exemption: CompiledExemption) -> tuple[str, ...]:
        """The obligations of an exception, and of the permits it refers to."""
        found = list(exemption.exemption.obligations)
        for leaf in parts(exemption.exemption.when):
            if isinstance(leaf, RuleHolds) and self.state.truths.get(leaf.rule) is True:
                for rule in self.ruleset.versions(leaf.rule):
                    if rule.in_force(self.request.day):
                        found.extend(rule.obligations)
        return tuple(found)


def _facts(
    ruleset: RuleSet, request: Request, category: str, stated: dict[str, bool | int | None]
) -> tuple[dict[str, Truth], dict[str, Coverage]]:
    """The facts of one category: stated, those stated for it alone, and those computed from the records."""
    facts = cast("dict[str, Truth]", stated.copy())
    age = stated.get("age")
    if age is not None:
        facts["minor"] = age < MAJORITY
    for name, other in ruleset.exclusive:
        one, two = facts.get(name), facts.get(other)
        facts[name], facts[other] = _without(one, two), _without(two, one)
    where = Where(request.recipient.body, category, request.purpose, request.day)
    coverage = _coverage(ruleset, request, where, stated)
    for name, cover in coverage.items():
        facts[name] = cover.truth
    if request.consents and refused_or_withdrawn(request.consents, where):
        facts["consent_refused_or_withdrawn"] = True
    return facts, coverage


def _without(truth: Truth, excluded: Truth) -> Truth:
    """A finding counts only while the one that contradicts it is known not to be made: if both are, neither is."""
    if truth is False or excluded is True:
        return False
    return None if truth is None or excluded is None else True


def _coverage(
    ruleset: RuleSet, request: Request, where: Where, stated: Mapping[str, bool | int | None]
) -> dict[str, Coverage]:
    words, consents, releases = ruleset.vocabulary, request.consents, request.secrecy_releases
    found = dict.fromkeys(_DERIVED, NONE)
    if consents:
        found["consent_covers"] = consent_coverage(consents, where, stated, words)
        found["entrusting_consent_covers"] = consent_coverage(consents, where, stated, words, of_entrusting_person=True)
    if releases:
        found["secrecy_release_covers"] = release_coverage(releases, where, stated)
    if request.research_approval is not None:
        found["research_approval_covers"] = approval_coverage(request.research_approval, where)
    return found


_DERIVED = ("consent_covers", "entrusting_consent_covers", "secrecy_release_covers", "research_approval_covers")
