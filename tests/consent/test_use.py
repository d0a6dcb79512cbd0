"""Counting uses at the moment of delivery: two at once, the same twice, several consents together."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.consent.domain.consent import WithdrawConsent
from services.consent.domain.use_limit import Period, UseLimit
from services.consent.queries import ConsentQuestion, ConsentView, Standing, StandingQuestion, Use, UseConsents, Used
from shared.domain import Receipt
from tests.support.workplace import Workplace

COACHING = "coaching_content"
ONCE = UseLimit(times=1)


def use(at: Workplace, use_id: str, *ids: str) -> list[str]:
    found = at.ask("consent", "use_consents", UseConsents(uses=(Use(use_id=use_id, ids=ids),)), Used)
    return [each.code for each in found.fallen]


def view(at: Workplace, consent_id: str) -> ConsentView:
    return at.ask("consent", "consent", ConsentQuestion(consent_id=consent_id), ConsentView)


def test_of_many_deliveries_at_once_a_consent_for_once_lets_exactly_one_go(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING, use=ONCE)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda number: use(jobcenter, f"d-{number}", consent_id), range(8)))
    assert sorted(told) == [[], *[["consent_used_up"]] * 7]
    assert (view(jobcenter, consent_id).uses, view(jobcenter, consent_id).uses_left) == (1, 0)


def test_the_same_delivery_counts_once_however_often_it_is_told(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING, use=ONCE)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: use(jobcenter, "d-1", consent_id), range(4)))
    assert told == [[]] * 4
    assert view(jobcenter, consent_id).uses == 1


def test_several_consents_are_counted_together_or_not_at_all(jobcenter: Workplace) -> None:
    good, gone = (jobcenter.consent("p-1", "drv", COACHING, use=ONCE) for _ in range(2))
    jobcenter.ask("consent", "withdraw_consent", WithdrawConsent(consent_id=gone), Receipt)
    assert use(jobcenter, "d-1", good, gone) == ["consent_withdrawn"]
    assert view(jobcenter, good).uses == 0
    assert use(jobcenter, "d-1", good) == []


def test_what_is_not_limited_is_checked_and_leaves_no_trace(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING)
    assert use(jobcenter, "d-1", consent_id) == []
    assert (view(jobcenter, consent_id).version, view(jobcenter, consent_id).uses_left) == (1, None)


def test_what_nobody_knows_does_not_stand(jobcenter: Workplace) -> None:
    assert use(jobcenter, "d-1", "nowhere") == ["consent_unknown"]


def test_standing_names_the_reason_of_each_and_which_are_counted(jobcenter: Workplace) -> None:
    limited = jobcenter.consent("p-1", "drv", COACHING, use=UseLimit(times=2, per=Period.WEEK))
    gone = jobcenter.consent("p-1", "drv", COACHING)
    jobcenter.withdraw(gone)
    asked = StandingQuestion(ids=(limited, gone, "nowhere"))
    told = jobcenter.ask("consent", "standing", asked, Standing)
    assert [(each.id, each.code) for each in told.codes] == [
        (gone, "consent_withdrawn"),
        ("nowhere", "consent_unknown"),
    ]
    assert (told.fallen, told.limited) == ((gone, "nowhere"), (limited,))


@pytest.mark.parametrize("times", [1, 3])
def test_the_view_says_how_often_is_left(jobcenter: Workplace, times: int) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING, use=UseLimit(times=times))
    use(jobcenter, "d-1", consent_id)
    assert view(jobcenter, consent_id).uses_left == times - 1
