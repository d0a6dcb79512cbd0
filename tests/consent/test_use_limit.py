"""Use limit: how often, in which calendar period of the legal zone."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.use_limit import Period, UseLimit

MONDAY, SUNDAY, NEXT_MONDAY = date(2026, 3, 2), date(2026, 3, 8), date(2026, 3, 9)
DAYS = st.dates(min_value=date(2024, 1, 1), max_value=date(2027, 12, 31))


@pytest.mark.parametrize(
    ("per", "first", "next_one", "same"),
    [
        (None, MONDAY, date(2099, 1, 1), True),
        (Period.DAY, MONDAY, MONDAY, True),
        (Period.DAY, MONDAY, date(2026, 3, 3), False),
        (Period.WEEK, MONDAY, SUNDAY, True),
        (Period.WEEK, SUNDAY, NEXT_MONDAY, False),
        (Period.WEEK, date(2026, 12, 31), date(2027, 1, 3), True),
        (Period.MONTH, date(2026, 2, 28), date(2026, 3, 1), False),
        (Period.MONTH, date(2026, 3, 1), date(2026, 3, 31), True),
        (Period.MONTH, date(2026, 3, 1), date(2027, 3, 1), False),
        (Period.YEAR, date(2026, 1, 1), date(2026, 12, 31), True),
        (Period.YEAR, date(2026, 12, 31), date(2027, 1, 1), False),
    ],
)
def test_two_days_are_one_period_or_two(per: Period | None, first: date, next_one: date, *, same: bool) -> None:
    assert UseLimit(times=1, per=per).used_up((first,), next_one) is same


@given(st.sampled_from([None, *Period]), st.integers(1, 4), st.lists(DAYS, max_size=8), DAYS)
def test_it_is_used_up_exactly_when_the_period_holds_as_many_uses_as_allowed(
    per: Period | None, times: int, uses: list[date], day: date
) -> None:
    limit = UseLimit(times=times, per=per)
    assert limit.used_up(uses, day) == (limit.counted(uses, day) >= times)
    assert limit.counted(uses, day) <= len([use for use in uses if use <= day])


def test_without_a_number_nothing_is_ever_used_up() -> None:
    assert not UseLimit(erase_at=MONDAY).used_up([MONDAY] * 100, MONDAY)


@pytest.mark.parametrize(
    ("limit", "pointers"),
    [
        (UseLimit(times=1), []),
        (UseLimit(times=0), ["/times"]),
        (UseLimit(per=Period.WEEK), ["/per"]),
        (UseLimit(data_from=SUNDAY, data_until=MONDAY), ["/data_until"]),
    ],
)
def test_a_limit_that_cannot_be_right_names_its_field(limit: UseLimit, pointers: list[str]) -> None:
    assert [pointer for pointer, _, remedy in limit.faults() if remedy] == pointers
