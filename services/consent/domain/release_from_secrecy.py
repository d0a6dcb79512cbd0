"""Release from secrecy (Schweigepflichtentbindung), § 203 StGB, § 76 Abs. 1 SGB X.

Separate from consent: the consent opens SGB X, the release opens § 203 StGB. It names the professional.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Invalid, Refused


class ReleaseForm(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"


@command
class GiveRelease(Command):
    release_id: str
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    valid_until: date | None = None


@command
class WithdrawRelease(Command):
    release_id: str


@event(version=1)
class ReleaseGiven(Event):
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    on: date
    valid_until: date | None = None


@event(version=1)
class ReleaseWithdrawn(Event):
    person_id: str
    on: date


ReleaseEvent = ReleaseGiven | ReleaseWithdrawn


@dataclass(frozen=True)
class ReleaseFromSecrecy:
    given: ReleaseGiven | None = None
    withdrawn_on: date | None = None

    def give(self, wanted: GiveRelease, today: date) -> list[ReleaseEvent]:
        if self.given:
            raise Refused("release.already_recorded", "this id is taken", "record a new release")
        if wanted.valid_until and wanted.valid_until < today:
            fault = ("/valid_until", "the release ends before it begins", "choose today or a later day")
            raise Invalid("release.invalid", fault[1], fault[2], [fault])
        return [
            ReleaseGiven(
                person_id=wanted.person_id,
                professional=wanted.professional,
                recipient=wanted.recipient,
                categories=wanted.categories,
                form=wanted.form,
                on=today,
                valid_until=wanted.valid_until,
            )
        ]

    def withdraw(self, today: date) -> list[ReleaseEvent]:
        """Always possible and never asks why."""
        if not self.given or self.withdrawn_on:
            return []
        return [ReleaseWithdrawn(person_id=self.given.person_id, on=today)]

    def stands(self, day: date) -> bool:
        if not self.given or (self.withdrawn_on and self.withdrawn_on <= day):
            return False
        return not (self.given.valid_until and day > self.given.valid_until)

    def apply(self, event: ReleaseEvent) -> "ReleaseFromSecrecy":
        match event:
            case ReleaseGiven():
                return ReleaseFromSecrecy(given=event)
            case ReleaseWithdrawn():
                return replace(self, withdrawn_on=event.on)
