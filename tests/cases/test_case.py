"""Case with one main companion, the person it is about, and what stands in the file."""

from datetime import date

import pytest

from services.cases.domain.case import (
    Case,
    CaseClosed,
    CaseHandedOver,
    CaseOpened,
    OpenCase,
    SafetyCheckConfirmed,
    SafetyCheckDue,
)
from services.cases.domain.file_entry import EntryRecorded, FileEntry, RecordEntry
from services.cases.domain.person import Person, PersonRegistered, RegisterPerson
from shared.errors import NotFound
from tests.support.given import given

TODAY, TOMORROW = date(2026, 3, 2), date(2026, 3, 3)
OPENED = CaseOpened(person_id="p-1", main_companion="adler", on=TODAY)
HANDED_OVER = CaseHandedOver(main_companion="weber", reason="parental leave", on=TOMORROW)
DUE = SafetyCheckDue(assessment_id="a-1", on=TODAY)
CONFIRMED = SafetyCheckConfirmed(by="adler", on=TODAY)
CLOSED = CaseClosed(by="adler", on=TOMORROW)
OPEN = OpenCase(case_id="c-1", person_id="p-1", main_companion="adler")


def test_a_case_is_opened_with_one_main_companion() -> None:
    opened = given(Case()).when(lambda c: c.open(OPEN, TODAY)).then(OPENED)
    opened.holds(lambda c: (c.person_id, c.main_companion, c.opened_on), ("p-1", "adler", TODAY))


def test_a_case_is_not_opened_twice() -> None:
    given(Case(), OPENED).refused(lambda c: c.open(OPEN, TODAY), "case.already_open")


def test_a_case_changes_hands_with_a_reason() -> None:
    changed = given(Case(), OPENED).when(lambda c: c.hand_over("weber", "parental leave", TOMORROW)).then(HANDED_OVER)
    changed.holds(lambda c: (c.main_companion, c.handovers), ("weber", 1))


def test_handing_a_case_to_the_one_who_has_it_changes_nothing() -> None:
    given(Case(), OPENED).when(lambda c: c.hand_over("adler", "mistake", TODAY)).then()


def test_a_case_that_was_never_opened_is_not_handed_over() -> None:
    with pytest.raises(NotFound):
        Case().hand_over("weber", "none", TODAY)


def test_a_safety_concern_is_due_until_somebody_confirms() -> None:
    due = given(Case(), OPENED).when(lambda c: c.note_safety_concern("a-1", TODAY)).then(DUE)
    due.holds(lambda c: c.safety_checks_due, ("a-1",))
    confirmed = due.when(lambda c: c.confirm_safety_check("adler", TODAY)).then(CONFIRMED)
    confirmed.holds(lambda c: c.safety_checks_due, ())


def test_the_same_concern_is_noted_once() -> None:
    given(Case(), OPENED, DUE).when(lambda c: c.note_safety_concern("a-1", TOMORROW)).then()


def test_a_concern_that_was_looked_after_does_not_come_back_by_the_same_message() -> None:
    given(Case(), OPENED, DUE, CONFIRMED).when(lambda c: c.note_safety_concern("a-1", TOMORROW)).then()


def test_a_concern_from_another_assessment_is_due_again() -> None:
    again = SafetyCheckDue(assessment_id="a-2", on=TOMORROW)
    given(Case(), OPENED, DUE, CONFIRMED).when(lambda c: c.note_safety_concern("a-2", TOMORROW)).then(again)


def test_confirming_when_nothing_is_due_changes_nothing() -> None:
    given(Case(), OPENED).when(lambda c: c.confirm_safety_check("adler", TODAY)).then()
    given(Case(), OPENED, DUE, CONFIRMED).when(lambda c: c.confirm_safety_check("adler", TODAY)).then()


def test_a_case_is_closed_once_and_stays_closed() -> None:
    closed = given(Case(), OPENED).when(lambda c: c.close("adler", TOMORROW)).then(CLOSED)
    closed.holds(lambda c: c.closed_on, TOMORROW)
    given(Case(), OPENED, CLOSED).when(lambda c: c.close("weber", TOMORROW)).then()
    given(Case(), OPENED, CLOSED).refused(lambda c: c.hand_over("weber", "none", TOMORROW), "case.closed")
    with pytest.raises(NotFound):
        Case().close("adler", TODAY)


def test_a_case_is_not_closed_while_somebody_has_to_look_after_the_person() -> None:
    given(Case(), OPENED, DUE).refused(lambda c: c.close("adler", TOMORROW), "case.safety_check_due")
    given(Case(), OPENED, DUE, CONFIRMED).when(lambda c: c.close("adler", TOMORROW)).then(CLOSED)


def test_a_concern_after_the_end_of_the_case_still_reaches_whoever_was_in_charge() -> None:
    again = SafetyCheckDue(assessment_id="a-2", on=TOMORROW)
    due = given(Case(), OPENED, CLOSED).when(lambda c: c.note_safety_concern("a-2", TOMORROW)).then(again)
    due.holds(lambda c: c.safety_checks_due, ("a-2",))


def test_a_person_is_registered_once() -> None:
    wanted = RegisterPerson(person_id="p-1", name="Ute Beispiel", birth_date=date(1990, 2, 3))
    registered = PersonRegistered(person_id="p-1", name="Ute Beispiel", birth_date=date(1990, 2, 3))
    given(Person()).when(lambda p: p.register(wanted)).then(registered)
    given(Person(), registered).refused(lambda p: p.register(wanted), "person.already_registered")


def test_an_entry_is_recorded_once_with_its_origin() -> None:
    wanted = RecordEntry(entry_id="e-1", person_id="p-1", category="benefit_data", content="Text", origin="employer")
    recorded = EntryRecorded(person_id="p-1", category="benefit_data", content="Text", origin="employer", on=TODAY)
    given(FileEntry()).when(lambda e: e.record(wanted, TODAY)).then(recorded)
    given(FileEntry(), recorded).refused(lambda e: e.record(wanted, TODAY), "entry.already_recorded")
