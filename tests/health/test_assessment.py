"""Assessment by the PHQ-9: scoring, what has no total, and what concerns safety."""

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from services.health.domain.assessment import (
    NOT_SCORED,
    Assessment,
    AssessmentRecorded,
    RecordAssessment,
    SafetyConcernNoted,
)
from services.health.domain.finding import Finding, FindingRecorded, RecordFinding
from services.health.instruments import instrument
from shared.errors import Invalid
from tests.support.given import given

TODAY, TOMORROW = date(2026, 3, 2), date(2026, 3, 3)
PHQ9 = instrument("phq-9", "1")
SCORED = PHQ9.scored


def answers(total: int = 0, **changed: str) -> dict[str, str]:
    """Answers that sum up to `total` without item 9, and then as changed."""
    points = [min(3, max(0, total - 3 * place)) for place in range(8)]
    given_ = {f"item_{number}": str(point) for number, point in enumerate(points, start=1)}
    return {**given_, "item_9": "0", "difficulty": "missing", **changed}


def wanted(said: Mapping[str, str], taken_on: date = TODAY) -> RecordAssessment:
    return RecordAssessment(
        assessment_id="a-1",
        person_id="p-1",
        instrument="phq-9",
        instrument_version="1",
        answers=dict(said),
        taken_on=taken_on,
    )


def recorded(said: Mapping[str, str], total: int | None, band: str | None) -> AssessmentRecorded:
    return AssessmentRecorded(
        person_id="p-1",
        instrument="phq-9",
        instrument_version="1",
        answers=dict(said),
        total=total,
        band=band,
        taken_on=TODAY,
    )


def faults(said: Mapping[str, str]) -> list[str]:
    with pytest.raises(Invalid) as refused:
        Assessment().record(wanted(said), PHQ9, TODAY)
    return [problem.pointer for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("total", "band"),
    [
        (0, "minimal"),
        (4, "minimal"),
        (5, "mild"),
        (9, "mild"),
        (10, "moderate"),
        (14, "moderate"),
        (15, "moderately severe"),
        (19, "moderately severe"),
        (20, "severe"),
        (24, "severe"),
    ],
)
def test_the_total_falls_into_its_band(total: int, band: str) -> None:
    said = answers(total)
    given(Assessment()).when(lambda a: a.record(wanted(said), PHQ9, TODAY)).then(recorded(said, total, band))


def test_the_highest_total_is_severe() -> None:
    assert (PHQ9.total(answers(24, item_9="3")), PHQ9.band(27)) == (27, "severe")


@pytest.mark.parametrize("without_number", NOT_SCORED)
@pytest.mark.parametrize("item", ["item_1", "item_9"])
def test_one_item_without_a_number_leaves_no_total(item: str, without_number: str) -> None:
    said = answers(10, **{item: without_number})
    given(Assessment()).when(lambda a: a.record(wanted(said), PHQ9, TODAY)).then(recorded(said, None, None))


@pytest.mark.parametrize("difficulty", ["0", "3", *NOT_SCORED])
def test_the_question_on_difficulty_never_counts(difficulty: str) -> None:
    assert PHQ9.total(answers(7, difficulty=difficulty)) == 7


@pytest.mark.parametrize("answer", ["4", "-1", "", "1.0", "01", "yes", "1 "])
def test_an_answer_out_of_range_is_named_by_its_item(answer: str) -> None:
    assert faults(answers(item_3=answer)) == ["/answers/item_3"]


def test_an_item_that_was_left_out_is_named() -> None:
    said = answers()
    del said["item_5"]
    assert faults(said) == ["/answers/item_5"]


def test_an_unknown_item_is_named() -> None:
    assert faults(answers(item_10="1")) == ["/answers/item_10"]


def test_all_faulty_items_are_named_at_once() -> None:
    assert faults(answers(item_10="1", item_2="9", item_4="x")) == [
        "/answers/item_10",
        "/answers/item_2",
        "/answers/item_4",
    ]


def test_an_assessment_of_tomorrow_is_refused_by_its_day() -> None:
    with pytest.raises(Invalid) as refused:
        Assessment().record(wanted(answers(), TOMORROW), PHQ9, TODAY)
    assert [problem.pointer for problem in refused.value.problems] == ["/taken_on"]


def test_an_assessment_is_not_recorded_twice_under_one_id() -> None:
    before = given(Assessment(), recorded(answers(), 0, "minimal"))
    before.refused(lambda a: a.record(wanted(answers()), PHQ9, TODAY), "assessment.already_recorded")


@pytest.mark.parametrize("answer", ["1", "2", "3"])
@pytest.mark.parametrize(
    ("others", "total"), [({}, 0), ({"item_1": "refused"}, None), ({"item_1": "3", "item_2": "3"}, 6)]
)
def test_the_safety_item_is_a_concern_whatever_the_total(
    answer: str, others: dict[str, str], total: int | None
) -> None:
    said = answers() | others | {"item_9": answer}
    summed = None if total is None else total + int(answer)
    concern = SafetyConcernNoted(person_id="p-1", on=TODAY)
    noted = given(Assessment()).when(lambda a: a.record(wanted(said), PHQ9, TODAY))
    noted.then(recorded(said, summed, PHQ9.band(summed)), concern).holds(lambda a: a.safety_concern)


@pytest.mark.parametrize("answer", ["0", *NOT_SCORED])
def test_a_high_total_alone_is_no_safety_concern(answer: str) -> None:
    assert not PHQ9.concerns_safety(answers(24, item_9=answer))


def test_an_instrument_in_an_unknown_version_names_those_there_are() -> None:
    for key, version in (("phq-9", "2"), ("gad-7", "1")):
        with pytest.raises(Invalid) as refused:
            instrument(key, version)
        assert refused.value.problems[0].pointer == "/instrument"
        assert "phq-9 1" in refused.value.problems[0].remedy


def test_a_finding_is_recorded_once_and_keeps_its_origin() -> None:
    asked = RecordFinding(finding_id="f-1", person_id="p-1", category="medical_report_76", content="x", origin="clinic")
    made = FindingRecorded(person_id="p-1", category="medical_report_76", content="x", origin="clinic", on=TODAY)
    given(Finding()).when(lambda f: f.record(asked, TODAY)).then(made)
    given(Finding(), made).refused(lambda f: f.record(asked, TODAY), "finding.already_recorded")


ANSWER = st.sampled_from(["0", "1", "2", "3"])


@whatever(st.fixed_dictionaries({item: ANSWER | st.sampled_from(NOT_SCORED) for item in SCORED}))
def test_there_is_a_total_exactly_if_every_item_has_a_number(said: dict[str, str]) -> None:
    total, numbers = PHQ9.total(said), [int(answer) for answer in said.values() if answer not in NOT_SCORED]
    assert total == (sum(numbers) if len(numbers) == len(SCORED) else None)
    assert (PHQ9.band(total) is None) == (total is None)


@whatever(st.fixed_dictionaries(dict.fromkeys(SCORED, ANSWER)), st.sampled_from(SCORED))
def test_a_worse_answer_never_lowers_total_or_band(said: dict[str, str], item: str) -> None:
    worse = {**said, item: str(min(3, int(said[item]) + 1))}
    names = [band.name for band in PHQ9.bands]
    before, after = PHQ9.total(said), PHQ9.total(worse)
    assert before is not None
    assert after is not None
    assert before <= after <= before + 1
    assert names.index(PHQ9.band(before) or "") <= names.index(PHQ9.band(after) or "")
