"""What the law says about one request: a frozen value that anybody can recompute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from shared.policy.citation import covered
from shared.policy.consent import Shortfall
from shared.policy.model import Applicable, Rule, Truth
from shared.policy.request import Request
from shared.policy.ruleset import RuleSet
from shared.policy.versions import NormVersion

_TRUTH_WORDS: Mapping[Truth, str] = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True)
class ExceptionUsed:
    """An exception that lifted a forbid, with the norm it rests on."""

    rule: str
    norm: str


@dataclass(frozen=True)
class OtherBasis:
    """A permit that would also hold; statute comes first, consent last."""

    rule: str
    norm: str


@dataclass(frozen=True)
class NearMiss:
    """A permit that fails in one respect only: the day, the category, the purpose, or its facts."""

    rule: str
    norms: tuple[str, ...]
    fails: str


@dataclass(frozen=True)
class CategoryDecision:
    """The decision about one data category.

    `basis` cites the law that decides; `rules` are the determining rules. `missing` are the minimal sets of facts
    that would make the disclosure lawful, the easiest first; `unanswered` are open questions that must be answered
    first and cannot be brought about. `uninstalled` are required obligations that no installed code performs.
    `shortfalls` say why declarations that came with the request do not cover it.
    """

    category: str
    permitted: bool
    basis: tuple[str, ...]
    rules: tuple[str, ...]
    applicable: tuple[Applicable, ...]
    exceptions: tuple[ExceptionUsed, ...] = ()
    missing: tuple[tuple[str, ...], ...] = ()
    unanswered: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    other_bases: tuple[OtherBasis, ...] = ()
    consents_used: tuple[str, ...] = ()
    uninstalled: tuple[str, ...] = ()
    shortfalls: tuple[Shortfall, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "category": self.category,
            "permitted": self.permitted,
            "basis": list(self.basis),
            "rules": list(self.rules),
            "applicable": [
                {"rule": a.rule, "effect": a.effect, "truth": _TRUTH_WORDS[a.truth]} for a in self.applicable
            ],
            "exceptions": [{"rule": e.rule, "norm": e.norm} for e in self.exceptions],
            "missing": [list(names) for names in self.missing],
            "unanswered": list(self.unanswered),
            "obligations": list(self.obligations),
            "other_bases": [{"rule": o.rule, "norm": o.norm} for o in self.other_bases],
            "consents_used": list(self.consents_used),
            "uninstalled": list(self.uninstalled),
            "shortfalls": [{"record": s.record, "reason": s.reason, "norm": s.norm} for s in self.shortfalls],
        }


@dataclass(frozen=True)
class Decision:
    """The decision about one request. Permitted only if every category is."""

    request: Request
    categories: tuple[CategoryDecision, ...]
    missing: tuple[tuple[str, ...], ...]
    ruleset_hash: str
    law: RuleSet = field(repr=False, compare=False)

    @property
    def permitted(self) -> bool:
        return all(category.permitted for category in self.categories)

    @property
    def day(self) -> date:
        return self.request.day

    @property
    def permitted_categories(self) -> tuple[str, ...]:
        return tuple(item.category for item in self.categories if item.permitted)

    @property
    def obligations(self) -> tuple[str, ...]:
        """The duties of the whole disclosure: of the permitted categories, or of the refusals if there are any."""
        chosen = [item for item in self.categories if item.permitted == self.permitted]
        return tuple(dict.fromkeys(name for item in chosen for name in item.obligations))

    @property
    def consents_used(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(id_ for item in self.categories for id_ in item.consents_used))

    def of(self, category: str) -> CategoryDecision:
        """The decision about one category of the request."""
        return next(item for item in self.categories if item.category == category)

    @cached_property
    def near_misses(self) -> Mapping[str, tuple[NearMiss, ...]]:
        """For each refused category the permits that came closest, and what kept them from carrying it."""
        return {item.category: self._near(item) for item in self.categories if not item.permitted}

    def norm_versions(self, item: CategoryDecision) -> tuple[NormVersion, ...]:
        """The versions, on the day, of the norms that decide a category and of those that say what its words mean.

        Only those that a reader should know of: cited in a way of their own, or with a note.
        """
        law, day = self.law, self.day
        words = law.vocabulary.norms
        named = [words.get(("categories", item.category)), words.get(("purposes", self.request.purpose))]
        norms = [norm for norm in named if norm]
        norms += [rule.norm for id_ in item.rules for rule in law.versions(id_) if rule.in_force(day)]
        found = dict.fromkeys(version for norm in norms for version in law.dated_norms.on(norm, day))
        return tuple(each for each in found if each.cite != each.norm or each.says["de"])

    def cited(self) -> tuple[str, ...]:
        """Every citation the decision gives: what decided, what was lifted, what came closest, what consents lack."""
        found: dict[str, None] = {}
        for item in self.categories:
            found.update(dict.fromkeys(item.basis))
            found.update(dict.fromkeys(used.norm for used in item.exceptions))
            found.update(dict.fromkeys(other.norm for other in item.other_bases))
            found.update(dict.fromkeys(shortfall.norm for shortfall in item.shortfalls))
            found.update(dict.fromkeys(self.law.norms_of_words(item.category, self.request.purpose, self.day)))
        for near in self.near_misses.values():
            found.update(dict.fromkeys(norm for miss in near for norm in miss.norms))
        return tuple(found)

    def cites(self, norm: str) -> bool:
        """Whether the decision rests on, lifts or considers this norm."""
        return covered(norm, self.cited())

    def _near(self, item: CategoryDecision) -> tuple[NearMiss, ...]:
        request, held = self.request, {a.rule for a in item.applicable if a.truth is True}
        found: list[NearMiss] = []
        for rule in self.law.rules:
            if rule.effect != "permit" or rule.id in held:
                continue
            fails = _failing(rule, request, item.category)
            if len(fails) <= 1:
                found.append(NearMiss(rule.id, rule.norms, fails[0] if fails else "facts"))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The decision as JSON of strings, booleans, arrays and objects; the same input gives the same bytes."""
        request = self.request
        return {
            "permitted": self.permitted,
            "day": request.day.isoformat(),
            "sender": {"body": request.sender.body, "domain": request.sender.domain},
            "recipient": {"body": request.recipient.body, "domain": request.recipient.domain},
            "purpose": request.purpose,
            "named_basis": request.basis or "",
            "rule_set": self.ruleset_hash,
            "categories": [item.to_json() for item in self.categories],
            "versions": [
                {"norm": each.norm, "cited": each.cite, "certainty": list(each.certainty), "says": dict(each.says)}
                for each in dict.fromkeys(one for item in self.categories for one in self.norm_versions(item))
            ],
            "missing": [list(names) for names in self.missing],
            "obligations": list(self.obligations),
            "consents_used": list(self.consents_used),
            "considered": [
                {"category": category, "rule": miss.rule, "norms": list(miss.norms), "fails": miss.fails}
                for category, misses in self.near_misses.items()
                for miss in misses
            ],
        }


def _failing(rule: Rule, request: Request, category: str) -> list[str]:
    scope = rule.scope
    if request.sender.body not in scope.senders or request.recipient.body not in scope.recipients:
        return ["parties", "parties"]
    fails = []
    if not rule.in_force(request.day):
        fails.append("day")
    if category not in scope.categories:
        fails.append("category")
    if request.purpose not in scope.purposes:
        fails.append("purpose")
    return fails
