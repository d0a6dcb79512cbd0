"""Release from secrecy, § 203 StGB and § 76 Abs. 1 SGB X."""

from dataclasses import replace
from datetime import date

import pytest

from services.consent.domain.release_from_secrecy import ReleaseEvent, ReleaseFromSecrecy
from shared.errors import Invalid
from tests.consent.examples import (
    DAY_AFTER,
    LAST_DAY,
    RELEASE,
    RELEASE_WITHDRAWN,
    RELEASED,
    TODAY,
    TOMORROW,
    YESTERDAY,
)
from tests.support.given import given


def test_a_release_names_the_professional_and_the_recipient() -> None:
    given(ReleaseFromSecrecy()).when(lambda r: r.give(RELEASE, TODAY)).then(RELEASED)


def test_a_release_is_not_given_twice_under_one_id() -> None:
    given(ReleaseFromSecrecy(), RELEASED).refused(lambda r: r.give(RELEASE, TODAY), "release.already_recorded")


def test_a_release_that_ends_before_it_begins_is_refused_by_its_last_day() -> None:
    with pytest.raises(Invalid) as refused:
        ReleaseFromSecrecy().give(replace(RELEASE, valid_until=YESTERDAY), TODAY)
    assert [problem.pointer for problem in refused.value.problems] == ["/valid_until"]


def test_a_release_is_withdrawn_without_reason() -> None:
    given(ReleaseFromSecrecy(), RELEASED).when(lambda r: r.withdraw(TOMORROW)).then(RELEASE_WITHDRAWN)


def test_withdrawing_a_release_twice_changes_nothing() -> None:
    given(ReleaseFromSecrecy(), RELEASED, RELEASE_WITHDRAWN).when(lambda r: r.withdraw(DAY_AFTER)).then()


def test_withdrawing_a_release_that_never_was_changes_nothing() -> None:
    given(ReleaseFromSecrecy()).when(lambda r: r.withdraw(TODAY)).then()


@pytest.mark.parametrize(
    ("happened", "day", "stands"),
    [
        ([], TODAY, False),
        ([RELEASED], TODAY, True),
        ([RELEASED], LAST_DAY, True),
        ([RELEASED], DAY_AFTER, False),
        ([RELEASED, RELEASE_WITHDRAWN], TODAY, True),
        ([RELEASED, RELEASE_WITHDRAWN], TOMORROW, False),
        ([replace(RELEASED, valid_until=None)], DAY_AFTER, True),
    ],
)
def test_a_release_stands_until_its_last_day_or_its_withdrawal(
    happened: list[ReleaseEvent],
    day: date,
    stands: bool,  # noqa: FBT001 - a column of the table
) -> None:
    given(ReleaseFromSecrecy(), *happened).holds(lambda r: r.stands(day), stands)
