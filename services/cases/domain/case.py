"""Case (Fall) with exactly one main companion (Hauptbegleitperson)."""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, command, event
from shared.errors import NotFound, Refused


@command
class OpenCase(Command):
    case_id: str
    person_id: str
    main_companion: str


@command
class HandOverCase(Command):
    """`expected_version` is the case's version that the asker has seen (If-Match)."""

    case_id: str
    main_companion: str
    reason: str
    expected_version: int | None = None


@command
class CloseCase(Command):
    """The work with the person is over; from here on it counts how long the files are kept."""

    case_id: str


@command
class ConfirmSafetyCheck(Command):
    case_id: str


@event(version=1)
class CaseOpened(Event):
    person_id: str
    main_companion: str
    on: date


@event(version=1)
class CaseHandedOver(Event):
    main_companion: str
    reason: str
    on: date


@event(version=1)
class CaseClosed(Event):
    by: str
    on: date


@event(version=1)
class SafetyCheckDue(Event):
    """An answer in an assessment concerns the person's safety: the main companion has to look, today."""

    assessment_id: str
    on: date


@event(version=1)
class SafetyCheckConfirmed(Event):
    by: str
    on: date


CaseEvent = CaseOpened | CaseHandedOver | CaseClosed | SafetyCheckDue | SafetyCheckConfirmed


@dataclass(frozen=True)
class Case:
    person_id: str = ""
    main_companion: str = ""
    opened_on: date | None = None
    closed_on: date | None = None
    handovers: int = 0
    safety_checks_due: tuple[str, ...] = ()
    safety_concerns: tuple[str, ...] = ()

    def open(self, wanted: OpenCase, today: date) -> list[CaseEvent]:
        if self.opened_on:
            raise Refused("case.already_open", "this id is taken", "choose a new case id")
        return [CaseOpened(person_id=wanted.person_id, main_companion=wanted.main_companion, on=today)]

    def hand_over(self, main_companion: str, reason: str, today: date) -> list[CaseEvent]:
        """A change of the main companion has a reason; handing over to the same one changes nothing."""
        if not self.opened_on:
            raise NotFound("case.unknown")
        if main_companion == self.main_companion:
            return []
        if self.closed_on:
            raise Refused("case.closed", "the case was closed", "open a new case")
        return [CaseHandedOver(main_companion=main_companion, reason=reason, on=today)]

    def close(self, by: str, today: date) -> list[CaseEvent]:
        """Not while somebody has to look after the person's safety. A closed case stays closed."""
        if not self.opened_on:
            raise NotFound("case.unknown")
        if self.closed_on:
            return []
        if self.safety_checks_due:
            raise Refused("case.safety_check_due", "somebody has to look first", "confirm the safety check")
        return [CaseClosed(by=by, on=today)]

    def note_safety_concern(self, assessment_id: str, today: date) -> list[CaseEvent]:
        """Once for each assessment; only the fact is kept here, the answer stays with the health service.

        Also after the case was closed: whoever was in charge last is the one to look.
        """
        if not self.opened_on or assessment_id in self.safety_concerns:
            return []
        return [SafetyCheckDue(assessment_id=assessment_id, on=today)]

    def confirm_safety_check(self, by: str, today: date) -> list[CaseEvent]:
        if not self.opened_on:
            raise NotFound("case.unknown")
        return [SafetyCheckConfirmed(by=by, on=today)] if self.safety_checks_due else []

    def apply(self, event: CaseEvent) -> "Case":
        match event:
            case CaseOpened():
                return Case(event.person_id, event.main_companion, event.on)
            case CaseClosed(on=on):
                return replace(self, closed_on=on)
            case CaseHandedOver():
                return replace(self, main_companion=event.main_companion, handovers=self.handovers + 1)
            case SafetyCheckDue():
                return replace(
                    self,
                    safety_checks_due=(*self.safety_checks_due, event.assessment_id),
                    safety_concerns=(*self.safety_concerns, event.assessment_id),
                )
            case SafetyCheckConfirmed():
                return replace(self, safety_checks_due=())
