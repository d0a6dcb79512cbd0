"""Assessment (Gutachten, Einschätzung) by a versioned instrument, such as the PHQ-9.

An instrument is item keys, ranges and scoring (`contracts/instruments/`); item texts are never stored. Refused,
not known and missing are three different things, and a total is formed only from all scored items.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, Personal, command, event, known, value
from shared.errors import Invalid, NotFound, Refused

NOT_SCORED = ("refused", "not_known", "missing")


@value
class Band:
    name: str
    lowest: int


@value
class Instrument:
    """`scored` items enter the total with the numbers `lowest` to `highest`; `unscored` items only inform."""

    key: str
    version: str
    scored: tuple[str, ...]
    unscored: tuple[str, ...]
    lowest: int
    highest: int
    bands: tuple[Band, ...]
    safety_items: tuple[str, ...]

    def total(self, answers: Mapping[str, str]) -> int | None:
        """The sum over all scored items, or None as soon as one of them has no number."""
        given = [answers[item] for item in self.scored]
        return None if any(answer in NOT_SCORED for answer in given) else sum(map(int, given))

    def band(self, total: int | None) -> str | None:
        """The name of the band that `total` falls into."""
        if total is None:
            return None
        return next(band.name for band in reversed(self.bands) if total >= band.lowest)

    def concerns_safety(self, answers: Mapping[str, str]) -> bool:
        """Whether an item that concerns the person's safety was answered above zero, whatever the total."""
        given = [answers.get(item, "missing") for item in self.safety_items]
        return any(answer not in NOT_SCORED and int(answer) > 0 for answer in given)

    def check(self, answers: Mapping[str, str]) -> None:
        """Raises `Invalid` naming each item that is unknown, absent or out of range."""
        allowed = {str(number) for number in range(self.lowest, self.highest + 1)} | set(NOT_SCORED)
        wanted = f"one of {', '.join(sorted(allowed))}"
        items = (*self.scored, *self.unscored)
        faults = [
            (f"/answers/{item}", "not an item of this instrument", "remove it") for item in answers if item not in items
        ]
        faults += [
            (f"/answers/{item}", "no answer" if item not in answers else "not a possible answer", wanted)
            for item in items
            if answers.get(item) not in allowed
        ]
        if faults:
            raise Invalid("assessment.invalid", "some answers do not fit the instrument", "", faults)


@command
class RecordAssessment(Command):
    """`answers`: item key → number as text, or `refused`, `not_known`, `missing`."""

    assessment_id: str
    person_id: str
    instrument: str
    instrument_version: str
    answers: Personal[dict[str, str]]
    taken_on: date


@event(version=1)
class AssessmentRecorded(Event):
    person_id: str
    instrument: str
    instrument_version: str
    answers: Personal[dict[str, str]]
    total: Personal[int | None]
    band: Personal[str | None]
    taken_on: date


@event(version=1)
class SafetyConcernNoted(Event):
    """Goes to the person in charge, whatever the total, and opens no way to partners."""

    person_id: str
    on: date


@event(version=1)
class AssessmentContested(Event):
    """The person says it is not right: it goes only with this note (§ 84 Abs. 2 SGB X). Scores are never rewritten."""

    person_id: str
    request_id: str
    note: Personal[str]
    on: date


AssessmentEvent = AssessmentRecorded | SafetyConcernNoted | AssessmentContested


@dataclass(frozen=True)
class Assessment:
    recorded: AssessmentRecorded | None = None
    safety_concern: bool = False
    contested: AssessmentContested | None = None

    def record(self, wanted: RecordAssessment, instrument: Instrument, today: date) -> list[AssessmentEvent]:
        if self.recorded:
            raise Refused("assessment.already_recorded", "this id is taken", "record a new assessment")
        answers = known(wanted.answers, {})
        instrument.check(answers)
        if wanted.taken_on > today:
            fault = ("/taken_on", "the day lies in the future", "give the day it was taken")
            raise Invalid("assessment.invalid", fault[1], fault[2], [fault])
        total = instrument.total(answers)
        recorded = AssessmentRecorded(
            person_id=wanted.person_id,
            instrument=instrument.key,
            instrument_version=instrument.version,
            answers=answers,
            total=total,
            band=instrument.band(total),
            taken_on=wanted.taken_on,
        )
        if not instrument.concerns_safety(answers):
            return [recorded]
        return [recorded, SafetyConcernNoted(person_id=wanted.person_id, on=today)]

    def contest(self, contested: AssessmentContested) -> list[AssessmentEvent]:
        if not self.recorded or self.recorded.person_id != contested.person_id:
            raise NotFound("assessment.unknown")
        return [contested]

    def apply(self, event: AssessmentEvent) -> "Assessment":
        match event:
            case AssessmentRecorded():
                return Assessment(recorded=event)
            case SafetyConcernNoted():
                return replace(self, safety_concern=True)
            case AssessmentContested():
                return replace(self, contested=event)
