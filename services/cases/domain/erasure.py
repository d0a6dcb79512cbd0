"""Erasure (Löschung), Art. 17 DSGVO, § 84 SGB X: an operation over all services, complete when each has confirmed.

Ordering destroys the person's key here at once and tells the others; each does its own part and confirms. Killed at any
point it goes on by the messages that are not yet told or not yet heard, and the same step twice changes nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shared.domain import Command, Event, command, event
from shared.errors import NotFound, Refused

HOLDERS = ("audit", "cases", "consent", "exchange", "health")
"""The services that may hold something about a person, and so have to confirm."""


@command
class OrderErasure(Command):
    """By the agency itself, at the end of retention or because data should never have been there: `reason` is a code.

    `unlawful`: the data were processed unlawfully; then no duty to keep them stands against it (§ 84 Abs. 3 SGB X).
    """

    erasure_id: str
    person_id: str
    reason: str
    unlawful: bool = False


@event(version=1)
class ErasureOrdered(Event):
    person_id: str
    request_id: str
    reason: str
    by: str
    norms: tuple[str, ...]
    at: datetime


@event(version=1)
class CaseDataErased(Event):
    """What case management held about the person is unreadable and out of its lists."""

    person_id: str
    erasure_id: str


@event(version=1)
class ErasureConfirmed(Event):
    service: str
    at: datetime


@event(version=1)
class ErasureCompleted(Event):
    at: datetime


ErasureEvent = ErasureOrdered | ErasureConfirmed | ErasureCompleted


@dataclass(frozen=True)
class Erasure:
    ordered: ErasureOrdered | None = None
    confirmed: dict[str, datetime] = field(default_factory=dict)
    completed_at: datetime | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """Who has not confirmed yet."""
        return tuple(name for name in HOLDERS if name not in self.confirmed)

    def order(self, wanted: ErasureOrdered) -> list[ErasureEvent]:
        """Case management does its part in the same transaction, so its confirmation comes with the order."""
        if self.ordered:
            if self.ordered.person_id != wanted.person_id:
                raise Refused("erasure.id_taken", "this id is taken", "choose a new erasure id")
            return []
        return [wanted, ErasureConfirmed(service="cases", at=wanted.at)]

    def confirm(self, service: str, now: datetime) -> list[ErasureEvent]:
        if not self.ordered:
            raise NotFound("erasure.unknown")
        if service not in self.waiting:
            return []
        last = self.waiting == (service,)
        confirmed = ErasureConfirmed(service=service, at=now)
        return [confirmed, ErasureCompleted(at=now)] if last else [confirmed]

    def apply(self, event: ErasureEvent) -> "Erasure":
        match event:
            case ErasureOrdered():
                return Erasure(ordered=event)
            case ErasureConfirmed():
                return Erasure(self.ordered, {**self.confirmed, event.service: event.at}, self.completed_at)
            case ErasureCompleted():
                return Erasure(self.ordered, self.confirmed, event.at)
