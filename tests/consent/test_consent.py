"""Consent, § 67b Abs. 2 SGB X and Art. 7 DSGVO."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from services.consent.domain.consent import Consent, ConsentEvent, ConsentGiven, Status
from shared.errors import Invalid
from tests.consent.examples import (
    DAY_AFTER,
    GIVEN,
    LAST_DAY,
    LATER,
    REFUSED,
    TERMS,
    TODAY,
    TOMORROW,
    WITHDRAWN,
    WITHDRAWN_TOMORROW,
    YESTERDAY,
    terms,
)
from tests.support.given import given
from tests.support.workplace import INFORMED


def pointers(refused: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [problem.pointer for problem in refused.value.problems]


def test_what_the_person_gives_is_recorded_with_the_day() -> None:
    given(Consent()).when(lambda c: c.give(TERMS, TODAY)).then(GIVEN)


def test_without_a_first_day_a_consent_begins_on_the_day_it_is_given() -> None:
    undated = replace(TERMS, valid_from=None)
    given(Consent()).when(lambda c: c.give(undated, TODAY)).then(GIVEN).holds(lambda c: c.status(TODAY), Status.GIVEN)


def test_a_no_is_recorded_like_a_yes() -> None:
    given(Consent()).when(lambda c: c.refuse(TERMS, TODAY)).then(REFUSED)


def test_a_consent_is_not_given_twice_under_one_id() -> None:
    given(Consent(), GIVEN).refused(lambda c: c.give(TERMS, TODAY), "consent.already_recorded")


def test_a_no_is_never_turned_into_a_yes() -> None:
    given(Consent(), REFUSED).refused(lambda c: c.give(TERMS, TODAY), "consent.already_recorded")


def test_a_given_consent_is_not_overwritten_by_a_refusal() -> None:
    given(Consent(), GIVEN).refused(lambda c: c.refuse(TERMS, TODAY), "consent.already_recorded")


def test_a_withdrawn_consent_is_given_anew_only_as_a_new_one() -> None:
    given(Consent(), GIVEN, WITHDRAWN).refused(lambda c: c.give(TERMS, TODAY), "consent.already_recorded")


def test_a_consent_is_withdrawn_without_reason() -> None:
    given(Consent(), GIVEN).when(lambda c: c.withdraw(TOMORROW)).then(WITHDRAWN_TOMORROW)


def test_a_consent_can_be_withdrawn_before_its_first_day() -> None:
    withdrawn = given(Consent(), LATER).when(lambda c: c.withdraw(TODAY)).then(WITHDRAWN)
    withdrawn.holds(lambda c: c.status(TOMORROW), Status.WITHDRAWN)


def test_withdrawing_twice_changes_nothing() -> None:
    given(Consent(), GIVEN, WITHDRAWN).when(lambda c: c.withdraw(TOMORROW)).then()


def test_withdrawing_what_was_never_given_changes_nothing() -> None:
    given(Consent()).when(lambda c: c.withdraw(TODAY)).then().holds(lambda c: c.status(TODAY), Status.UNKNOWN)


def test_withdrawing_a_refusal_leaves_it_a_refusal() -> None:
    given(Consent(), REFUSED).when(lambda c: c.withdraw(TODAY)).then().holds(lambda c: c.status(TODAY), Status.REFUSED)


@pytest.mark.parametrize(
    ("happened", "day", "status"),
    [
        ([], TODAY, Status.UNKNOWN),
        ([LATER], TODAY, Status.NOT_YET),
        ([LATER], TOMORROW, Status.GIVEN),
        ([GIVEN], YESTERDAY, Status.NOT_YET),
        ([GIVEN], TODAY, Status.GIVEN),
        ([GIVEN], LAST_DAY, Status.GIVEN),
        ([GIVEN], DAY_AFTER, Status.EXPIRED),
        ([REFUSED], TODAY, Status.REFUSED),
        ([REFUSED], DAY_AFTER, Status.REFUSED),
        ([GIVEN, WITHDRAWN_TOMORROW], TODAY, Status.GIVEN),
        ([GIVEN, WITHDRAWN_TOMORROW], TOMORROW, Status.WITHDRAWN),
        ([GIVEN, WITHDRAWN_TOMORROW], DAY_AFTER, Status.WITHDRAWN),
        ([GIVEN, WITHDRAWN], TODAY, Status.WITHDRAWN),
        ([ConsentGiven(terms=terms(valid_until=None), on=TODAY)], date(2099, 1, 1), Status.GIVEN),
    ],
)
def test_how_a_consent_stands_follows_from_its_events_and_the_day(
    happened: list[ConsentEvent], day: date, status: Status
) -> None:
    given(Consent(), *happened).holds(lambda c: c.status(day), status)


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        (terms(valid_from=LAST_DAY, valid_until=TOMORROW), "/terms/valid_until"),
        (terms(valid_from=None, valid_until=YESTERDAY), "/terms/valid_until"),
        (terms(valid_from=YESTERDAY), "/terms/valid_from"),
        (terms(categories=()), "/terms/categories"),
        (terms(given_by=()), "/terms/given_by"),
        (terms(information=replace(INFORMED, purpose=False)), "/terms/information"),
        (terms(information=replace(INFORMED, consequences_of_refusal=False)), "/terms/information"),
        (terms(information=replace(INFORMED, right_to_withdraw=False)), "/terms/information"),
    ],
)
def test_a_consent_that_cannot_be_valid_is_refused_by_the_faulty_field(wanted: object, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        Consent().give(wanted, TODAY)  # type: ignore[arg-type]
    assert pointers(refused) == [pointer]
    assert all(problem.remedy for problem in refused.value.problems)


def test_all_faults_of_a_consent_are_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        Consent().give(terms(categories=(), valid_from=YESTERDAY), TODAY)
    assert pointers(refused) == ["/terms/valid_from", "/terms/categories"]


def test_a_consent_of_one_day_is_a_consent() -> None:
    one_day = terms(valid_from=TODAY, valid_until=TODAY)
    given(Consent()).when(lambda c: c.give(one_day, TODAY)).then(ConsentGiven(terms=one_day, on=TODAY))


DAYS = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 12, 31))


@whatever(first=DAYS, last=DAYS, withdrawn=st.none() | DAYS, asked=DAYS)
def test_a_consent_stands_exactly_between_its_first_day_and_its_end(
    first: date, last: date, withdrawn: date | None, asked: date
) -> None:
    events: list[ConsentEvent] = [ConsentGiven(terms=terms(valid_from=first, valid_until=last), on=first)]
    if withdrawn:
        events.append(replace(WITHDRAWN, on=withdrawn))
    stands = first <= asked <= last and not (withdrawn and withdrawn <= asked)
    given(Consent(), *events).holds(lambda c: c.status(asked) is Status.GIVEN, stands)
