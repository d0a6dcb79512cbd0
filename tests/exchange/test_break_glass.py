"""Break-glass (§ 34 StGB): a reason, a second person or a dated review, an end, a notice, and a report of its rate."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.audit.queries import BreakGlassQuestion, BreakGlassReport
from services.exchange.domain.disclosure import (
    BreakGlass,
    BreakGlassReviewed,
    ConfirmationAwaited,
    Disclosure,
    DisclosureConfirmed,
    DisclosurePermitted,
    GlassBroken,
    RequestDisclosure,
    ReviewBreakGlass,
    State,
)
from services.exchange.queries import DisclosureView
from shared.errors import Forbidden, Invalid, Refused
from tests.exchange.test_disclosure import REQUESTED, RULING, WANTED
from tests.support.clock import NOON, FixedClock
from tests.support.given import given
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import STATED, PartnerDesk, Workplace, request_of

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
TODAY = date(2026, 3, 2)
END = NOW + timedelta(hours=2)
EMERGENCY = {**STATED, "present_danger_life_health": True, "no_milder_means": True, "interests_outweigh": True}
GLASS = GlassBroken(ends_at=END, review_by=None)
REVIEWED_LATER = replace(GLASS, review_by=TODAY + timedelta(days=3))
AWAITED = ConfirmationAwaited(ruling=RULING, asked_by=("beck",), four_eyes=True, erase_by=None)
YES = DisclosureConfirmed(person_id="p-1", by="beck", at=NOW, reason="Lebensgefahr")
PERMITTED = DisclosurePermitted(ruling=RULING, fingerprint="ff")
REVIEWED = BreakGlassReviewed(person_id="p-1", by="adler", at=NOW, finding="war geboten")


def emergency(**changed: Any) -> RequestDisclosure:
    usual: dict[str, Any] = {"reasons": "Lebensgefahr", "decided_by": "beck", "break_glass": BreakGlass(ends_at=END)}
    return replace(WANTED, **{**usual, **changed})


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"reasons": ""}, "/reasons"),
        ({"decided_by": ""}, "/decided_by"),
        ({"break_glass": BreakGlass(ends_at=NOW)}, "/break_glass/ends_at"),
        ({"break_glass": BreakGlass(ends_at=NOW + timedelta(hours=24, seconds=1))}, "/break_glass/ends_at"),
        ({"break_glass": BreakGlass(ends_at=END, review_by=date(2026, 3, 10))}, "/break_glass/review_by"),
        ({"break_glass": BreakGlass(ends_at=END, review_by=date(2026, 3, 1))}, "/break_glass/review_by"),
    ],
)
def test_an_emergency_has_a_reason_a_name_a_near_end_and_a_near_review(changed: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        emergency(**changed).check(NOW, TODAY)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_the_longest_emergency_is_a_day_and_its_review_a_week_away() -> None:
    longest = BreakGlass(ends_at=NOW + timedelta(hours=24), review_by=date(2026, 3, 9))
    emergency(break_glass=longest).check(NOW, TODAY)


def test_without_a_dated_review_a_second_person_confirms() -> None:
    waiting = given(Disclosure(), REQUESTED, GLASS, AWAITED)
    waiting.refused(lambda d: d.confirm("beck", "Lebensgefahr", NOW, "ff"), "disclosure.second_person_needed")
    waiting.when(lambda d: d.confirm("adler", "Lebensgefahr", NOW, "ff")).then(replace(YES, by="adler"), PERMITTED)


def test_where_nobody_else_is_there_a_dated_review_stands_in() -> None:
    waiting = given(Disclosure(), REQUESTED, REVIEWED_LATER, AWAITED)
    waiting.when(lambda d: d.confirm("beck", "Lebensgefahr", NOW, "ff")).then(YES, PERMITTED)


def test_after_its_end_nothing_is_confirmed() -> None:
    late = END + timedelta(seconds=1)
    waiting = given(Disclosure(), REQUESTED, GLASS, AWAITED)
    waiting.refused(lambda d: d.confirm("adler", "Lebensgefahr", late, "ff"), "disclosure.break_glass_ended")


def test_a_review_is_made_once_and_by_somebody_else() -> None:
    used = given(Disclosure(), REQUESTED, REVIEWED_LATER, AWAITED, YES, PERMITTED)
    used.refused(lambda d: d.review("beck", "war geboten", NOW), "disclosure.second_person_needed")
    made = used.when(lambda d: d.review("adler", "war geboten", NOW)).then(REVIEWED)
    made.when(lambda d: d.review("adler", "war geboten", NOW)).then()


def test_what_was_no_emergency_is_not_reviewed() -> None:
    given(Disclosure(), REQUESTED, PERMITTED).refused(lambda d: d.review("a", "b", NOW), "disclosure.nothing_to_review")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory, clock: FixedClock) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform"), clock=clock) as running:
        yield running


@pytest.fixture
def rescue(platform: LocalPlatform) -> PartnerDesk:
    return Workplace.of(platform).partner("emergency_service", "private")


def call(rescue: PartnerDesk, *, review_by: date | None = None, **changed: Any) -> RequestDisclosure:
    person_id = rescue.workplace.person()
    glass = BreakGlass(ends_at=NOON + timedelta(hours=2), review_by=review_by)
    usual = {"purpose": "emergency_help", "facts": EMERGENCY, "break_glass": glass, "reasons": "bewusstlos"}
    return request_of(person_id, rescue, "contact_data", **{**usual, **changed})


def review(at: Workplace, wanted: RequestDisclosure, by: str, role: str = "case_worker") -> DisclosureView:
    said = ReviewBreakGlass(disclosure_id=wanted.disclosure_id, person_id=wanted.person_id, finding="war geboten")
    return at.ask("exchange", "review_break_glass", said, DisclosureView, role=role, actor=by)


def reported(at: Workplace, days: int = 30) -> BreakGlassReport:
    at.platform.deliver_messages()
    return at.ask("audit", "break_glass", BreakGlassQuestion(days=days), BreakGlassReport, role="auditor")


def test_an_emergency_is_confirmed_leaves_and_stands_in_the_log_as_one(rescue: PartnerDesk) -> None:
    at, wanted = rescue.workplace, call(rescue)
    assert at.request(wanted).state is State.AWAITING_CONFIRMATION
    with pytest.raises(Refused):
        at.confirm(wanted, "beck")
    assert [leaf["kind"] for leaf in at.leaves()] == ["intent"]
    first = at.confirm(wanted, "adler")
    assert first == at.confirm(wanted, "adler")
    intent, used = at.leaves()
    ruling = at.disclosure(wanted.disclosure_id).ruling
    assert ruling is not None
    assert (used["kind"], used["purpose"]) == ("break_glass", "emergency_help")
    assert used["about"] == {"log": ruling.origin, "index": ruling.index}
    assert used["details"] == {"ends_at": "2026-03-02T13:00:00.000000Z"}
    assert intent["kind"] == "intent"
    assert len(rescue.documents()) == 1
    assert at.disclosure(wanted.disclosure_id, "citizen").state is State.HANDED_OVER


def test_an_emergency_without_its_terms_is_none_and_nothing_else_is_one(rescue: PartnerDesk) -> None:
    at = rescue.workplace
    for wanted in (call(rescue, break_glass=None), call(rescue, purpose="child_protection")):
        with pytest.raises(Invalid) as refused:
            at.request(wanted)
        assert refused.value.code == "disclosure.break_glass_invalid"
    with pytest.raises(Invalid) as refused:
        at.request(call(rescue, inform_after=date(2026, 3, 5)))
    assert refused.value.code == "disclosure.information_not_postponed"
    assert at.leaves() == []


def test_what_was_let_go_and_not_fetched_by_the_end_stays(rescue: PartnerDesk, clock: FixedClock) -> None:
    at, wanted = rescue.workplace, call(rescue)
    at.request(wanted)
    at.confirm(wanted, "adler")
    clock.move(hours=3)
    assert rescue.documents() == []
    assert at.disclosure(wanted.disclosure_id).state is State.STOPPED


def test_the_report_counts_and_names_what_nobody_looked_at_again(rescue: PartnerDesk, clock: FixedClock) -> None:
    at, wanted = rescue.workplace, call(rescue, review_by=date(2026, 3, 5))
    pension = at.partner()
    for _ in range(3):
        at.request(request_of(at.person(), pension, "master_data"))
    assert reported(at) == BreakGlassReport(days=30, break_glass=0, disclosures=3, per_thousand=0, reviews_overdue=0)
    at.request(wanted)
    at.confirm(wanted, "beck")
    found = reported(at)
    assert (found.break_glass, found.disclosures, found.per_thousand, found.reviews_overdue) == (1, 4, 250, 0)
    clock.move(days=5)
    assert reported(at).reviews_overdue == 1
    assert reported(at, days=2).break_glass == 0
    with pytest.raises(Refused):
        review(at, wanted, "beck")
    with pytest.raises(Forbidden):
        review(at, wanted, "adler", role="operator")
    first = review(at, wanted, "adler")
    assert first == review(at, wanted, "adler")
    assert first.reviewed_at == clock.moment
    assert reported(at).reviews_overdue == 0


def test_a_declined_emergency_was_none(rescue: PartnerDesk) -> None:
    at, wanted = rescue.workplace, call(rescue)
    at.request(wanted)
    at.confirm(wanted, "adler", yes=False)
    assert reported(at).break_glass == 0
    with pytest.raises(Refused):
        review(at, wanted, "weber")
