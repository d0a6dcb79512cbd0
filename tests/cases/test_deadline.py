"""When a request has to be answered: months of the calendar, weekends and holidays, § 26 SGB X, §§ 187 to 193 BGB."""

from datetime import date

import pytest

from services.cases.deadlines import breach_notices, is_holiday, rights_term
from services.cases.domain.breach import Risk
from services.cases.domain.deadline import easter
from services.cases.retention import standing
from shared.errors import Refused


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-03-02", "2026-04-02"),
        ("2026-01-31", "2026-03-02"),
        ("2027-01-31", "2027-03-01"),
        ("2028-01-31", "2028-02-29"),
        ("2026-03-03", "2026-04-07"),
        ("2026-11-25", "2026-12-28"),
        ("2026-04-01", "2026-05-04"),
        ("2026-04-14", "2026-05-15"),
        ("2026-12-01", "2027-01-04"),
        ("2026-09-03", "2026-10-05"),
    ],
)
def test_a_month_ends_on_the_same_number_or_the_next_working_day(received: str, due: str) -> None:
    assert rights_term(date.fromisoformat(received)).due(date.fromisoformat(received)) == date.fromisoformat(due)


def test_an_extension_counts_three_months_from_the_receipt() -> None:
    day = date(2026, 3, 2)
    assert rights_term(day).extended(day) == date(2026, 6, 2)


def test_there_is_no_term_for_a_day_before_the_law() -> None:
    with pytest.raises(Refused, match="no_term"):
        rights_term(date(2018, 5, 24))


@pytest.mark.parametrize(
    ("year", "sunday"), [(1961, "04-02"), (2000, "04-23"), (2024, "03-31"), (2025, "04-20"), (2038, "04-25")]
)
def test_easter_falls_where_the_calendars_have_it(year: int, sunday: str) -> None:
    assert easter(year).strftime("%m-%d") == sunday


def test_holidays_are_those_of_all_of_germany() -> None:
    assert is_holiday(date(2026, 4, 3))
    assert is_holiday(date(2026, 5, 14))
    assert is_holiday(date(2026, 10, 3))
    assert not is_holiday(date(2026, 6, 4)), "Fronleichnam is a holiday in some Länder only"


def test_the_supervisor_had_to_be_told_until_the_norm_was_repealed_and_is_told_freely_since() -> None:
    before = {each.to: each for each in breach_notices(date(2026, 4, 28))}
    since = {each.to: each for each in breach_notices(date(2026, 4, 29))}
    assert before["supervisor"].norm == "§ 83a SGB X"
    assert not before["supervisor"].voluntary
    assert since["supervisor"].voluntary


def test_who_is_told_of_a_breach_depends_on_the_risk() -> None:
    def told(risk: Risk) -> set[str]:
        return {each.to for each in breach_notices(date(2026, 3, 2)) if each.owed(risk)}

    assert told(Risk.UNLIKELY) == set()
    assert told(Risk.LIKELY) == {"data_protection_authority", "supervisor"}
    assert told(Risk.HIGH) == {"data_protection_authority", "supervisor", "affected_persons"}


def test_a_duty_to_keep_ends_with_its_period() -> None:
    held = [("benefit_data", date(2021, 3, 2)), ("contact_log", date(2026, 3, 1))]
    assert [each.norm for each in standing(held, date(2026, 3, 1))] == ["§ 84 Abs. 4 SGB X"]
    assert standing(held, date(2026, 3, 2)) == ()
