"""Representation: who may speak for a person, in which matters, until when."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.consent.domain.representation import (
    Act,
    RegisterRepresentation,
    Representation,
    RepresentationEnded,
    RepresentationKind,
    RepresentationRegistered,
)
from shared.errors import Invalid
from tests.consent.examples import DAY_AFTER, LAST_DAY, TODAY, TOMORROW, YESTERDAY
from tests.support.given import given

WANTED = RegisterRepresentation(
    representation_id="r-1",
    person_id="p-1",
    kind=RepresentationKind.AUTHORISED_REPRESENTATIVE,
    name="Erika Beispiel",
    acts=(Act.CONSENT,),
    evidence="vollmacht-1",
    purposes=("referral",),
    valid_until=LAST_DAY,
)
REGISTERED = RepresentationRegistered(
    person_id="p-1",
    kind=RepresentationKind.AUTHORISED_REPRESENTATIVE,
    name="Erika Beispiel",
    acts=(Act.CONSENT,),
    evidence="vollmacht-1",
    purposes=("referral",),
    valid_from=TODAY,
    valid_until=LAST_DAY,
    on=TODAY,
)
ENDED = RepresentationEnded(person_id="p-1", on=TOMORROW)


def test_it_is_recorded_with_what_shows_it() -> None:
    given(Representation()).when(lambda r: r.register(WANTED, TODAY)).then(REGISTERED)


def test_an_id_is_used_once() -> None:
    given(Representation(), REGISTERED).refused(lambda r: r.register(WANTED, TODAY), "representation.already_recorded")


def test_it_ends_once() -> None:
    over = given(Representation(), REGISTERED).when(lambda r: r.end(TOMORROW)).then(ENDED)
    over.when(lambda r: r.end(LAST_DAY)).then()
    given(Representation()).when(lambda r: r.end(TODAY)).then()


@pytest.mark.parametrize(
    ("happened", "day", "stands"),
    [
        ([], TODAY, False),
        ([REGISTERED], YESTERDAY, False),
        ([REGISTERED], TODAY, True),
        ([REGISTERED], LAST_DAY, True),
        ([REGISTERED], DAY_AFTER, False),
        ([REGISTERED, ENDED], TODAY, True),
        ([REGISTERED, ENDED], TOMORROW, False),
        ([replace(REGISTERED, valid_until=None)], date(2099, 1, 1), True),
    ],
)
def test_it_stands_between_its_days_until_it_is_ended(happened: list[Any], day: date, *, stands: bool) -> None:
    given(Representation(), *happened).holds(lambda r: r.stands(day), stands)


@pytest.mark.parametrize(
    ("person_id", "act", "purpose", "covered"),
    [
        ("p-1", Act.CONSENT, "referral", True),
        ("p-2", Act.CONSENT, "referral", False),
        ("p-1", Act.RELEASE, "referral", False),
        ("p-1", Act.CONSENT, "case_conference", False),
    ],
)
def test_it_covers_exactly_the_acts_and_matters_it_names(
    person_id: str, act: Act, purpose: str, *, covered: bool
) -> None:
    given(Representation(), REGISTERED).holds(lambda r: r.covers(person_id, act, purpose, TODAY), covered)


@pytest.mark.parametrize(
    ("changed", "pointers"),
    [
        ({"acts": ()}, ["/acts"]),
        ({"evidence": " "}, ["/evidence"]),
        ({"valid_until": YESTERDAY}, ["/valid_until"]),
        ({"kind": RepresentationKind.HELPER, "purposes": ()}, ["/purposes"]),
        ({"kind": RepresentationKind.HELPER, "valid_until": None}, ["/valid_until"]),
    ],
)
def test_what_cannot_be_a_representation_is_refused_by_the_faulty_field(
    changed: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        Representation().register(replace(WANTED, **changed), TODAY)
    assert [problem.pointer for problem in refused.value.problems] == pointers
