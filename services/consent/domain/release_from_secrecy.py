"""Release from secrecy (Schweigepflichtentbindung), § 203 StGB, § 76 Abs. 1 SGB X.

Separate from consent: the consent opens SGB X, the release opens § 203 StGB. It names the professional, a person and
not a house, and the recipient.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from services.consent.domain.terms import FOR_ANOTHER, Giver
from shared.domain import Command, Event, Personal, command, event
from shared.errors import Invalid, Refused


class ReleaseForm(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"


class ReleaseStatus(StrEnum):
    UNKNOWN = "unknown"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@command
class GiveRelease(Command):
    release_id: str
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    valid_until: date | None = None
    given_by: tuple[Giver, ...] = (Giver.DATA_SUBJECT,)
    representation_id: str | None = None


@command
class WithdrawRelease(Command):
    release_id: str


@event(version=2)
class ReleaseGiven(Event):
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    on: date
    valid_until: date | None = None
    given_by: tuple[Giver, ...] = (Giver.DATA_SUBJECT,)
    representation_id: str | None = None


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
        _check(wanted, today)
        return [
            ReleaseGiven(
                person_id=wanted.person_id,
                professional=wanted.professional,
                recipient=wanted.recipient,
                categories=wanted.categories,
                form=wanted.form,
                on=today,
                valid_until=wanted.valid_until,
                given_by=wanted.given_by,
                representation_id=wanted.representation_id,
            )
        ]

    def withdraw(self, today: date) -> list[ReleaseEvent]:
        """Always possible and never asks why."""
        if not self.given or self.withdrawn_on:
            return []
        return [ReleaseWithdrawn(person_id=self.given.person_id, on=today)]

    def status(self, day: date) -> ReleaseStatus:
        if not self.given or day < self.given.on:
            return ReleaseStatus.UNKNOWN
        if self.withdrawn_on and self.withdrawn_on <= day:
            return ReleaseStatus.WITHDRAWN
        ended = self.given.valid_until is not None and day > self.given.valid_until
        return ReleaseStatus.EXPIRED if ended else ReleaseStatus.GIVEN

    def stands(self, day: date) -> bool:
        return self.status(day) is ReleaseStatus.GIVEN

    def apply(self, event: ReleaseEvent) -> "ReleaseFromSecrecy":
        match event:
            case ReleaseGiven():
                return ReleaseFromSecrecy(given=event)
            case ReleaseWithdrawn():
                return replace(self, withdrawn_on=event.on)


def _check(wanted: GiveRelease, today: date) -> None:
    detail, remedy = "who speaks for another needs a representation on record", "record it, then name it here"
    faults = [
        (
            bool(wanted.valid_until and wanted.valid_until < today),
            ("/valid_until", "the release ends before it begins", "choose today or a later day"),
        ),
        (not wanted.categories, ("/categories", "no category is named", "name each category of data")),
        (not wanted.given_by, ("/given_by", "nobody is named who gives it", "name who gives the release")),
        (
            bool(FOR_ANOTHER & set(wanted.given_by)) and not wanted.representation_id,
            ("/representation_id", detail, remedy),
        ),
    ]
    found = [fault for wrong, fault in faults if wrong]
    if found:
        raise Invalid("release.invalid", found[0][1], found[0][2], found)
