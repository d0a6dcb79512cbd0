"""Disclosure from the request to the partner's signed acknowledgement: every transition, and none twice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.exchange.domain.disclosure import (
    ConfirmationAwaited,
    Disclosure,
    DisclosureAcknowledged,
    DisclosureConfirmed,
    DisclosureDeclined,
    DisclosureDenied,
    DisclosureEvent,
    DisclosureHandedOver,
    DisclosurePermitted,
    DisclosureRequested,
    DisclosureRetracted,
    DisclosureStopped,
    Entry,
    Extent,
    LookedUpByProgram,
    Match,
    NothingHeld,
    RequestDisclosure,
    RetractionAcknowledged,
    Ruling,
    State,
)
from tests.support.given import given

NOW, LATER = datetime(2026, 3, 2, 11, tzinfo=UTC), datetime(2026, 3, 3, 11, tzinfo=UTC)
WANTED = RequestDisclosure(
    disclosure_id="d-1", person_id="p-1", partner_id="drv", categories=("benefit_data",), purpose="referral"
)
RULING = Ruling(
    sent=("benefit_data",),
    categories=(),
    obligations=(),
    rule_set="ab",
    day="2026-03-02",
    origin="log/jc/2026",
    index=4,
    leaf="{}",
    receipt="proof",
    consents=("c-1",),
    explanation="",
)
ENTRY = Entry(origin="log/jc/2026", index=9, leaf="{}", receipt="proof")

REQUESTED = DisclosureRequested(
    person_id="p-1",
    partner_id="drv",
    categories=("benefit_data",),
    purpose="referral",
    basis=None,
    extent=Extent.ALL,
    case_id=None,
)
DENIED, NOTHING = DisclosureDenied(ruling=RULING), NothingHeld(ruling=RULING)
PERMITTED = DisclosurePermitted(ruling=RULING, fingerprint="ff")
STOPPED = DisclosureStopped(reason="consent_withdrawn", taken_back=False)
TAKEN_BACK = DisclosureStopped(reason="consent_withdrawn", taken_back=True)
HANDED_OVER = DisclosureHandedOver(channel="feed", sequence=1, at=NOW)
ACKNOWLEDGED = DisclosureAcknowledged(match=Match.MATCHED, signed="jws", at=NOW)
RETRACTED = DisclosureRetracted(reason="consent_withdrawn", entry=ENTRY, at=NOW)
CONFIRMED = RetractionAcknowledged(signed="jws", at=NOW)
AWAITED = ConfirmationAwaited(ruling=RULING, asked_by=("beck",), four_eyes=False, erase_by=None)
SAID_NO = DisclosureDeclined(person_id="p-1", by="adler", at=NOW, reason="nicht nötig")

Decide = Callable[[Disclosure], list[DisclosureEvent]]
DECISIONS: dict[str, tuple[Decide, DisclosureEvent]] = {
    "deny": (lambda d: d.deny(RULING), DENIED),
    "find nothing": (lambda d: d.find_nothing(RULING), NOTHING),
    "permit": (lambda d: d.permit(RULING, "ff"), PERMITTED),
    "prepare": (lambda d: d.await_confirmation(RULING, asker="beck", four_eyes=False, erase_by=None), AWAITED),
    "stop": (lambda d: d.stop("consent_withdrawn"), STOPPED),
    "take back": (lambda d: d.stop("consent_withdrawn", taken_back=True), TAKEN_BACK),
    "hand over": (lambda d: d.hand_over("feed", 1, NOW), HANDED_OVER),
    "acknowledge": (lambda d: d.acknowledge(Match.MATCHED, "jws", NOW), ACKNOWLEDGED),
    "retract": (lambda d: d.retract("consent_withdrawn", ENTRY, NOW), RETRACTED),
    "acknowledge the retraction": (lambda d: d.acknowledge_retraction("jws", NOW), CONFIRMED),
}
WAYS: dict[State, tuple[list[DisclosureEvent], dict[str, State]]] = {
    State.UNKNOWN: ([], {}),
    State.REQUESTED: (
        [REQUESTED],
        {
            "deny": State.DENIED,
            "find nothing": State.NOT_HELD,
            "permit": State.PERMITTED,
            "prepare": State.AWAITING_CONFIRMATION,
        },
    ),
    State.AWAITING_CONFIRMATION: ([REQUESTED, AWAITED], {}),
    State.DECLINED: ([REQUESTED, AWAITED, SAID_NO], {}),
    State.DENIED: ([REQUESTED, DENIED], {}),
    State.NOT_HELD: ([REQUESTED, NOTHING], {}),
    State.PERMITTED: (
        [REQUESTED, PERMITTED],
        {
            "stop": State.STOPPED,
            "take back": State.STOPPED,
            "hand over": State.HANDED_OVER,
            "acknowledge": State.ACKNOWLEDGED,
        },
    ),
    State.STOPPED: ([REQUESTED, PERMITTED, STOPPED], {}),
    State.HANDED_OVER: (
        [REQUESTED, PERMITTED, HANDED_OVER],
        {"take back": State.STOPPED, "acknowledge": State.ACKNOWLEDGED, "retract": State.RETRACTED},
    ),
    State.ACKNOWLEDGED: ([REQUESTED, PERMITTED, HANDED_OVER, ACKNOWLEDGED], {"retract": State.RETRACTED}),
    State.RETRACTED: (
        [REQUESTED, PERMITTED, HANDED_OVER, RETRACTED],
        {"acknowledge": State.RETRACTED, "acknowledge the retraction": State.RETRACTION_ACKNOWLEDGED},
    ),
    State.RETRACTION_ACKNOWLEDGED: (
        [REQUESTED, PERMITTED, HANDED_OVER, RETRACTED, CONFIRMED],
        {"acknowledge": State.RETRACTION_ACKNOWLEDGED},
    ),
}
FINAL = (State.DENIED, State.NOT_HELD, State.DECLINED, State.STOPPED, State.RETRACTION_ACKNOWLEDGED)


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("state", WAYS)
def test_from_each_state_lead_exactly_the_ways_of_the_diagram(state: State, decision: str) -> None:
    happened, ways = WAYS[state]
    decide, event = DECISIONS[decision]
    asked = given(Disclosure(), *happened).holds(lambda d: d.state, state).when(decide)
    if decision in ways:
        asked.then(event).holds(lambda d: d.state, ways[decision])
    else:
        asked.then()


@pytest.mark.parametrize(
    ("state", "decision"), [(state, decision) for state, (_, ways) in WAYS.items() for decision in ways]
)
def test_whatever_is_done_twice_changes_nothing_the_second_time(state: State, decision: str) -> None:
    decide, event = DECISIONS[decision]
    given(Disclosure(), *WAYS[state][0], event).when(decide).then()


def test_a_request_is_remembered_as_it_was_asked() -> None:
    """Nobody is named who decided it, so it counts as looked up by a program."""
    given(Disclosure()).when(lambda d: d.request(WANTED, NOW)).then(REQUESTED, LookedUpByProgram())
    decided = replace(WANTED, decided_by="beck")
    given(Disclosure()).when(lambda d: d.request(decided, NOW)).then(REQUESTED)


@pytest.mark.parametrize("state", [state for state in WAYS if state is not State.UNKNOWN])
def test_the_same_request_again_changes_nothing(state: State) -> None:
    given(Disclosure(), *WAYS[state][0]).when(lambda d: d.request(WANTED, NOW)).then()


@pytest.mark.parametrize(
    "other",
    [
        {"person_id": "p-2"},
        {"partner_id": "kk"},
        {"categories": ("benefit_data", "master_data")},
        {"purpose": "case_conference"},
        {"basis": "§ 67b Abs. 2 SGB X"},
        {"extent": Extent.PERMITTED},
        {"case_id": "c-1"},
    ],
)
def test_one_id_never_stands_for_two_requests(other: dict[str, Any]) -> None:
    changed = replace(WANTED, **other)
    given(Disclosure(), REQUESTED).refused(lambda d: d.request(changed, NOW), "disclosure.already_requested")


def test_a_late_acknowledgement_is_kept_and_leaves_it_retracted() -> None:
    happened = [REQUESTED, PERMITTED, HANDED_OVER, RETRACTED]
    late = given(Disclosure(), *happened).when(lambda d: d.acknowledge(Match.MATCHED, "jws", NOW)).then(ACKNOWLEDGED)
    late.holds(lambda d: d.acknowledged, ACKNOWLEDGED).holds(lambda d: d.state, State.RETRACTED)
    late.when(lambda d: d.acknowledge_retraction("jws", NOW)).then(CONFIRMED)


def test_a_second_word_of_the_recipient_does_not_replace_the_first() -> None:
    happened = [REQUESTED, PERMITTED, HANDED_OVER, ACKNOWLEDGED]
    given(Disclosure(), *happened).when(lambda d: d.acknowledge(Match.NOT_FOUND, "other", LATER)).then()


def test_what_was_only_permitted_is_not_retracted_but_stopped() -> None:
    given(Disclosure(), REQUESTED, PERMITTED).when(lambda d: d.retract("consent_withdrawn", ENTRY, NOW)).then()


def test_what_left_is_not_stopped_unless_it_was_taken_back_unread() -> None:
    left = given(Disclosure(), REQUESTED, PERMITTED, HANDED_OVER)
    left.when(lambda d: d.stop("consent_withdrawn")).then()
    left.when(lambda d: d.stop("consent_withdrawn", taken_back=True)).then(TAKEN_BACK)


class AnyOrder(RuleBasedStateMachine):
    """Whatever is decided in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.disclosure = Disclosure()
        self.history: list[DisclosureEvent] = []
        self.ended: State | None = None

    @rule()
    def ask(self) -> None:
        self.decide(lambda d: d.request(WANTED, NOW))

    @rule(decision=st.sampled_from(sorted(DECISIONS)))
    def decide_by_name(self, decision: str) -> None:
        self.decide(DECISIONS[decision][0])

    @rule(yes=st.booleans())
    def answer(self, *, yes: bool) -> None:
        if self.disclosure.state is State.AWAITING_CONFIRMATION:
            self.decide(lambda d: d.confirm("adler", "ja", NOW) if yes else d.decline("adler", "nein", NOW))

    def decide(self, decide: Decide) -> None:
        for event in decide(self.disclosure):
            self.history.append(event)
            self.disclosure = self.disclosure.apply(event)
        if self.ended is None and self.disclosure.state in FINAL:
            self.ended = self.disclosure.state

    @invariant()
    def an_end_is_an_end(self) -> None:
        assert self.ended in (None, self.disclosure.state)

    @invariant()
    def nothing_leaves_without_a_ruling(self) -> None:
        kinds = [type(event) for event in self.history]
        for beyond in (DisclosureHandedOver, DisclosureAcknowledged, DisclosureRetracted):
            if beyond in kinds:
                assert DisclosurePermitted in kinds[: kinds.index(beyond)]

    @invariant()
    def what_a_person_decides_leaves_only_after_that_person(self) -> None:
        kinds = [type(event) for event in self.history]
        if ConfirmationAwaited in kinds and DisclosurePermitted in kinds:
            assert DisclosureConfirmed in kinds[: kinds.index(DisclosurePermitted)]

    @invariant()
    def everything_happens_once(self) -> None:
        kinds = [type(event) for event in self.history]
        assert len(kinds) == len(set(kinds))


TestAnyOrder = AnyOrder.TestCase
