"""Consent, § 67b Abs. 2 SGB X and Art. 7 DSGVO."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from services.consent.domain.consent import (
    Consent,
    ConsentEvent,
    ConsentExpired,
    ConsentGiven,
    ConsentRefused,
    EraseAtReached,
    OfferLapsed,
    Status,
)
from services.consent.domain.terms import Giver, Terms
from services.consent.domain.use_limit import UseLimit
from shared.errors import Invalid, NotFound
from tests.consent.examples import (
    ANSWER,
    DAY_AFTER,
    GIVEN,
    LAST_DAY,
    LATER,
    NOTED,
    OFFER,
    OFFERED,
    ONCE,
    PAUSED,
    REFUSED,
    REPLACED,
    RESUMED,
    TERMS,
    TODAY,
    TOMORROW,
    USED,
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


def test_withdrawing_what_was_never_given_is_noted_once_and_harmless() -> None:
    noted = given(Consent()).when(lambda c: c.withdraw(TODAY)).then(NOTED)
    noted.holds(lambda c: c.status(TODAY), Status.UNKNOWN).when(lambda c: c.withdraw(TOMORROW)).then()
    noted.when(lambda c: c.give(TERMS, TODAY)).then(GIVEN)


def test_withdrawing_a_refusal_leaves_it_a_refusal() -> None:
    noted = given(Consent(), REFUSED).when(lambda c: c.withdraw(TODAY)).then(NOTED)
    noted.holds(lambda c: c.status(TODAY), Status.REFUSED)


def test_nobody_withdraws_what_another_person_gave() -> None:
    noted = given(Consent(), GIVEN).when(lambda c: c.withdraw(TODAY, "p-2")).then(NOTED)
    noted.holds(lambda c: c.status(TODAY), Status.GIVEN).when(lambda c: c.withdraw(TODAY, "p-2")).then()
    noted.when(lambda c: c.withdraw(TODAY, "p-1")).then(WITHDRAWN)


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


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (terms(valid_from=YESTERDAY), "consent.reaches_back"),
        (terms(information=replace(INFORMED, right_to_withdraw=False)), "consent.not_informed"),
        (terms(information=replace(INFORMED, recipient=False)), "consent.not_informed"),
        (terms(given_by=()), "consent.wrong_giver"),
        (terms(given_by=(Giver.LEGAL_GUARDIAN,)), "consent.not_represented"),
        (terms(valid_from=TOMORROW, valid_until=TODAY), "consent.ends_before_it_begins"),
        (terms(categories=(), valid_from=YESTERDAY), "consent.invalid"),
    ],
)
def test_each_way_to_be_no_consent_has_its_own_code(wanted: Terms, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        Consent().give(wanted, TODAY)
    assert refused.value.code == code


def test_what_is_used_counts_once_however_often_it_is_told() -> None:
    once = given(Consent(), ONCE).when(lambda c: c.use("d-1", TODAY)).then(USED)
    once.holds(lambda c: c.status(TODAY), Status.USED_UP).when(lambda c: c.use("d-1", TODAY)).then()
    once.refused(lambda c: c.use("d-2", TODAY), "consent.used_up")


def test_a_counted_use_does_not_leave_once_the_consent_was_withdrawn() -> None:
    given(Consent(), ONCE, USED, WITHDRAWN).refused(lambda c: c.use("d-1", TODAY), "consent.withdrawn")


def test_a_consent_without_a_number_of_uses_counts_nothing() -> None:
    given(Consent(), GIVEN).when(lambda c: c.use("d-1", TODAY)).then()


@pytest.mark.parametrize(
    ("happened", "code"),
    [
        ([LATER], "consent.not_yet"),
        ([GIVEN, PAUSED], "consent.paused"),
        ([GIVEN, REPLACED], "consent.replaced"),
        ([REFUSED], "consent.refused"),
        ([], "consent.unknown"),
        ([OFFERED], "consent.offered"),
    ],
)
def test_what_does_not_stand_is_not_used_and_says_why(happened: list[ConsentEvent], code: str) -> None:
    given(Consent(), *happened).refused(lambda c: c.use("d-1", TODAY), code)


def test_pausing_and_resuming_are_as_easy_as_that_and_twice_is_once() -> None:
    rests = given(Consent(), GIVEN).when(lambda c: c.pause(TODAY)).then(PAUSED)
    rests.holds(lambda c: c.status(TODAY), Status.PAUSED).when(lambda c: c.pause(TOMORROW)).then()
    again = rests.when(lambda c: c.resume(TOMORROW)).then(RESUMED)
    again.holds(lambda c: c.status(TODAY), Status.PAUSED).holds(lambda c: c.status(TOMORROW), Status.GIVEN)
    again.when(lambda c: c.resume(TOMORROW)).then()


def test_what_has_ended_is_neither_paused_nor_replaced() -> None:
    ended = given(Consent(), GIVEN, WITHDRAWN)
    ended.refused(lambda c: c.pause(TODAY), "consent.does_not_stand")
    ended.refused(lambda c: c.give_way("c-2", TERMS, TODAY), "consent.does_not_stand")


def test_a_consent_gives_way_to_one_of_the_same_person_only() -> None:
    given(Consent(), GIVEN).when(lambda c: c.give_way("c-2", TERMS, TODAY)).then(REPLACED)
    with pytest.raises(NotFound):
        Consent().apply(GIVEN).give_way("c-2", terms(person_id="p-2"), TODAY)


def test_an_offer_is_answered_once_within_its_time() -> None:
    asked = given(Consent()).when(lambda c: c.make_offer(OFFER, TODAY)).then(OFFERED)
    asked.holds(lambda c: c.status(TODAY), Status.OFFERED).holds(lambda c: c.status(DAY_AFTER), Status.LAPSED)
    yes = asked.when(lambda c: c.accept(ANSWER, TODAY)).then(ConsentGiven(terms=OFFER.terms(ANSWER), on=TODAY))
    yes.refused(lambda c: c.decline(ANSWER, TODAY), "consent.already_recorded")
    asked.when(lambda c: c.decline(ANSWER, TODAY)).then(ConsentRefused(terms=OFFER.terms(ANSWER), on=TODAY))
    asked.refused(lambda c: c.accept(ANSWER, DAY_AFTER), "consent.offer_lapsed")


@pytest.mark.parametrize(
    ("happened", "written"),
    [
        ([GIVEN], [ConsentExpired(person_id="p-1", on=DAY_AFTER)]),
        ([GIVEN, WITHDRAWN], []),
        ([GIVEN, REPLACED], []),
        ([GIVEN, ConsentExpired(person_id="p-1", on=DAY_AFTER)], []),
        ([OFFERED], [OfferLapsed(person_id="p-1", on=DAY_AFTER)]),
        ([OFFERED, OfferLapsed(person_id="p-1", on=DAY_AFTER)], []),
        ([OFFERED, REFUSED], []),
        ([], []),
    ],
)
def test_the_calendar_is_written_down_once_under_its_own_date(
    happened: list[ConsentEvent], written: list[ConsentEvent]
) -> None:
    given(Consent(), *happened).when(lambda c: c.pass_days(date(2027, 1, 1))).then(*written)


def test_the_day_to_erase_is_written_down_when_it_has_come() -> None:
    keeps = given(Consent(), ConsentGiven(terms=terms(valid_until=None, use=UseLimit(erase_at=LAST_DAY)), on=TODAY))
    keeps.when(lambda c: c.pass_days(TODAY)).then()
    keeps.when(lambda c: c.pass_days(DAY_AFTER)).then(EraseAtReached(person_id="p-1", on=LAST_DAY))
