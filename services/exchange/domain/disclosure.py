"""Disclosure (Übermittlung), §§ 67d to 77 SGB X: from the request to the partner's signed acknowledgement.

    requested ─┬─ denied
               ├─ not held
               ├─ awaiting confirmation ─┬─ declined
               │                         │
               └─────────────────────────┴─ permitted (receipt stands) ─┬─ stopped (withdrawn before it left)
                                                                        └─ handed over ── acknowledged
                                                                                └──── retracted ── r. acknowledged

The ruling is the audit service's; this aggregate remembers it, what people decided, and what happened afterwards.
The engine prepares; the sending body is responsible (§ 67d Abs. 1 SGB X). That something is necessary is the reasoned
statement of a named person, and where the law asks for a human decision nothing leaves before one confirmed it.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from shared.domain import Command, Event, Json, Personal, command, event, value
from shared.errors import Invalid, Refused

LONGEST_BREAK_GLASS = timedelta(hours=24)
REVIEW_WITHIN = timedelta(days=7)
CONFIRM_WITHIN = timedelta(days=7)
"""After that the ruling is too old to rest a decision on: facts and law may have changed."""

LONGEST_POSTPONEMENT = timedelta(days=366)


class Extent(StrEnum):
    """What to do when only some categories are permitted: nothing, or the permitted ones. Never silently less."""

    ALL = "all"
    PERMITTED = "permitted"


class State(StrEnum):
    UNKNOWN = "unknown"
    REQUESTED = "requested"
    DENIED = "denied"
    NOT_HELD = "not_held"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    DECLINED = "declined"
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


@value
class BreakGlass:
    """In an acute emergency (§ 34 StGB): until when the data may leave, and by when somebody else looks at it again.

    Without `review_by` a second person has to confirm before anything leaves.
    """

    ends_at: datetime
    review_by: date | None = None


@command
class RequestDisclosure(Command):
    """`basis` is the norm that the sender relies on; `facts` are fact ids of the vocabulary, true or false
    (`age` is a number).

    A fact that is not named is unknown and opens nothing. Consents, releases and objections are looked up in
    the register and cannot be stated here. `decided_by` is the person who states that it is necessary, for `reasons`.
    The person concerned sees the disclosure at once, or from the day `inform_after`.
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
    decided_by: str = ""
    inform_after: date | None = None
    break_glass: BreakGlass | None = None
    data_from: date | None = None
    data_until: date | None = None

    def within(self, content: Json) -> Json:
        """Of the entries only those from `data_from` to `data_until`, if days are named; nothing else has days."""
        if self.data_from is None and self.data_until is None:
            return content
        first, last = (self.data_from or date.min).isoformat(), (self.data_until or date.max).isoformat()
        entries = [entry for entry in content.get("entries", ()) if first <= str(entry.get("on", "")) <= last]
        return {**content, "entries": entries} if entries else {}

    @property
    def states_necessity(self) -> bool:
        """Whether somebody has to answer for it by name: for necessity, or for an emergency."""
        facts, by_category = self.facts, self.facts_by_category
        stated = [facts, *by_category.values()] if isinstance(by_category, dict) else [facts]
        necessary = any(isinstance(each, dict) and each.get("necessary") is True for each in stated)
        return necessary or self.break_glass is not None

    def check(self, now: datetime, today: date) -> None:
        """Raises `Invalid` unless a named person gives reasons, and the dates are within what may be waited for."""
        glass, waits = self.break_glass, self.inform_after
        review = glass.review_by if glass else None
        faults = [
            (
                self.states_necessity and not (isinstance(self.reasons, str) and self.reasons.strip()),
                ("reason_missing", "/reasons", "necessity has no reason", "say why exactly these data are needed"),
            ),
            (
                self.states_necessity and not self.decided_by.strip(),
                ("decider_missing", "/decided_by", "nobody answers for it", "name the person who decided"),
            ),
            (
                waits is not None and not today < waits <= today + LONGEST_POSTPONEMENT,
                ("release_too_far", "/inform_after", "not a day to wait for", "name a day within a year from tomorrow"),
            ),
            (
                glass is not None and not now < glass.ends_at <= now + LONGEST_BREAK_GLASS,
                ("break_glass_invalid", "/break_glass/ends_at", "not a near end", "end it within 24 hours"),
            ),
            (
                review is not None and not today <= review <= today + REVIEW_WITHIN,
                ("break_glass_invalid", "/break_glass/review_by", "too late", "review it within seven days"),
            ),
        ]
        found = [fault for wrong, fault in faults if wrong]
        if found:
            code, _, detail, remedy = found[0]
            raise Invalid(f"disclosure.{code}", detail, remedy, [fault[1:] for fault in found])


@command
class ConfirmDisclosure(Command):
    """A named person lets a prepared disclosure go, or not. Who it is comes from the sign-in, never from here."""

    disclosure_id: str
    person_id: str
    confirm: bool
    reason: Personal[str]


@command
class ReviewBreakGlass(Command):
    """Somebody else looks afterwards at what was done in an emergency."""

    disclosure_id: str
    person_id: str
    finding: Personal[str]


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
class NecessityStated(Event):
    """Who states that exactly these data are needed, and why; the log entry commits to the same reasons."""

    person_id: str
    by: str
    at: datetime
    purpose: str
    categories: tuple[str, ...]
    reasons: Personal[str]


@event(version=1)
class InformationPostponed(Event):
    """The person concerned learns of it from this day on (§ 82a SGB X; § 8a Abs. 1 SGB VIII)."""

    until: date


@event(version=1)
class GlassBroken(Event):
    """An emergency: after `ends_at` nothing leaves any more under it."""

    ends_at: datetime
    review_by: date | None


@event(version=1)
class ConfirmationAwaited(Event):
    """Lawful by the rules; a person decides. `asked_by` are those who cannot be the second pair of eyes."""

    ruling: Ruling
    asked_by: tuple[str, ...]
    four_eyes: bool
    erase_by: date | None


@event(version=1)
class DisclosureConfirmed(Event):
    person_id: str
    by: str
    at: datetime
    reason: Personal[str]


@event(version=1)
class DisclosureDeclined(Event):
    person_id: str
    by: str
    at: datetime
    reason: Personal[str]


@event(version=1)
class BreakGlassReviewed(Event):
    person_id: str
    by: str
    at: datetime
    finding: Personal[str]


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
class DisclosureFetchedAgain(Event):
    """The partner took the same document another time, on that day at least once."""

    sequence: int
    day: date


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


@event(version=1)
class CheckpointCosigned(Event):
    """The partner, as a witness of our log, cosigned this checkpoint with its acknowledgement: a C2SP signed note."""

    witness_key: str
    checkpoint: str


@event(version=1)
class LookedUpByProgram(Event):
    """A program asked by itself: no person is named who decided it (§ 79 SGB X; marked as such in the ledger)."""


@event(version=1)
class RecipientNotified(Event):
    """The partner is told what became of data that it has: rectified, contested, restricted, erased (Art. 19 DSGVO).

    `entry` is the notice's own entry in the log; the partner confirms that entry.
    """

    notice_id: str
    change: str
    entry: Entry
    at: datetime


@event(version=1)
class NoticeAcknowledged(Event):
    notice_id: str
    signed: str
    at: datetime


NoticeEvent = RecipientNotified | NoticeAcknowledged

HumanEvent = (
    NecessityStated
    | InformationPostponed
    | GlassBroken
    | ConfirmationAwaited
    | DisclosureConfirmed
    | DisclosureDeclined
    | BreakGlassReviewed
)

DisclosureEvent = (
    HumanEvent
    | DisclosureRequested
    | DisclosureDenied
    | NothingHeld
    | DisclosurePermitted
    | DisclosureStopped
    | DisclosureHandedOver
    | DisclosureFetchedAgain
    | DisclosureAcknowledged
    | DisclosureRetracted
    | RetractionAcknowledged
    | NoticeEvent
    | LookedUpByProgram
    | CheckpointCosigned
)

RULED: dict[type[Event], State] = {
    DisclosureDenied: State.DENIED,
    NothingHeld: State.NOT_HELD,
    DisclosurePermitted: State.PERMITTED,
}

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
    fetched_on: date | None = None
    retracted: DisclosureRetracted | None = None
    retraction_acknowledged_at: datetime | None = None
    reason: str = ""

    stated: NecessityStated | None = None
    visible_from: date | None = None
    glass: GlassBroken | None = None
    awaited: ConfirmationAwaited | None = None
    confirmed: DisclosureConfirmed | None = None
    declined: DisclosureDeclined | None = None
    reviewed: BreakGlassReviewed | None = None
    notices: tuple[RecipientNotified, ...] = ()
    notices_acknowledged: tuple[str, ...] = ()

    def request(self, wanted: RequestDisclosure, now: datetime) -> list[DisclosureEvent]:
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
        return [made, *_statements(wanted, now)]

    def deny(self, ruling: Ruling) -> list[DisclosureEvent]:
        return [DisclosureDenied(ruling=ruling)] if self.state is State.REQUESTED else []

    def find_nothing(self, ruling: Ruling) -> list[DisclosureEvent]:
        return [NothingHeld(ruling=ruling)] if self.state is State.REQUESTED else []

    def permit(self, ruling: Ruling, fingerprint: str) -> list[DisclosureEvent]:
        if self.state is not State.REQUESTED:
            return []
        return [DisclosurePermitted(ruling=ruling, fingerprint=fingerprint)]

    def await_confirmation(
        self, ruling: Ruling, *, asker: str, four_eyes: bool, erase_by: date | None
    ) -> list[DisclosureEvent]:
        """Prepared, and not yet sealed for anybody. `asker` is who sent the request."""
        if self.state is not State.REQUESTED:
            return []
        asked_by = tuple(dict.fromkeys((asker, *((self.stated.by,) if self.stated else ()))))
        return [ConfirmationAwaited(ruling=ruling, asked_by=asked_by, four_eyes=four_eyes, erase_by=erase_by)]

    def confirm(self, by: str, reason: Personal[str], now: datetime, fingerprint: str = "") -> list[DisclosureEvent]:
        """The human decision, together with the permit that it makes. Raises `Refused` when it is not this person's."""
        if self.confirmed:
            return []
        awaited, asked = self._awaiting()
        _require_text(reason, "/reason")
        if now.date() > date.fromisoformat(awaited.ruling.day) + CONFIRM_WITHIN:
            raise Refused("disclosure.confirmation_too_late", "the ruling is too old", "decline it, and ask anew")
        if self.glass and now > self.glass.ends_at:
            raise Refused("disclosure.break_glass_ended", "the emergency has ended", "ask anew, or decline it")
        if by in awaited.asked_by and self._needs_another_person(awaited):
            remedy = "let somebody else decide, who did not ask for it"
            raise Refused("disclosure.second_person_needed", "four eyes decide here", remedy)
        return [
            DisclosureConfirmed(person_id=asked.person_id, by=by, at=now, reason=reason),
            DisclosurePermitted(ruling=awaited.ruling, fingerprint=fingerprint),
        ]

    def decline(self, by: str, reason: Personal[str], now: datetime) -> list[DisclosureEvent]:
        if self.declined:
            return []
        _, asked = self._awaiting()
        _require_text(reason, "/reason")
        return [DisclosureDeclined(person_id=asked.person_id, by=by, at=now, reason=reason)]

    def review(self, by: str, finding: Personal[str], now: datetime) -> list[DisclosureEvent]:
        """Once, and by somebody who neither asked nor confirmed."""
        if self.reviewed:
            return []
        if not (self.glass and self.confirmed and self.awaited):
            raise Refused("disclosure.nothing_to_review", "no emergency was used here", "read how it stands")
        _require_text(finding, "/finding")
        if by in (*self.awaited.asked_by, self.confirmed.by):
            remedy = "let somebody else look at it"
            raise Refused("disclosure.second_person_needed", "nobody reviews their own decision", remedy)
        return [BreakGlassReviewed(person_id=self.confirmed.person_id, by=by, at=now, finding=finding)]

    def _awaiting(self) -> tuple[ConfirmationAwaited, DisclosureRequested]:
        if self.state is not State.AWAITING_CONFIRMATION or not self.awaited or not self.requested:
            raise Refused("disclosure.nothing_to_confirm", "no decision is awaited here", "read how it stands")
        return self.awaited, self.requested

    def _needs_another_person(self, awaited: ConfirmationAwaited) -> bool:
        """In an emergency a dated review may stand in for the second person, and nowhere else."""
        return not self.glass.review_by if self.glass else awaited.four_eyes

    def hand_over(self, channel: str, sequence: int, now: datetime) -> list[DisclosureEvent]:
        if self.state is not State.PERMITTED:
            return []
        return [DisclosureHandedOver(channel=channel, sequence=sequence, at=now)]

    def fetch_again(self, sequence: int, today: date) -> list[DisclosureEvent]:
        """A day is noted once, however often the partner asks."""
        return [] if self.fetched_on == today else [DisclosureFetchedAgain(sequence=sequence, day=today)]

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

    def notify(self, notice_id: str, change: str, entry: Entry, now: datetime) -> list[DisclosureEvent]:
        """Only whoever has the data, or may have them, is told; also when the disclosure was retracted before."""
        known = notice_id in {each.notice_id for each in self.notices}
        if known or self.state not in (State.PERMITTED, *REACHED, *TAKEN_BACK):
            return []
        return [RecipientNotified(notice_id=notice_id, change=change, entry=entry, at=now)]

    def notice_at(self, origin: str, index: int) -> RecipientNotified | None:
        """The notice whose entry stands at that place of the log."""
        here = (each for each in self.notices if (each.entry.origin, each.entry.index) == (origin, index))
        return next(here, None)

    def acknowledge_notice(self, notice_id: str, signed: str, now: datetime) -> list[DisclosureEvent]:
        if notice_id in self.notices_acknowledged:
            return []
        return [NoticeAcknowledged(notice_id=notice_id, signed=signed, at=now)]

    def apply(self, event: DisclosureEvent) -> "Disclosure":
        match event:
            case DisclosureRequested():
                return replace(self, state=State.REQUESTED, requested=event)
            case DisclosureDenied() | NothingHeld() | DisclosurePermitted():
                return replace(self, state=RULED[type(event)], ruling=event.ruling)
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
            case CheckpointCosigned() | LookedUpByProgram():
                return self
            case DisclosureFetchedAgain(day=day):
                return replace(self, fetched_on=day)
            case _:
                return self._with(event)

    def _with(self, event: HumanEvent | NoticeEvent) -> "Disclosure":
        """What people state and decide, and what the recipient is told afterwards."""
        match event:
            case NecessityStated():
                return replace(self, stated=event)
            case InformationPostponed():
                return replace(self, visible_from=event.until)
            case GlassBroken():
                return replace(self, glass=event)
            case ConfirmationAwaited():
                return replace(self, state=State.AWAITING_CONFIRMATION, awaited=event, ruling=event.ruling)
            case DisclosureConfirmed():
                return replace(self, confirmed=event)
            case DisclosureDeclined():
                return replace(self, state=State.DECLINED, declined=event)
            case BreakGlassReviewed():
                return replace(self, reviewed=event)
            case RecipientNotified():
                return replace(self, notices=(*self.notices, event))
            case NoticeAcknowledged():
                return replace(self, notices_acknowledged=(*self.notices_acknowledged, event.notice_id))


def _statements(wanted: RequestDisclosure, now: datetime) -> list[DisclosureEvent]:
    """What is stated together with a request: necessity, a later notice, an emergency."""
    made: list[DisclosureEvent] = [] if wanted.decided_by.strip() else [LookedUpByProgram()]
    if wanted.states_necessity:
        made.append(
            NecessityStated(
                person_id=wanted.person_id,
                by=wanted.decided_by,
                at=now,
                purpose=wanted.purpose,
                categories=wanted.categories,
                reasons=wanted.reasons,
            )
        )
    if wanted.inform_after:
        made.append(InformationPostponed(until=wanted.inform_after))
    if wanted.break_glass:
        made.append(GlassBroken(ends_at=wanted.break_glass.ends_at, review_by=wanted.break_glass.review_by))
    return made


def _require_text(text: object, pointer: str) -> None:
    if not (isinstance(text, str) and text.strip()):
        fault = (pointer, "a decision has a reason", "say why")
        raise Invalid("disclosure.reason_missing", fault[1], fault[2], [fault])
