"""Retraction (Rückruf einer Übermittlung): that somebody was told, reminded, and that silence did not stay unnoticed.

Same id as the disclosure that is taken back. The request itself and its acknowledgement stand with the disclosure; here
stands what happens in between, each step under its time.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain import Event, event, value


@value
class AcknowledgementTerm:
    """How long a partner has: it is reminded after `remind_after`, its silence is escalated after `escalate_after`."""

    remind_after: timedelta
    escalate_after: timedelta


@event(version=1)
class RetractionHandedOver(Event):
    """The partner was told: the retraction lies in its queue or was fetched from its feed, under its own number."""

    channel: str
    sequence: int
    at: datetime


@event(version=1)
class RetractionReminded(Event):
    """The same retraction was sent once more."""

    at: datetime


@event(version=1)
class RetractionEscalated(Event):
    """The term is over without a word: `to` is who has to act now, as sign-in or role."""

    to: str
    at: datetime


RetractionEvent = RetractionHandedOver | RetractionReminded | RetractionEscalated


@dataclass(frozen=True)
class Retraction:
    handed_over: RetractionHandedOver | None = None
    reminded: RetractionReminded | None = None
    escalated: RetractionEscalated | None = None

    def hand_over(self, channel: str, sequence: int, now: datetime) -> list[RetractionEvent]:
        return [] if self.handed_over else [RetractionHandedOver(channel=channel, sequence=sequence, at=now)]

    def remind(self, asked_at: datetime, term: AcknowledgementTerm, now: datetime) -> list[RetractionEvent]:
        """Once, when the time to remind has come and it is not too late for reminding."""
        due = asked_at + term.remind_after <= now
        return [RetractionReminded(at=now)] if due and not self.reminded and not self.escalated else []

    def escalate(self, to: str, asked_at: datetime, term: AcknowledgementTerm, now: datetime) -> list[RetractionEvent]:
        """Once; also when the partner was never told, because it never asked."""
        due = asked_at + term.escalate_after <= now
        return [RetractionEscalated(to=to, at=now)] if due and not self.escalated else []

    def apply(self, event: RetractionEvent) -> "Retraction":
        match event:
            case RetractionHandedOver():
                return replace(self, handed_over=event)
            case RetractionReminded():
                return replace(self, reminded=event)
            case RetractionEscalated():
                return replace(self, escalated=event)
