"""Disclosure (Übermittlung), §§ 67d to 77 SGB X: from the request to the partner's signed acknowledgement.

    requested ─┬─ denied
               ├─ not held
               └─ permitted (receipt stands) ─┬─ stopped (withdrawn before it left)
                                              └─ handed over ── acknowledged
                                                      └──── retracted ── retraction acknowledged

The ruling is the audit service's; this aggregate only remembers it and what happened afterwards.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from shared.domain import Command, Event, Json, Personal, command, event, value
from shared.errors import Refused


class Extent(StrEnum):
    """What to do when only some categories are permitted: nothing, or the permitted ones. Never silently less."""

    ALL = "all"
    PERMITTED = "permitted"


class State(StrEnum):
    UNKNOWN = "unknown"
    REQUESTED = "requested"
    DENIED = "denied"
    NOT_HELD = "not_held"
    PERMITTED = "permitted"
    STOPPED = "stopped"
    HANDED_OVER = "handed_over"
    ACKNOWLEDGED = "acknowledged"
    RETRACTED = "retracted"
    RETRACTION_ACKNOWLEDGED = "retraction_acknowledged"


class Match(StrEnum):
    """Whether the recipient found its own file; nothing is guessed."""

    MATCHED = "matched"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"


@command
class RequestDisclosure(Command):
    """`basis` is the norm that the sender relies on; `facts` are fact ids of the vocabulary, true or false
    (`age` is a number).

    A fact that is not named is unknown and opens nothing. Consents, releases and objections are looked up in
    the register and cannot be stated here.
    """

    disclosure_id: str
    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None = None
    extent: Extent = Extent.ALL
    facts: Personal[Json] = field(default_factory=dict)
    facts_by_category: Personal[Json] = field(default_factory=dict)
    case_id: str | None = None
    reasons: Personal[str] = ""


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
class Ruling:
    """What the audit service decided and wrote down.

    `sent` names the categories that may leave now: permitted, held, and of the extent asked for; empty is a no.
    `index` is the entry in the log of `origin`, `leaf` its bytes, `receipt` the proof that it stands there.
    """

    sent: tuple[str, ...]
    categories: tuple[CategoryRuling, ...]
    obligations: tuple[str, ...]
    rule_set: str
    day: str
    origin: str
    index: int
    leaf: str
    receipt: str
    consents: tuple[str, ...]
    explanation: str


@event(version=1)
class DisclosureRequested(Event):
    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None
    extent: Extent
    case_id: str | None


@event(version=1)
class DisclosureDenied(Event):
    ruling: Ruling


@event(version=1)
class NothingHeld(Event):
    """The law is not the obstacle: the agency does not hold all that was asked for."""

    ruling: Ruling


@event(version=1)
class DisclosurePermitted(Event):
    """`fingerprint` is the SHA-256 of the envelope that lies in the partner's queue."""

    ruling: Ruling
    fingerprint: str


@event(version=1)
class DisclosureStopped(Event):
    """Nothing reached the partner, or it was taken back unread."""

    reason: str
    taken_back: bool


@event(version=1)
class DisclosureHandedOver(Event):
    """Left the platform for the partner's queue or feed under the partner's own sequence number."""

    channel: str
    sequence: int
    at: datetime


@event(version=1)
class DisclosureAcknowledged(Event):
    match: Match
    signed: str
    at: datetime


@value
class Entry:
    """A place in the log with the proof that it is there."""

    origin: str
    index: int
    leaf: str
    receipt: str


@event(version=1)
class DisclosureRetracted(Event):
    """`entry` is the retraction's own entry in the log; the partner confirms that entry."""

    reason: str
    entry: Entry
    at: datetime


@event(version=1)
class RetractionAcknowledged(Event):
    signed: str
    at: datetime


DisclosureEvent = (
    DisclosureRequested
    | DisclosureDenied
    | NothingHeld
    | DisclosurePermitted
    | DisclosureStopped
    | DisclosureHandedOver
    | DisclosureAcknowledged
    | DisclosureRetracted
    | RetractionAcknowledged
)

REACHED = (State.HANDED_OVER, State.ACKNOWLEDGED)
"""States in which the partner has, or may have, the data."""

TAKEN_BACK = (State.RETRACTED, State.RETRACTION_ACKNOWLEDGED)
"""States in which the partner was asked to stop using the data."""


@dataclass(frozen=True)
class Disclosure:
    state: State = State.UNKNOWN
    requested: DisclosureRequested | None = None
    ruling: Ruling | None = None
    handed_over: DisclosureHandedOver | None = None
    acknowledged: DisclosureAcknowledged | None = None
    retracted: DisclosureRetracted | None = None
    retraction_acknowledged_at: datetime | None = None
    reason: str = ""

    def request(self, wanted: RequestDisclosure) -> list[DisclosureEvent]:
        made = DisclosureRequested(
            person_id=wanted.person_id,
            partner_id=wanted.partner_id,
            categories=wanted.categories,
            purpose=wanted.purpose,
            basis=wanted.basis,
            extent=wanted.extent,
            case_id=wanted.case_id,
        )
        if self.requested == made:
            return []
        if self.requested:
            raise Refused("disclosure.already_requested", "this id is taken", "choose a new disclosure id")
        return [made]

    def deny(self, ruling: Ruling) -> list[DisclosureEvent]:
        return [DisclosureDenied(ruling=ruling)] if self.state is State.REQUESTED else []

    def find_nothing(self, ruling: Ruling) -> list[DisclosureEvent]:
        return [NothingHeld(ruling=ruling)] if self.state is State.REQUESTED else []

    def permit(self, ruling: Ruling, fingerprint: str) -> list[DisclosureEvent]:
        if self.state is not State.REQUESTED:
            return []
        return [DisclosurePermitted(ruling=ruling, fingerprint=fingerprint)]

    def hand_over(self, channel: str, sequence: int, now: datetime) -> list[DisclosureEvent]:
        if self.state is not State.PERMITTED:
            return []
        return [DisclosureHandedOver(channel=channel, sequence=sequence, at=now)]

    def stop(self, reason: str, *, taken_back: bool = False) -> list[DisclosureEvent]:
        """Before it left; or after, when the partner's queue gave it back unread."""
        stoppable = self.state is State.PERMITTED or (taken_back and self.state is State.HANDED_OVER)
        return [DisclosureStopped(reason=reason, taken_back=taken_back)] if stoppable else []

    def acknowledge(self, match: Match, signed: str, now: datetime) -> list[DisclosureEvent]:
        """The recipient's word; also accepted when it comes after the retraction."""
        if self.acknowledged or self.state not in (State.PERMITTED, State.HANDED_OVER, *TAKEN_BACK):
            return []
        return [DisclosureAcknowledged(match=match, signed=signed, at=now)]

    def retract(self, reason: str, entry: Entry, now: datetime) -> list[DisclosureEvent]:
        """Asks the partner to stop using what it has; what it did before stays lawful (Art. 7 Abs. 3 DSGVO)."""
        if self.state not in REACHED:
            return []
        return [DisclosureRetracted(reason=reason, entry=entry, at=now)]

    def acknowledge_retraction(self, signed: str, now: datetime) -> list[DisclosureEvent]:
        return [RetractionAcknowledged(signed=signed, at=now)] if self.state is State.RETRACTED else []

    def apply(self, event: DisclosureEvent) -> "Disclosure":
        match event:
            case DisclosureRequested():
                return replace(self, state=State.REQUESTED, requested=event)
            case DisclosureDenied():
                return replace(self, state=State.DENIED, ruling=event.ruling)
            case NothingHeld():
                return replace(self, state=State.NOT_HELD, ruling=event.ruling)
            case DisclosurePermitted():
                return replace(self, state=State.PERMITTED, ruling=event.ruling)
            case DisclosureStopped():
                return replace(self, state=State.STOPPED, reason=event.reason)
            case DisclosureHandedOver():
                return replace(self, state=State.HANDED_OVER, handed_over=event)
            case DisclosureAcknowledged():
                late = self.state in TAKEN_BACK
                return replace(self, state=self.state if late else State.ACKNOWLEDGED, acknowledged=event)
            case DisclosureRetracted():
                return replace(self, state=State.RETRACTED, retracted=event, reason=event.reason)
            case RetractionAcknowledged():
                return replace(self, state=State.RETRACTION_ACKNOWLEDGED, retraction_acknowledged_at=event.at)
