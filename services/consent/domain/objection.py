"""Objection (Widerspruch): one stream a person, whose id is the aggregate's.

Two kinds. Against passing on assessments and certificates, § 76 Abs. 2 Nr. 1 SGB X: the notice of the right comes
first, in writing or electronically, at the start of the procedure; the objection blocks from the day it is raised,
without weighing. Against a processing, Art. 21 DSGVO and § 84 Abs. 5 SGB X: with reasons from the person's own
situation; while nobody has decided, and where it was upheld, the processing is restricted (Art. 18 Abs. 1 Buchst. d).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Invalid, NotFound, Refused


class NoticeForm(StrEnum):
    """The two forms in which the notice counts; a spoken one is none."""

    WRITTEN = "written"
    ELECTRONIC = "electronic"


class ProcessingObjectionState(StrEnum):
    OPEN = "open"
    UPHELD = "upheld"
    REJECTED = "rejected"
    TAKEN_BACK = "taken_back"


@command
class RecordObjectionNotice(Command):
    """The general notice of the right; `text_version` and `language` say which text the person got."""

    person_id: str
    form: NoticeForm | None = None
    text_version: str | None = None
    language: str | None = None


@command
class RaiseObjection(Command):
    person_id: str


@command
class TakeBackObjection(Command):
    person_id: str


@command
class ObjectToProcessing(Command):
    """Against disclosures to `recipient` for `purpose`; None means any."""

    objection_id: str
    person_id: str
    reasons: Personal[str]
    recipient: str | None = None
    purpose: str | None = None


@command
class DecideObjection(Command):
    """`norm` says on what a rejection rests: § 84 Abs. 5 SGB X knows two grounds."""

    objection_id: str
    person_id: str
    uphold: bool
    reasons: Personal[str]
    norm: str | None = None


@command
class TakeBackProcessingObjection(Command):
    objection_id: str
    person_id: str


@event(version=2)
class ObjectionNoticeGiven(Event):
    on: date
    form: NoticeForm | None = None
    text_version: str | None = None
    language: str | None = None


@event(version=1)
class ObjectionRaised(Event):
    on: date


@event(version=1)
class ObjectionTakenBack(Event):
    on: date


@event(version=1)
class ProcessingObjected(Event):
    objection_id: str
    person_id: str
    recipient: str | None
    purpose: str | None
    reasons: Personal[str]
    on: date


@event(version=1)
class ProcessingObjectionDecided(Event):
    objection_id: str
    person_id: str
    by: str
    uphold: bool
    norm: str | None
    reasons: Personal[str]
    on: date


@event(version=1)
class ProcessingObjectionTakenBack(Event):
    objection_id: str
    person_id: str
    on: date


ObjectionEvent = (
    ObjectionNoticeGiven
    | ObjectionRaised
    | ObjectionTakenBack
    | ProcessingObjected
    | ProcessingObjectionDecided
    | ProcessingObjectionTakenBack
)


@dataclass(frozen=True)
class AgainstProcessing:
    """One objection under Art. 21 DSGVO."""

    raised: ProcessingObjected
    state: ProcessingObjectionState = ProcessingObjectionState.OPEN
    decided: ProcessingObjectionDecided | None = None

    def restricts(self, recipient: str, purpose: str) -> bool:
        """Whether disclosures to this recipient for this purpose have to wait, or to stay undone."""
        stands = self.state in (ProcessingObjectionState.OPEN, ProcessingObjectionState.UPHELD)
        return stands and self.raised.recipient in (None, recipient) and self.raised.purpose in (None, purpose)


@dataclass(frozen=True)
class Objection:
    notice: ObjectionNoticeGiven | None = None
    raised_on: date | None = None
    processing: Mapping[str, AgainstProcessing] = field(default_factory=dict)

    @property
    def notice_on(self) -> date | None:
        return self.notice.on if self.notice else None

    def give_notice(self, today: date, wanted: RecordObjectionNotice | None = None) -> list[ObjectionEvent]:
        """Once; a first notice of which the form was not noted may be followed by one with its form."""
        form = wanted.form if wanted else None
        if self.notice and (self.notice.form or not form):
            return []
        text, language = (wanted.text_version, wanted.language) if wanted else (None, None)
        return [ObjectionNoticeGiven(on=today, form=form, text_version=text, language=language)]

    def raise_it(self, today: date) -> list[ObjectionEvent]:
        """Also without a notice: the right exists whether or not anybody pointed to it."""
        return [] if self.raised_on else [ObjectionRaised(on=today)]

    def take_back(self, today: date) -> list[ObjectionEvent]:
        return [ObjectionTakenBack(on=today)] if self.raised_on else []

    def object_to_processing(self, wanted: ObjectToProcessing, today: date) -> list[ObjectionEvent]:
        """Needs the person's own reasons; what they are worth is weighed later."""
        if wanted.objection_id in self.processing:
            raise Refused("objection.already_recorded", "this id is taken", "record a new objection")
        _require_text(wanted.reasons)
        return [
            ProcessingObjected(
                objection_id=wanted.objection_id,
                person_id=wanted.person_id,
                recipient=wanted.recipient,
                purpose=wanted.purpose,
                reasons=wanted.reasons,
                on=today,
            )
        ]

    def decide(self, wanted: DecideObjection, by: str, today: date) -> list[ObjectionEvent]:
        """A rejection names the norm it rests on. Decided is decided; a new situation is a new objection."""
        known = self._known(wanted.objection_id)
        if known.state is not ProcessingObjectionState.OPEN:
            raise Refused("objection.not_open", "this objection was decided or taken back", "read how it stands")
        _require_text(wanted.reasons)
        if not wanted.uphold and not (wanted.norm or "").strip():
            fault = ("/norm", "a rejection rests on a norm", "name it, such as § 84 Abs. 5 SGB X")
            raise Invalid("objection.invalid", fault[1], fault[2], [fault])
        return [
            ProcessingObjectionDecided(
                objection_id=wanted.objection_id,
                person_id=wanted.person_id,
                by=by,
                uphold=wanted.uphold,
                norm=wanted.norm,
                reasons=wanted.reasons,
                on=today,
            )
        ]

    def take_back_processing(self, wanted: TakeBackProcessingObjection, today: date) -> list[ObjectionEvent]:
        if self._known(wanted.objection_id).state is ProcessingObjectionState.TAKEN_BACK:
            return []
        return [
            ProcessingObjectionTakenBack(objection_id=wanted.objection_id, person_id=wanted.person_id, on=today),
        ]

    def restricts(self, recipient: str, purpose: str) -> bool:
        return any(each.restricts(recipient, purpose) for each in self.processing.values())

    def apply(self, event: ObjectionEvent) -> "Objection":
        match event:
            case ObjectionNoticeGiven():
                first = self.notice.on if self.notice else event.on
                return replace(self, notice=replace(event, on=first) if not event.form else event)
            case ObjectionRaised():
                return replace(self, raised_on=event.on)
            case ObjectionTakenBack():
                return replace(self, raised_on=None)
            case ProcessingObjected():
                return self._with(event.objection_id, AgainstProcessing(event))
            case ProcessingObjectionDecided():
                state = ProcessingObjectionState.UPHELD if event.uphold else ProcessingObjectionState.REJECTED
                known = self.processing[event.objection_id]
                return self._with(event.objection_id, replace(known, state=state, decided=event))
            case ProcessingObjectionTakenBack():
                known = self.processing[event.objection_id]
                return self._with(event.objection_id, replace(known, state=ProcessingObjectionState.TAKEN_BACK))

    def _with(self, objection_id: str, each: AgainstProcessing) -> "Objection":
        return replace(self, processing={**self.processing, objection_id: each})

    def _known(self, objection_id: str) -> AgainstProcessing:
        if objection_id not in self.processing:
            raise NotFound("objection.unknown")
        return self.processing[objection_id]


def _require_text(reasons: object) -> None:
    if not (isinstance(reasons, str) and reasons.strip()):
        fault = ("/reasons", "no reasons are given", "say what speaks for it")
        raise Invalid("objection.invalid", fault[1], fault[2], [fault])
