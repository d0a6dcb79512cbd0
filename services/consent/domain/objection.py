"""Objection (Widerspruch) to passing on assessments and certificates, § 76 Abs. 2 Nr. 1 SGB X.

One stream a person (the aggregate's id is the person's id): the notice of the right comes first, in writing
or electronically, at the start of the procedure; an objection blocks from the day it is raised, without weighing.
"""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, command, event


@command
class RecordObjectionNotice(Command):
    person_id: str


@command
class RaiseObjection(Command):
    person_id: str


@command
class TakeBackObjection(Command):
    person_id: str


@event(version=1)
class ObjectionNoticeGiven(Event):
    on: date


@event(version=1)
class ObjectionRaised(Event):
    on: date


@event(version=1)
class ObjectionTakenBack(Event):
    on: date


ObjectionEvent = ObjectionNoticeGiven | ObjectionRaised | ObjectionTakenBack


@dataclass(frozen=True)
class Objection:
    notice_on: date | None = None
    raised_on: date | None = None

    def give_notice(self, today: date) -> list[ObjectionEvent]:
        return [] if self.notice_on else [ObjectionNoticeGiven(on=today)]

    def raise_it(self, today: date) -> list[ObjectionEvent]:
        """Also without a notice: the right exists whether or not anybody pointed to it."""
        return [] if self.raised_on else [ObjectionRaised(on=today)]

    def take_back(self, today: date) -> list[ObjectionEvent]:
        return [ObjectionTakenBack(on=today)] if self.raised_on else []

    def apply(self, event: ObjectionEvent) -> "Objection":
        match event:
            case ObjectionNoticeGiven():
                return replace(self, notice_on=event.on)
            case ObjectionRaised():
                return replace(self, raised_on=event.on)
            case ObjectionTakenBack():
                return replace(self, raised_on=None)
