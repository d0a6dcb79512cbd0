"""The files of an agency: persons, cases, entries, and the content of a category for a disclosure."""

from datetime import date

import pytest

from services.cases.domain.case import ConfirmSafetyCheck, HandOverCase, OpenCase
from services.cases.domain.file_entry import RecordEntry
from services.cases.queries import (
    CasePage,
    CaseQuestion,
    CasesQuestion,
    CaseView,
    ContentAnswer,
    ContentQuestion,
    PersonQuestion,
    PersonView,
)
from shared.domain import Json, Receipt
from shared.errors import Conflict, HandschlagError, Invalid, NotFound
from shared.law import health_categories
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import ANSWERS, NAME, Workplace, fresh


def case(at: Workplace, case_id: str) -> CaseView:
    return at.ask("cases", "case", CaseQuestion(case_id=case_id), CaseView)


def hand_over(at: Workplace, case_id: str, to: str, *, seen: int | None, command_id: str | None = None) -> Receipt:
    wanted = HandOverCase(case_id=case_id, main_companion=to, reason="holiday", expected_version=seen)
    return at.ask("cases", "hand_over_case", wanted, Receipt, command_id=command_id)


def content(at: Workplace, person_id: str, *categories: str, case_id: str | None = None) -> dict[str, Json]:
    question = ContentQuestion(person_id=person_id, categories=categories, case_id=case_id)
    found = at.ask("cases", "content", question, ContentAnswer)
    return {item.category: item.content for item in found.items}  # type: ignore[misc]


def test_a_person_is_shown_as_registered(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    found = jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView)
    assert (found.name, found.birth_date, found.contact) == (NAME, date(1990, 2, 3), "0151 000417")


def test_a_case_needs_a_person_whom_the_agency_knows(jobcenter: Workplace) -> None:
    wanted = OpenCase(case_id=fresh("case"), person_id="nobody", main_companion="adler")
    with pytest.raises(NotFound) as refused:
        jobcenter.ask("cases", "open_case", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/person_id"]


def test_the_cases_of_a_companion_change_with_the_hand_over(jobcenter: Workplace) -> None:
    first, second = (jobcenter.case(jobcenter.person()) for _ in range(2))
    hand_over(jobcenter, first, "weber", seen=None)

    def of(companion: str) -> list[str]:
        found = jobcenter.ask("cases", "cases", CasesQuestion(main_companion=companion), CasePage)
        return [item.case_id for item in found.items]

    assert (of("adler"), of("weber")) == ([second], [first])


def test_cases_come_in_pages_that_leave_none_out(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    made = sorted(jobcenter.case(person_id) for _ in range(3))
    first = jobcenter.ask("cases", "cases", CasesQuestion(person_id=person_id, limit=2), CasePage)
    rest = jobcenter.ask(
        "cases", "cases", CasesQuestion(person_id=person_id, after=first.next or "", limit=2), CasePage
    )
    assert [item.case_id for item in (*first.items, *rest.items)] == made
    assert rest.next is None


def test_a_case_that_moved_on_since_it_was_read_is_not_handed_over(jobcenter: Workplace) -> None:
    case_id = jobcenter.case(jobcenter.person())
    seen = case(jobcenter, case_id).version
    hand_over(jobcenter, case_id, "weber", seen=seen)
    with pytest.raises(Conflict):
        hand_over(jobcenter, case_id, "fuchs", seen=seen)
    assert case(jobcenter, case_id).main_companion == "weber"


def test_the_same_hand_over_sent_again_gives_the_same_receipt(jobcenter: Workplace) -> None:
    case_id = jobcenter.case(jobcenter.person())
    seen = case(jobcenter, case_id).version
    first = hand_over(jobcenter, case_id, "weber", seen=seen, command_id="once")
    assert hand_over(jobcenter, case_id, "weber", seen=seen, command_id="once") == first
    assert case(jobcenter, case_id).handovers == 1


@pytest.mark.parametrize("category", [*sorted(health_categories()), "horoscope"])
def test_what_is_no_category_of_the_case_file_is_refused_there(jobcenter: Workplace, category: str) -> None:
    wanted = RecordEntry(entry_id=fresh("entry"), person_id="p-1", category=category, content="Text")
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("cases", "record_entry", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/category"]


def test_an_entry_needs_a_person_whom_the_agency_knows(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound):
        jobcenter.entry("nobody", "benefit_data")


def test_the_content_of_a_category_is_all_its_entries_and_nothing_else(jobcenter: Workplace) -> None:
    person_id, other = jobcenter.person(), jobcenter.person()
    for text in ("erster", "zweiter"):
        jobcenter.entry(person_id, "benefit_data", text)
    jobcenter.entry(person_id, "coaching_content", "vertraulich")
    jobcenter.entry(other, "benefit_data", "fremd")
    found = content(jobcenter, person_id, "benefit_data")
    assert list(found) == ["benefit_data"]
    assert {entry["text"] for entry in found["benefit_data"]["entries"]} == {"erster", "zweiter"}
    assert {entry["on"] for entry in found["benefit_data"]["entries"]} == {"2026-03-02"}


def test_master_and_contact_data_come_from_the_registration(jobcenter: Workplace) -> None:
    found = content(jobcenter, jobcenter.person(), "master_data", "contact_data")
    assert found == {
        "master_data": {"name": NAME, "birth_date": "1990-02-03"},
        "contact_data": {"contact": "0151 000417"},
    }


def test_what_is_not_held_is_left_out(jobcenter: Workplace) -> None:
    found = content(jobcenter, jobcenter.person(contact=None), "contact_data", "benefit_data", "status_milestone")
    assert found == {}


def test_the_milestone_is_that_of_the_case_named_if_it_is_the_persons(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    mine, others = jobcenter.case(person_id), jobcenter.case(jobcenter.person())
    held = {"status_milestone": {"case_open_since": "2026-03-02"}}
    assert content(jobcenter, person_id, "status_milestone", case_id=mine) == held
    assert content(jobcenter, person_id, "status_milestone", case_id=others) == {}


def test_a_safety_concern_reaches_the_case_that_was_opened_a_moment_ago(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id, bystander = jobcenter.case(person_id), jobcenter.case(jobcenter.person())
    assessment_id = jobcenter.assessment(person_id, ANSWERS | {"item_9": "1"})
    jobcenter.platform.deliver_messages()
    assert case(jobcenter, case_id).safety_checks_due == (assessment_id,)
    assert case(jobcenter, bystander).safety_checks_due == ()


def test_a_safety_concern_told_twice_is_due_once_and_not_again_after_it_was_confirmed(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    jobcenter.assessment(person_id, ANSWERS | {"item_9": "3"})
    jobcenter.platform.deliver_messages()
    before = case(jobcenter, case_id)
    jobcenter.platform.deliver_messages(from_the_start=True)
    assert case(jobcenter, case_id) == before
    jobcenter.ask("cases", "confirm_safety_check", ConfirmSafetyCheck(case_id=case_id), Receipt)
    jobcenter.platform.deliver_messages(from_the_start=True)
    assert case(jobcenter, case_id).safety_checks_due == ()


def test_every_open_case_of_the_person_is_told(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    cases = [jobcenter.case(person_id) for _ in range(2)]
    assessment_id = jobcenter.assessment(person_id, ANSWERS | {"item_9": "2"})
    jobcenter.platform.deliver_messages()
    assert [case(jobcenter, each).safety_checks_due for each in cases] == [(assessment_id,)] * 2


def test_an_assessment_without_concern_leaves_the_case_alone(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    jobcenter.assessment(person_id, ANSWERS)
    jobcenter.platform.deliver_messages()
    assert case(jobcenter, case_id).version == 1


def test_another_agency_sees_nothing(platform: LocalPlatform, jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    jobcenter.entry(person_id, "benefit_data")
    other = Workplace.of(platform)
    for question in (
        lambda: other.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView),
        lambda: case(other, case_id),
        lambda: other.case(person_id),
    ):
        with pytest.raises(HandschlagError) as refused:
            question()
        assert refused.value.status == 404
    assert other.ask("cases", "cases", CasesQuestion(), CasePage).items == ()
    assert content(other, person_id, "benefit_data", "master_data") == {}
