"""Human decisions stay human (§ 67d Abs. 1 SGB X): the engine prepares, a named person decides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from services.exchange import partner_queue
from services.exchange.domain.disclosure import (
    ConfirmationAwaited,
    Disclosure,
    DisclosureConfirmed,
    DisclosureDeclined,
    DisclosurePermitted,
    InformationPostponed,
    LookedUpByProgram,
    NecessityStated,
    RequestDisclosure,
    State,
)
from services.exchange.queries import NOT_CONFIRMED, NOTHING_MORE, DisclosurePage, DisclosuresQuestion
from shared.errors import Forbidden, Invalid, NotFound, Refused, Unavailable
from shared.law import confirmed_by_a_person, information_may_wait, needs_break_glass
from shared.policy import present_law
from tests.exchange.test_disclosure import REQUESTED, RULING, WANTED
from tests.support.given import given
from tests.support.workplace import STATED, PartnerDesk, Workplace, request_of

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
TODAY = date(2026, 3, 2)
AWAITED = ConfirmationAwaited(ruling=RULING, asked_by=("app", "beck"), four_eyes=False, erase_by=None)
FOUR_EYES = replace(AWAITED, four_eyes=True)
YES = DisclosureConfirmed(person_id="p-1", by="adler", at=NOW, reason="geprüft")
NO = DisclosureDeclined(person_id="p-1", by="adler", at=NOW, reason="nicht nötig")
PERMITTED = DisclosurePermitted(ruling=RULING, fingerprint="ff")
NECESSARY = replace(WANTED, facts={"necessary": True}, reasons="anders nicht zu klären", decided_by="beck")
DANGER = {
    **STATED,
    "weighty_danger_indications": True,
    "danger_not_otherwise_averted": True,
    "discussed_with_family": True,
    "informed_beforehand": True,
    "staff_is_kkg_person": True,
}
REPORT = "child_protection_indication"


def test_that_it_is_necessary_is_the_reasoned_statement_of_a_named_person() -> None:
    stated = NecessityStated(
        person_id="p-1",
        by="beck",
        at=NOW,
        purpose="referral",
        categories=("benefit_data",),
        reasons="anders nicht zu klären",
    )
    asked = given(Disclosure()).when(lambda d: d.request(NECESSARY, NOW)).then(REQUESTED, stated)
    asked.when(lambda d: d.request(NECESSARY, NOW)).then()


@pytest.mark.parametrize("facts", [{"facts": {"necessary": True}}, {"facts_by_category": {"a": {"necessary": True}}}])
@pytest.mark.parametrize(
    ("missing", "pointer", "code"),
    [({"reasons": "  "}, "/reasons", "reason_missing"), ({"decided_by": ""}, "/decided_by", "decider_missing")],
)
def test_necessity_without_reason_or_name_is_named_as_the_fault(
    facts: dict[str, Any], missing: dict[str, str], pointer: str, code: str
) -> None:
    wanted = replace(NECESSARY, **{"facts": {}, **facts, **missing})
    with pytest.raises(Invalid) as refused:
        wanted.check(NOW, TODAY)
    assert refused.value.code == f"disclosure.{code}"
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_who_states_nothing_needs_no_reason() -> None:
    replace(NECESSARY, facts={"necessary": False}, reasons="", decided_by="").check(NOW, TODAY)


def test_a_confirmation_is_the_permit() -> None:
    made = given(Disclosure(), REQUESTED, AWAITED).when(lambda d: d.confirm("adler", "geprüft", NOW, "ff"))
    made.then(YES, PERMITTED).holds(lambda d: d.state, State.PERMITTED)


@pytest.mark.parametrize(("days", "possible"), [(7, True), (8, False)])
def test_an_old_ruling_is_declined_and_no_longer_confirmed(days: int, *, possible: bool) -> None:
    later, waiting = NOW + timedelta(days=days), given(Disclosure(), REQUESTED, AWAITED)
    if possible:
        waiting.when(lambda d: d.confirm("adler", "geprüft", later, "ff")).then(replace(YES, at=later), PERMITTED)
    else:
        waiting.refused(lambda d: d.confirm("adler", "geprüft", later, "ff"), "disclosure.confirmation_too_late")
    waiting.when(lambda d: d.decline("adler", "nicht nötig", later)).then(replace(NO, at=later))


def test_a_refusal_to_confirm_closes_it() -> None:
    made = given(Disclosure(), REQUESTED, AWAITED).when(lambda d: d.decline("adler", "nicht nötig", NOW))
    made.then(NO).holds(lambda d: d.state, State.DECLINED)


def test_decided_twice_nothing_changes_and_nobody_decides_the_other_way_afterwards() -> None:
    confirmed, declined = (
        given(Disclosure(), REQUESTED, AWAITED, YES, PERMITTED),
        given(Disclosure(), REQUESTED, AWAITED, NO),
    )
    confirmed.when(lambda d: d.confirm("adler", "geprüft", NOW, "ff")).then()
    declined.when(lambda d: d.decline("adler", "nicht nötig", NOW)).then()
    confirmed.refused(lambda d: d.decline("adler", "doch nicht", NOW), "disclosure.nothing_to_confirm")
    declined.refused(lambda d: d.confirm("adler", "doch", NOW, "ff"), "disclosure.nothing_to_confirm")


@pytest.mark.parametrize("who", ["app", "beck"])
def test_four_eyes_are_not_those_who_asked(who: str) -> None:
    waiting = given(Disclosure(), REQUESTED, FOUR_EYES)
    waiting.refused(lambda d: d.confirm(who, "geprüft", NOW, "ff"), "disclosure.second_person_needed")
    waiting.when(lambda d: d.confirm("adler", "geprüft", NOW, "ff")).then(YES, PERMITTED)


def test_without_four_eyes_the_person_who_asked_may_confirm() -> None:
    given(Disclosure(), REQUESTED, AWAITED).when(lambda d: d.confirm("beck", "geprüft", NOW, "ff")).then(
        replace(YES, by="beck"), PERMITTED
    )


Decide = Callable[[Disclosure], object]


@pytest.mark.parametrize(
    "decide", [lambda d: d.confirm("adler", " ", NOW, "ff"), lambda d: d.decline("adler", "", NOW)]
)
def test_a_decision_has_a_reason(decide: Decide) -> None:
    with pytest.raises(Invalid) as refused:
        decide(Disclosure().apply(REQUESTED).apply(AWAITED))
    assert refused.value.code == "disclosure.reason_missing"


def test_nothing_is_confirmed_before_it_was_ruled_on() -> None:
    given(Disclosure(), REQUESTED).refused(lambda d: d.confirm("a", "b", NOW), "disclosure.nothing_to_confirm")


@pytest.mark.parametrize("until", [TODAY, TODAY + timedelta(days=367)])
def test_the_person_is_not_kept_waiting_for_ever_nor_until_yesterday(until: date) -> None:
    with pytest.raises(Invalid) as refused:
        replace(NECESSARY, inform_after=until).check(NOW, TODAY)
    assert [problem.pointer for problem in refused.value.problems] == ["/inform_after"]


def test_a_later_notice_is_remembered_with_its_day() -> None:
    wanted = replace(WANTED, inform_after=date(2026, 4, 1))
    made = given(Disclosure()).when(lambda d: d.request(wanted, NOW))
    then = made.then(REQUESTED, LookedUpByProgram(), InformationPostponed(until=date(2026, 4, 1)))
    then.holds(lambda d: d.visible_from, date(2026, 4, 1))


def test_the_purposes_that_people_decide_are_words_of_the_law() -> None:
    purposes = present_law().vocabulary.purposes
    confirmed = {purpose for purpose in purposes if confirmed_by_a_person(purpose)}
    assert confirmed == {
        "child_protection",
        "family_court_protection",
        "emergency_help",
        "criminal_prosecution",
        "danger_aversion",
        "prevention_of_planned_crime",
    }
    assert {purpose for purpose in purposes if needs_break_glass(purpose)} == {"emergency_help"}
    assert {purpose for purpose in purposes if information_may_wait(purpose)} < confirmed
    listed = present_law().content["obligations.yaml"]
    for name in ("confirmed_by_a_person", "break_glass", "information_may_wait"):
        assert set(listed[name]) <= set(purposes)


@pytest.fixture
def youth_office(jobcenter: Workplace) -> PartnerDesk:
    return jobcenter.partner("youth_office", "sgb_viii")


def report(youth_office: PartnerDesk, **changed: Any) -> RequestDisclosure:
    """A report to the youth office about a child at risk."""
    person_id = youth_office.workplace.person()
    youth_office.workplace.entry(person_id, REPORT, "blaue Flecken")
    usual = {"purpose": "child_protection", "facts": DANGER}
    return request_of(person_id, youth_office, REPORT, **{**usual, **changed})


def rows(at: Workplace, table: Any, disclosure_id: str) -> int:
    here = (table.c.agency == at.agency) & (table.c.disclosure_id == disclosure_id)
    with at.platform.contexts["exchange"].database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table).where(here)).scalar_one())


def test_a_report_waits_for_a_person_and_nothing_is_sealed_before(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    found = at.request(wanted)
    assert (found.state, found.decided_by, found.confirmed_by) == (State.AWAITING_CONFIRMATION, "beck", None)
    assert found == at.request(wanted)
    assert rows(at, partner_queue.queue, wanted.disclosure_id) == 0
    assert youth_office.documents() == []
    assert [leaf["kind"] for leaf in at.leaves()] == ["intent"]


def test_once_confirmed_it_leaves_as_it_was_prepared(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    at.entry(wanted.person_id, REPORT, "danach dazugekommen")
    found = at.confirm(wanted, "adler")
    assert (found.state, found.confirmed_by) == (State.PERMITTED, "adler")
    (document,) = youth_office.documents()
    assert [entry["text"] for entry in youth_office.opened(document).content[REPORT]["entries"]] == ["blaue Flecken"]  # type: ignore[index, call-overload, union-attr]
    assert rows(at, partner_queue.draft, wanted.disclosure_id) == 0
    at.platform.deliver_messages()
    assert [leaf["result"] for leaf in at.leaves() if leaf["kind"] == "outcome"] == ["confirmed", "handed_over"]


def test_confirmed_twice_it_leaves_once(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    first = at.confirm(wanted, "adler", command_id="the-same")
    assert first == at.confirm(wanted, "adler", command_id="the-same") == at.confirm(wanted, "adler")
    assert at.request(wanted).state is State.PERMITTED
    assert len(youth_office.documents()) == 1


def test_declined_twice_it_is_closed_once_and_the_log_says_so(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    first = at.confirm(wanted, "adler", yes=False)
    assert first == at.confirm(wanted, "adler", yes=False)
    assert (first.state, first.answer) == (State.DECLINED, NOT_CONFIRMED)
    assert (youth_office.documents(), rows(at, partner_queue.draft, wanted.disclosure_id)) == ([], 0)
    at.platform.deliver_messages()
    assert [leaf["result"] for leaf in at.leaves() if leaf["kind"] == "outcome"] == ["declined"]
    with pytest.raises(Refused):
        at.confirm(wanted, "adler")


@pytest.mark.parametrize("role", ["citizen", "auditor", "operator", "partner_system", "service"])
def test_nobody_but_a_case_worker_confirms(youth_office: PartnerDesk, role: str) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    with pytest.raises(Forbidden):
        at.confirm(wanted, "adler", role=role)
    assert at.disclosure(wanted.disclosure_id).state is State.AWAITING_CONFIRMATION


def test_only_the_disclosure_about_that_person_is_confirmed(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    with pytest.raises(NotFound):
        at.confirm(replace(wanted, person_id="another"), "adler")


def test_what_the_rules_deny_no_person_can_confirm(youth_office: PartnerDesk) -> None:
    at = youth_office.workplace
    wanted = report(youth_office, facts={**DANGER, "weighty_danger_indications": False})
    assert at.request(wanted).state is State.DENIED
    with pytest.raises(Refused):
        at.confirm(wanted, "adler")
    assert youth_office.documents() == []


def test_a_consent_withdrawn_before_the_confirmation_stops_what_rested_on_it(jobcenter: Workplace) -> None:
    office = jobcenter.partner("measure_provider", "provider")
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "coaching_content")
    consent_id = jobcenter.consent(person_id, office.partner_id, "coaching_content", purpose="child_protection")
    wanted = request_of(person_id, office, "coaching_content", purpose="child_protection")
    assert jobcenter.request(wanted).state is State.AWAITING_CONFIRMATION
    jobcenter.withdraw(consent_id)
    jobcenter.platform.deliver_messages()
    jobcenter.confirm(wanted, "adler")
    assert office.documents() == []
    assert jobcenter.disclosure(wanted.disclosure_id).state is State.STOPPED


@pytest.mark.parametrize("changed", [{"reasons": ""}, {"decided_by": ""}, {"inform_after": TODAY}])
def test_without_its_statement_nothing_is_written(youth_office: PartnerDesk, changed: dict[str, Any]) -> None:
    at, wanted = youth_office.workplace, report(youth_office, **changed)
    with pytest.raises(Invalid):
        at.request(wanted)
    assert at.leaves() == []
    with pytest.raises(NotFound):
        at.disclosure(wanted.disclosure_id)


def test_the_log_commits_to_who_decided_and_why_without_telling(youth_office: PartnerDesk) -> None:
    at = youth_office.workplace
    at.request(report(youth_office))
    (leaf,) = at.leaves()
    assert {"decided_by", "reasons"} <= set(leaf["commitments"])
    assert "beck" not in str(leaf)


def test_the_person_finds_it_from_the_day_of_the_release_on(youth_office: PartnerDesk) -> None:
    at = youth_office.workplace
    later, at_once = report(youth_office, inform_after=date(2026, 4, 1)), report(youth_office)
    for wanted in (later, at_once):
        at.request(wanted)
    assert at.disclosure(later.disclosure_id).visible_from == date(2026, 4, 1)
    with pytest.raises(NotFound):
        at.disclosure(later.disclosure_id, "citizen")
    found = at.disclosure(at_once.disclosure_id, "citizen")
    assert (found.state, found.answer, found.decided_by) == (State.REQUESTED, "", None)
    for wanted, seen in ((later, 0), (at_once, 1)):
        question = DisclosuresQuestion(person_id=wanted.person_id)
        assert len(at.ask("exchange", "disclosures", question, DisclosurePage, role="citizen").items) == seen


def test_to_the_person_declined_and_denied_read_alike(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    at.request(wanted)
    at.confirm(wanted, "adler", yes=False)
    found = at.disclosure(wanted.disclosure_id, "citizen")
    assert (found.state, found.answer) == (State.DENIED, NOTHING_MORE)


def test_where_the_law_does_not_let_it_wait_the_notice_is_not_postponed(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    wanted = request_of(person_id, partner, "master_data", inform_after=date(2026, 4, 1))
    with pytest.raises(Invalid) as refused:
        jobcenter.request(wanted)
    assert refused.value.code == "disclosure.information_not_postponed"


def test_while_the_log_is_away_nothing_is_prepared(youth_office: PartnerDesk) -> None:
    at, wanted = youth_office.workplace, report(youth_office)
    services = at.platform.calls.services
    audit = services.pop("audit")
    try:
        with pytest.raises(Unavailable):
            at.request(wanted)
    finally:
        services["audit"] = audit
    assert at.request(wanted).state is State.AWAITING_CONFIRMATION
