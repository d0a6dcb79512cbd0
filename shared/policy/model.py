"""The law in memory: vocabulary, rules, conditions. Everything here is a frozen value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal, TypeAlias

Truth: TypeAlias = "bool | None"
"""True (yes), False (no) or None (unknown), in the logic of Kleene."""

Lang = Literal["de", "en"]


@dataclass(frozen=True)
class FactIs:
    """A fact is established as yes (or as no)."""

    fact: str
    wanted: bool


@dataclass(frozen=True)
class RuleHolds:
    """Another rule applies to the same disclosure and its conditions are met."""

    rule: str


@dataclass(frozen=True)
class AllOf:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Not:
    part: "Condition"


Condition: TypeAlias = "FactIs | RuleHolds | AllOf | AnyOf | Not"
ALWAYS = AllOf(())


@dataclass(frozen=True)
class Exemption:
    """An exception to a rule, with the norm it rests on; it may have exceptions of its own."""

    norm: str
    when: Condition
    unless: tuple["Exemption", ...] = ()
    obligations: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None


@dataclass(frozen=True)
class Scope:
    """Whom and what a rule speaks about; the words are resolved to ids of the vocabulary."""

    senders: frozenset[str]
    recipients: frozenset[str]
    categories: frozenset[str]
    purposes: frozenset[str]


@dataclass(frozen=True)
class Rule:
    """One rule, one norm. A permit opens, a forbid closes; a default forbid closes where no permit holds."""

    id: str
    norm: str
    also: tuple[str, ...]
    source: str
    title: Mapping[str, str]
    effect: Literal["permit", "forbid"]
    default: bool
    valid_from: date
    valid_until: date | None
    scope: Scope
    when: Condition
    unless: tuple[Exemption, ...]
    obligations: tuple[str, ...]
    explanation: Mapping[str, str]
    note: Mapping[str, str]
    certainty: tuple[str, ...]
    reviewed_by: str
    reviewed_on: str
    file: str
    line: int
    questions: tuple[str, ...] = ()
    """The open questions on whose readings the rule or one of its exceptions depends."""

    @property
    def norms(self) -> tuple[str, ...]:
        """Every citation of the rule, the leading norm first."""
        return (self.norm, *self.also)

    def in_force(self, day: date) -> bool:
        """Half open: the rule holds from `valid_from` until the day before `valid_until`."""
        return self.valid_from <= day and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True)
class Applicable:
    """A rule that speaks about this category, parties, purpose and day, and its truth value."""

    rule: str
    effect: str
    truth: Truth


@dataclass(frozen=True)
class FactWord:
    """A fact the law may ask for: how it is asked, who may answer, and what would bring it about."""

    id: str
    de: str
    en: str
    question: str
    kind: Literal["boolean", "integer", "derived"]
    asserted_by: tuple[str, ...]
    change: Literal["documentation", "procedural", "another_person", "consent", ""]
    excludes: str

    def name(self, lang: "Lang") -> str:
        return self.de if lang == "de" else self.en


CHANGES = ("documentation", "procedural", "another_person", "consent")


@dataclass(frozen=True)
class Obligation:
    """A duty that hangs on a decision. Without its code a required one turns the permit into a deny."""

    id: str
    de: str
    en: str
    required: bool
    performed_by: str

    def name(self, lang: "Lang") -> str:
        return self.de if lang == "de" else self.en


@dataclass(frozen=True)
class WordVersion:
    """What a word was called from `valid_from` until the day before `valid_until`."""

    valid_from: date
    valid_until: date
    de: str
    en: str


@dataclass(frozen=True)
class Word:
    """A word of the vocabulary. `norm` is the law that says what it means, where that law changed over time."""

    id: str
    de: str
    en: str
    norm: str = ""
    versions: tuple[WordVersion, ...] = ()

    def name(self, lang: "Lang", day: date | None = None) -> str:
        """What it is called; with a day, what it was called then."""
        for version in self.versions:
            if day is not None and version.valid_from <= day < version.valid_until:
                return version.de if lang == "de" else version.en
        return self.de if lang == "de" else self.en


@dataclass(frozen=True)
class Vocabulary:
    """The closed set of words in which requests, cases and rules are written.

    `words` holds them by kind (domains, bodies, categories, purposes) and id; `bodies` and its like are the same
    words with their German name.
    """

    words: Mapping[str, Mapping[str, Word]]
    domain_of: Mapping[str, str]
    section35: frozenset[str]
    body_groups: Mapping[str, tuple[str, ...]]
    category_groups: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, FactWord]

    @cached_property
    def domains(self) -> Mapping[str, str]:
        return self.names("domains", "de")

    @cached_property
    def bodies(self) -> Mapping[str, str]:
        return self.names("bodies", "de")

    @cached_property
    def categories(self) -> Mapping[str, str]:
        return self.names("categories", "de")

    @cached_property
    def purposes(self) -> Mapping[str, str]:
        return self.names("purposes", "de")

    @cached_property
    def norms(self) -> Mapping[tuple[str, str], str]:
        """The norm of each word that has one, by kind and id."""
        return {(kind, id_): w.norm for kind, words in self.words.items() for id_, w in words.items() if w.norm}

    def names(self, kind: str, lang: Lang) -> Mapping[str, str]:
        """The names of all words of a kind, by id."""
        return {id_: word.name(lang) for id_, word in self.words[kind].items()}


def parts(condition: Condition) -> Iterator[FactIs | RuleHolds]:
    """Every leaf of a condition, from left to right."""
    match condition:
        case AllOf(parts=inner) | AnyOf(parts=inner):
            for part in inner:
                yield from parts(part)
        case Not(part=part):
            yield from parts(part)
        case _:
            yield condition


def leaves(rule: Rule) -> Iterator[FactIs | RuleHolds]:
    """Every leaf of a rule: of its condition and of its exceptions at any depth."""
    yield from parts(rule.when)
    yield from exemption_leaves(rule.unless)


def exemption_leaves(exemptions: tuple[Exemption, ...]) -> Iterator[FactIs | RuleHolds]:
    for exemption in exemptions:
        yield from parts(exemption.when)
        yield from exemption_leaves(exemption.unless)


def all_exemptions(exemptions: tuple[Exemption, ...]) -> Iterator[Exemption]:
    """Every exception at any depth."""
    for exemption in exemptions:
        yield exemption
        yield from all_exemptions(exemption.unless)
