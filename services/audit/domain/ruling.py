"""Ruling (Freigabeentscheidung): may this disclosure happen? § 67d Abs. 1 SGB X, § 35 SGB I.

Made once for each disclosure, and fixed together with its log entry before the entry is written, so that asking again
after any interruption leads to the very same entry.
"""

from dataclasses import dataclass
from enum import StrEnum

from shared.domain import Event, Json, Personal, event, value


class Extent(StrEnum):
    """What the caller wants when only some categories are permitted: nothing, or the permitted ones."""

    ALL = "all"
    PERMITTED = "permitted"


class Outcome(StrEnum):
    """The kind of the log entry: something may leave, the law says no, or there is nothing to share."""

    INTENT = "intent"
    DENIAL = "denial"
    LOOKED = "looked"


@value
class CategoryRuling:
    """The decision for one category; `missing` lists what would make it lawful, smallest sets first."""

    category: str
    permitted: bool
    norms: tuple[str, ...]
    rules: tuple[str, ...]
    missing: tuple[tuple[str, ...], ...]
    obligations: tuple[str, ...]


@value
class Decided:
    """What the rules say about the whole request; `rule_set` is their hash, `day` the legal day of the decision."""

    categories: tuple[CategoryRuling, ...]
    obligations: tuple[str, ...]
    consents: tuple[str, ...]
    rule_set: str
    day: str
    explanation: str

    def sent(self, held: tuple[str, ...], extent: Extent) -> tuple[str, ...]:
        """The categories that may leave: permitted and held; all of those asked for, or none, unless less will do."""
        ready = tuple(c.category for c in self.categories if c.permitted and c.category in held)
        return ready if extent is Extent.PERMITTED or len(ready) == len(self.categories) else ()

    def outcome(self, sent: tuple[str, ...]) -> Outcome:
        if sent:
            return Outcome.INTENT
        permitted = all(category.permitted for category in self.categories)
        return Outcome.LOOKED if permitted else Outcome.DENIAL


@event(version=1)
class RulingMade(Event):
    """`entry` is the log entry to be, with the keys of its commitments; they stay sealed with the person's key."""

    person_id: str
    decided: Decided
    sent: tuple[str, ...]
    entry: str
    openings: Personal[Json]


@dataclass(frozen=True)
class Ruling:
    made: RulingMade | None = None

    def make(self, fresh: RulingMade) -> list[RulingMade]:
        """The first one stands; asking again changes nothing."""
        return [] if self.made else [fresh]

    def apply(self, event: RulingMade) -> "Ruling":
        return Ruling(made=event)
