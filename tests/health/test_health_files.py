"""What the health service answers: an assessment, and the content of a category for a disclosure."""

from datetime import date

import pytest

from services.health.domain.assessment import RecordAssessment
from services.health.domain.finding import RecordFinding
from services.health.queries import AssessmentQuestion, AssessmentView, ContentAnswer, ContentQuestion
from shared.domain import Json, Receipt
from shared.errors import Invalid, NotFound
from shared.law import health_categories
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import ANSWERS, Workplace, fresh


def assessment(at: Workplace, assessment_id: str) -> AssessmentView:
    return at.ask("health", "assessment", AssessmentQuestion(assessment_id=assessment_id), AssessmentView)


def content(at: Workplace, person_id: str, *categories: str) -> dict[str, list[Json]]:
    question = ContentQuestion(person_id=person_id, categories=categories)
    found = at.ask("health", "content", question, ContentAnswer)
    return {item.category: item.content["entries"] for item in found.items}  # type: ignore[index]


def test_an_assessment_is_shown_with_total_band_and_concern(jobcenter: Workplace) -> None:
    found = assessment(jobcenter, jobcenter.assessment("p-1", ANSWERS | {"item_9": "1"}))
    assert (found.total, found.band, found.safety_concern) == (9, "mild", True)


def test_an_assessment_without_a_total_shows_none(jobcenter: Workplace) -> None:
    found = assessment(jobcenter, jobcenter.assessment("p-1", ANSWERS | {"item_1": "refused"}))
    assert (found.total, found.band, found.safety_concern) == (None, None, False)
    assert found.answers == ANSWERS | {"item_1": "refused"}


def test_an_instrument_in_an_unknown_version_leaves_nothing_behind(jobcenter: Workplace) -> None:
    wanted = RecordAssessment(
        assessment_id=fresh("assessment"),
        person_id="p-1",
        instrument="phq-9",
        instrument_version="9",
        answers=ANSWERS,
        taken_on=date(2026, 3, 2),
    )
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("health", "record_assessment", wanted, Receipt)
    assert refused.value.code == "assessment.instrument_unknown"
    with pytest.raises(NotFound):
        assessment(jobcenter, wanted.assessment_id)


def test_the_same_command_twice_gives_the_same_receipt(jobcenter: Workplace) -> None:
    wanted = RecordAssessment(
        assessment_id=fresh("assessment"),
        person_id="p-1",
        instrument="phq-9",
        instrument_version="1",
        answers=ANSWERS | {"item_9": "2"},
        taken_on=date(2026, 3, 2),
    )
    first, second = (jobcenter.ask("health", "record_assessment", wanted, Receipt, command_id="one") for _ in range(2))
    assert first == second
    assert first.version == 2


@pytest.mark.parametrize("category", ["benefit_data", "master_data", "horoscope"])
def test_a_finding_is_health_data_or_is_refused(jobcenter: Workplace, category: str) -> None:
    wanted = RecordFinding(
        finding_id=fresh("finding"), person_id="p-1", category=category, content="x", origin="doctor"
    )
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("health", "record_finding", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/category"]


def test_every_category_of_health_data_has_its_place_here(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    for category in sorted(health_categories()):
        jobcenter.finding(person_id, category, f"Text zu {category}")
    found = content(jobcenter, person_id, *sorted(health_categories()))
    assert {category: entries[0]["text"] for category, entries in found.items()} == {
        category: f"Text zu {category}" for category in health_categories()
    }


def test_what_travels_of_an_assessment_is_what_the_person_answered_and_its_scoring(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.assessment(person_id, ANSWERS)
    assert content(jobcenter, person_id, "health_data") == {
        "health_data": [
            {
                "instrument": "phq-9",
                "instrument_version": "1",
                "answers": ANSWERS,
                "total": 8,
                "band": "mild",
                "on": "2026-03-02",
            }
        ]
    }


def test_a_doctors_report_does_not_travel_as_what_the_person_told(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.finding(person_id, "medical_report_76")
    assert content(jobcenter, person_id, "health_data") == {}
    assert [entry["origin"] for entry in content(jobcenter, person_id, "medical_report_76")["medical_report_76"]] == [
        "doctor"
    ]


def test_what_is_held_of_another_person_or_by_another_agency_never_travels(
    platform: LocalPlatform, jobcenter: Workplace
) -> None:
    person_id = fresh("person")
    jobcenter.finding("somebody-else", "health_data")
    Workplace.of(platform).finding(person_id, "health_data")
    assert content(jobcenter, person_id, "health_data") == {}
