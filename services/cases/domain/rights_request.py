"""Rights request (Antrag auf Betroffenenrechte), Art. 15 to 21 DSGVO, §§ 83, 84 SGB X: a case with a term and an end.

    requested ── (assigned, extended once, reminded) ── answered

Every request is answered: granted, granted in part, restricted instead of erased, left contested with a note, or
refused with the reasons. That it was late shows in its dates. What the person wrote and what the agency answered are
sealed with the person's key; after an erasure the dates and the outcome remain, as proof that the law was kept.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Annotated

from shared.domain import Command, Erased, Event, Personal, Sealed, command, event
from shared.errors import Invalid, NotFound, Refused

ALREADY_ANSWERED = "rights.already_answered"


class Right(StrEnum):
    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    PORTABILITY = "portability"
    OBJECTION = "objection"


class Outcome(StrEnum):
    """`restricted`: kept, but used for nothing else, because the law forbids erasing (§ 84 Abs. 3 SGB X).
    `contested`: nobody can say what is true, so the data go only with a note (§ 84 Abs. 2 Satz 2 SGB X).
    """

    GRANTED = "granted"
    PARTLY_GRANTED = "partly_granted"
    RESTRICTED = "restricted"
    CONTESTED = "contested"
    REFUSED = "refused"


POSSIBLE = {
    Right.ACCESS: {Outcome.GRANTED, Outcome.PARTLY_GRANTED, Outcome.REFUSED},
    Right.RECTIFICATION: {Outcome.GRANTED, Outcome.CONTESTED, Outcome.REFUSED},
    Right.ERASURE: {Outcome.GRANTED, Outcome.RESTRICTED, Outcome.REFUSED},
    Right.RESTRICTION: {Outcome.GRANTED, Outcome.REFUSED},
    Right.PORTABILITY: {Outcome.GRANTED, Outcome.REFUSED},
    Right.OBJECTION: {Outcome.GRANTED, Outcome.REFUSED},
}
"""Which ends each right may have."""


class Stage(StrEnum):
    """What a reminder says."""

    DUE_SOON = "due_soon"
    DUE_NOW = "due_now"
    OVERDUE = "overdue"


Representative = Annotated[str | Erased | None, Sealed("representative_id")]


@command
class RequestRight(Command):
    """`record` names what it is about: `person`, `entry:<id>`, `finding:<id>`, `disclosure:<id>`. Without
    `received_on` it came today. A representative is another person with an id and a name of their own.
    """

    request_id: str
    person_id: str
    right: Right
    wish: Personal[str] = ""
    record: str = ""
    received_on: date | None = None
    owner: str = ""
    representative_id: str | None = None
    representative: Representative = None


@command
class AssignRequest(Command):
    request_id: str
    owner: str


@command
class ExtendRequest(Command):
    request_id: str
    person_id: str
    reasons: Personal[str]


@event(version=1)
class RightRequested(Event):
    """`norm` sets the term, `due_on` is its last day."""

    person_id: str
    right: Right
    wish: Personal[str]
    record: str
    received_on: date
    due_on: date
    norm: str
    owner: str
    representative_id: str | None
    representative: Representative


@event(version=1)
class RequestAssigned(Event):
    owner: str
    on: date


@event(version=1)
class RequestExtended(Event):
    person_id: str
    due_on: date
    reasons: Personal[str]
    on: date


@event(version=1)
class RequestReminded(Event):
    stage: Stage
    on: date


@event(version=1)
class RightAnswered(Event):
    """`opened` and `closed` are the categories of an access; `log` and `index` its entry in the audit log.

    `until` is the first day on which a restriction holds no more, `erasure_id` the operation that erases.
    """

    person_id: str
    outcome: Outcome
    reasons: Personal[str]
    norms: tuple[str, ...]
    by: str
    on: date
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    via_doctor: bool = False
    log: str = ""
    index: int = -1
    until: date | None = None
    erasure_id: str = ""


RightsEvent = RightRequested | RequestAssigned | RequestExtended | RequestReminded | RightAnswered


@dataclass(frozen=True)
class RightsRequest:
    requested: RightRequested | None = None
    owner: str = ""
    due_on: date = date.max
    extended: RequestExtended | None = None
    reminded: tuple[tuple[Stage, date], ...] = ()
    answered: RightAnswered | None = None

    def request(self, wanted: RequestRight, *, received_on: date, due_on: date, norm: str) -> list[RightsEvent]:
        made = RightRequested(
            person_id=wanted.person_id,
            right=wanted.right,
            wish=wanted.wish,
            record=wanted.record,
            received_on=received_on,
            due_on=due_on,
            norm=norm,
            owner=wanted.owner,
            representative_id=wanted.representative_id,
            representative=wanted.representative,
        )
        if self.requested:
            if self.requested == made:
                return []
            raise Refused("rights.id_taken", "this id is taken", "choose a new request id")
        return [made]

    def assign(self, owner: str, today: date) -> list[RightsEvent]:
        self.known()
        return [] if owner == self.owner else [RequestAssigned(owner=owner, on=today)]

    def extend(self, wanted: ExtendRequest, due_on: date, today: date) -> list[RightsEvent]:
        """Once, with reasons, and only while the first term runs (Art. 12 Abs. 3 Satz 2, 3 DSGVO)."""
        self.open()
        require_reasons(wanted.reasons)
        if self.extended:
            return []
        if today > self.due_on:
            raise Refused("rights.extension_too_late", "the first term is over", "answer the request now")
        return [RequestExtended(person_id=wanted.person_id, due_on=due_on, reasons=wanted.reasons, on=today)]

    def remind(self, days_before: tuple[int, ...], today: date) -> list[RightsEvent]:
        """Each stage once for each last day."""
        if not self.requested or self.answered:
            return []
        left = (self.due_on - today).days
        stage = _stage(left, days_before)
        if stage is None or self._was_reminded(stage, left, days_before):
            return []
        return [RequestReminded(stage=stage, on=today)]

    def answer(self, answered: RightAnswered) -> list[RightsEvent]:
        right = self.open().right
        if answered.outcome not in POSSIBLE[right]:
            wanted = ", ".join(sorted(POSSIBLE[right]))
            fault = ("/outcome", f"not an end of a request for {right}", f"one of {wanted}")
            raise Invalid("rights.outcome_impossible", fault[1], fault[2], [fault])
        if answered.outcome is not Outcome.GRANTED:
            require_reasons(answered.reasons)
        return [answered]

    def known(self) -> RightRequested:
        """Raises `NotFound` when there is no such request."""
        if not self.requested:
            raise NotFound("rights.unknown")
        return self.requested

    def open(self) -> RightRequested:
        """Raises `Refused` when it was answered."""
        requested = self.known()
        if self.answered:
            raise Refused(ALREADY_ANSWERED, "this request was answered", "make a new request")
        return requested

    def _was_reminded(self, stage: Stage, left: int, days_before: tuple[int, ...]) -> bool:
        """Whether this stage, or this mark of the days before, was told already for the present last day."""
        told = [on for known, on in self.reminded if known is stage]
        if stage is not Stage.DUE_SOON:
            return any(_stage((self.due_on - on).days, days_before) is stage for on in told)
        mark = _mark(left, days_before)
        return any(_mark((self.due_on - on).days, days_before) == mark for on in told)

    def apply(self, event: RightsEvent) -> "RightsRequest":
        match event:
            case RightRequested():
                return RightsRequest(requested=event, owner=event.owner, due_on=event.due_on)
            case RequestAssigned():
                return replace(self, owner=event.owner)
            case RequestExtended():
                return replace(self, due_on=event.due_on, extended=event)
            case RequestReminded():
                return replace(self, reminded=(*self.reminded, (event.stage, event.on)))
            case RightAnswered():
                return replace(self, answered=event)


def _mark(left: int, days_before: tuple[int, ...]) -> int | None:
    """The nearest mark that has been reached with `left` days to go."""
    return min((days for days in days_before if left <= days), default=None)


def _stage(left: int, days_before: tuple[int, ...]) -> Stage | None:
    if left < 0:
        return Stage.OVERDUE
    if left == 0:
        return Stage.DUE_NOW
    return None if _mark(left, days_before) is None else Stage.DUE_SOON


def require_reasons(reasons: object) -> None:
    if not (isinstance(reasons, str) and reasons.strip()):
        fault = ("/reasons", "there is no reason", "say why, in words the person understands")
        raise Invalid("rights.reasons_missing", fault[1], fault[2], [fault])
