"""Objection to passing on assessments, § 76 Abs. 2 Nr. 1 SGB X."""

from services.consent.domain.objection import Objection, ObjectionNoticeGiven, ObjectionRaised, ObjectionTakenBack
from tests.consent.examples import TODAY, TOMORROW
from tests.support.given import given

NOTICE, RAISED, TAKEN_BACK = ObjectionNoticeGiven(on=TODAY), ObjectionRaised(on=TODAY), ObjectionTakenBack(on=TODAY)


def test_the_notice_of_the_right_is_recorded_once() -> None:
    given(Objection()).when(lambda o: o.give_notice(TODAY)).then(NOTICE).when(lambda o: o.give_notice(TOMORROW)).then()


def test_an_objection_may_be_raised_without_a_notice() -> None:
    given(Objection()).when(lambda o: o.raise_it(TODAY)).then(RAISED).holds(lambda o: o.raised_on, TODAY)


def test_raising_an_objection_twice_changes_nothing() -> None:
    given(Objection(), RAISED).when(lambda o: o.raise_it(TOMORROW)).then()


def test_an_objection_taken_back_blocks_no_longer_and_the_notice_stands() -> None:
    free = given(Objection(), NOTICE, RAISED).when(lambda o: o.take_back(TODAY)).then(TAKEN_BACK)
    free.holds(lambda o: o.raised_on, None).holds(lambda o: o.notice_on, TODAY)


def test_taking_back_what_was_never_raised_changes_nothing() -> None:
    given(Objection(), NOTICE).when(lambda o: o.take_back(TODAY)).then()


def test_an_objection_may_be_raised_again_after_it_was_taken_back() -> None:
    given(Objection(), RAISED, TAKEN_BACK).when(lambda o: o.raise_it(TODAY)).then(RAISED)
