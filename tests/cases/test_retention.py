"""Files go when their time is over: counted from the newest record and the end of the case, and by nobody's order."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from services.cases.asks import Asks, on_behalf_of
from services.cases.domain.case import CloseCase, ConfirmSafetyCheck
from services.cases.domain.rights_request import Outcome, Right
from services.cases.keeping import Keeper, Outlook, Waits
from services.cases.queries import PersonQuestion, PersonView
from services.cases.retention import end, periods, rest, standing
from services.cases.rights_views import ErasureQuestion, ErasureView
from services.cases.worker import erase_what_is_over
from services.command.retention import retention
from shared.clock import SystemClock
from shared.domain import ERASED, Receipt
from shared.errors import Unavailable
from shared.eventstore import catch_up
from shared.law import is_category
from shared.runtime import LocalCalls
from tests.cases.test_erasure import finish
from tests.cases.test_rights import answer, ask_for
from tests.support.clock import NOON, FixedClock
from tests.support.workplace import ANSWERS, Workplace, request_of

FIVE_YEARS_ON = date(2031, 3, 2)
WORRYING = ANSWERS | {"item_9": "1"}


@pytest.mark.parametrize(
    ("newest", "closed_on", "last_on", "on"),
    [
        ({"contact_log": "2026-03-02"}, None, "2026-03-02", "2031-03-02"),
        ({"contact_log": "2024-02-29"}, None, "2024-02-29", "2029-02-28"),
        ({"contact_log": "2023-02-28"}, None, "2023-02-28", "2028-02-28"),
        ({"benefit_data": "2020-01-01", "contact_log": "2026-03-02"}, None, "2026-03-02", "2031-03-02"),
        ({"benefit_data": "2026-03-02", "contact_log": "2020-01-01"}, None, "2026-03-02", "2031-03-02"),
        ({"expert_opinion_76_2": "2026-03-02", "health_data": "2026-05-04"}, None, "2026-05-04", "2031-05-04"),
        ({"benefit_data": "2020-01-01"}, "2026-03-02", "2020-01-01", "2031-03-02"),
        ({"benefit_data": "2026-03-02"}, "2020-01-01", "2026-03-02", "2031-03-02"),
        ({"contact_log": "2020-01-01"}, None, "2026-03-02", "2031-03-02"),
        ({"youth_help_plan": "2026-03-02", "contact_log": "2030-01-01"}, None, "2030-01-01", "2036-03-02"),
        ({"youth_help_plan": "2026-03-02"}, "2028-07-01", "2026-03-02", "2038-07-01"),
    ],
)
def test_the_last_period_of_all_counts(newest: dict[str, str], closed_on: str | None, last_on: str, on: str) -> None:
    days = {category: date.fromisoformat(day) for category, day in newest.items()}
    closed = date.fromisoformat(closed_on) if closed_on else None
    assert end(days, closed, date.fromisoformat(last_on)).on == date.fromisoformat(on)


def test_no_program_acts_on_a_period_that_nobody_found_in_a_source() -> None:
    assert end({"benefit_data": NOON.date()}, None, NOON.date()).verified
    assert not end({"benefit_data": NOON.date(), "youth_social_data": NOON.date()}, None, NOON.date()).verified
    assert not end({"child_protection_indication": NOON.date()}, None, NOON.date()).verified


def test_what_is_only_needed_does_not_stand_against_a_request() -> None:
    held = [("contact_log", NOON.date()), ("child_protection_indication", NOON.date())]
    assert standing(held, NOON.date()) == ()


def test_the_schedule_has_one_rest_which_is_no_duty_and_no_period_is_shorter() -> None:
    assert [period.id for period in periods() if period.rest] == [rest().id]
    assert not rest().duty
    assert min(period.months for period in periods()) == rest().months
    named = [category for period in periods() for category in period.categories]
    assert len(named) == len(set(named))
    assert all(is_category(category) for category in named)


def at(clock: FixedClock, day: date) -> None:
    clock.moment = datetime.combine(day, NOON.timetz())


def keeper(office: Workplace) -> Keeper:
    context = office.platform.contexts["cases"]
    return Keeper(context, office.agency, Asks(context.calls, on_behalf_of(office.agency, "retention")))


def outlook(office: Workplace, until: date = FIVE_YEARS_ON) -> dict[str, Outlook]:
    return {each.person_id: each for each in keeper(office).outlook(until)}


def run(office: Workplace) -> int:
    """What the loop does for this agency, and the messages that follow from it."""
    done = keeper(office).erase_what_is_over()
    finish(office)
    return done


def close(office: Workplace, case_id: str) -> None:
    office.ask("cases", "close_case", CloseCase(case_id=case_id), Receipt)


def is_erased(office: Workplace, person_id: str) -> bool:
    return office.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView).name == ERASED


def erasure_of(office: Workplace, person_id: str) -> ErasureView:
    from services.cases.projections import RIGHTS, erasures

    context = office.platform.contexts["cases"]
    catch_up(context.store, RIGHTS)
    with context.database.read() as tx:
        rows = tx.execute(erasures.select().where(erasures.c.person_id == person_id)).all()
    (row,) = rows
    return office.ask("cases", "erasure", ErasureQuestion(erasure_id=row.erasure_id), ErasureView)


def test_files_go_on_the_day_and_not_before(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "benefit_data")
    jobcenter.assessment(person_id)
    at(clock, FIVE_YEARS_ON - timedelta(days=1))
    assert run(jobcenter) == 0
    assert not is_erased(jobcenter, person_id)
    at(clock, FIVE_YEARS_ON)
    assert run(jobcenter) == 1
    assert is_erased(jobcenter, person_id)
    done = erasure_of(jobcenter, person_id)
    assert (done.reason, done.by, done.waiting) == ("no_longer_needed", "retention", ())
    assert done.norms == ("Art. 17 Abs. 1 Buchst. a DSGVO", "§ 84 Abs. 4 SGB X")
    assert [leaf["result"] for leaf in jobcenter.leaves() if leaf["kind"] == "erasure"] == ["person_erased"]
    assert run(jobcenter) == 0
    assert erasure_of(jobcenter, person_id) == done


def test_a_record_that_comes_in_between_stops_it(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    at(clock, FIVE_YEARS_ON - timedelta(days=1))
    assert outlook(jobcenter)[person_id].on == FIVE_YEARS_ON
    jobcenter.entry(person_id, "contact_log")
    at(clock, FIVE_YEARS_ON)
    assert run(jobcenter) == 0
    assert outlook(jobcenter, date(2036, 3, 1))[person_id].on == date(2036, 3, 1)


def test_a_record_in_health_stops_it_also_when_it_is_about_an_older_day(
    jobcenter: Workplace, clock: FixedClock
) -> None:
    person_id = jobcenter.person()
    at(clock, FIVE_YEARS_ON)
    assert person_id in outlook(jobcenter)
    jobcenter.assessment(person_id, on=date(2025, 1, 1))
    assert run(jobcenter) == 0
    assert outlook(jobcenter, date(2036, 3, 2))[person_id].on == date(2036, 3, 2)


def test_somebody_whom_only_health_knows_goes_too(jobcenter: Workplace, clock: FixedClock) -> None:
    jobcenter.person()
    jobcenter.assessment("person-of-a-file")
    at(clock, FIVE_YEARS_ON)
    assert "person-of-a-file" in outlook(jobcenter)
    assert run(jobcenter) == 2
    keys = jobcenter.platform.contexts["health"].keys
    assert not keys.is_living(jobcenter.agency, "person-of-a-file")
    assert run(jobcenter) == 0


def test_an_open_case_stands_against_it_and_its_end_begins_the_period(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    at(clock, FIVE_YEARS_ON)
    assert outlook(jobcenter)[person_id].waits_for == (Waits.OPEN_CASE,)
    assert run(jobcenter) == 0
    close(jobcenter, case_id)
    assert person_id not in outlook(jobcenter)
    at(clock, date(2036, 3, 2))
    assert run(jobcenter) == 1


def test_an_open_safety_check_stands_against_it(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    close(jobcenter, case_id)
    jobcenter.assessment(person_id, WORRYING)
    finish(jobcenter)
    at(clock, FIVE_YEARS_ON)
    assert outlook(jobcenter)[person_id].waits_for == (Waits.SAFETY_CHECK,)
    assert run(jobcenter) == 0
    jobcenter.ask("cases", "confirm_safety_check", ConfirmSafetyCheck(case_id=case_id), Receipt)
    assert run(jobcenter) == 1


def test_an_open_request_stands_against_it(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.RECTIFICATION, wish="stimmt nicht", record="person")
    at(clock, FIVE_YEARS_ON)
    assert outlook(jobcenter)[person_id].waits_for == (Waits.RIGHTS_REQUEST,)
    assert run(jobcenter) == 0
    answer(jobcenter, request_id, Outcome.REFUSED, reasons="stimmt doch")
    assert person_id not in outlook(jobcenter), "the answer itself is kept for the period"


def test_a_disclosure_under_way_stands_against_it(jobcenter: Workplace, clock: FixedClock) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "master_data"))
    (document,) = partner.documents()
    at(clock, FIVE_YEARS_ON)
    assert outlook(jobcenter)[person_id].waits_for == (Waits.DISCLOSURE,)
    assert run(jobcenter) == 0
    partner.acknowledge(partner.signed(document))
    assert run(jobcenter) == 1


@pytest.mark.parametrize("until", [None, date(2032, 1, 1)])
def test_a_restriction_stands_against_it(jobcenter: Workplace, clock: FixedClock, until: date | None) -> None:
    """As for a claim that is being fought over (Art. 18 Abs. 1 Buchst. c DSGVO)."""
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.RESTRICTION, wish="für die Klage")
    answer(jobcenter, request_id, Outcome.GRANTED, until=until)
    at(clock, FIVE_YEARS_ON)
    assert run(jobcenter) == 0
    found = outlook(jobcenter, date(2032, 1, 1))[person_id]
    assert (found.on, found.waits_for) == ((until, ()) if until else (FIVE_YEARS_ON, (Waits.RESTRICTION,)))
    at(clock, date(2032, 1, 1))
    assert run(jobcenter) == (1 if until else 0)


def test_youth_files_wait_for_a_person(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "youth_help_plan")
    at(clock, date(2036, 3, 2))
    assert outlook(jobcenter, date(2036, 3, 2))[person_id].waits_for == (Waits.PERIOD_UNVERIFIED,)
    assert run(jobcenter) == 0


def test_while_health_is_away_nobody_is_erased(jobcenter: Workplace, clock: FixedClock) -> None:
    person_id, context = jobcenter.person(), jobcenter.platform.contexts["cases"]
    at(clock, FIVE_YEARS_ON)
    with pytest.raises(Unavailable):
        erase_what_is_over(replace(context, calls=LocalCalls()))
    assert not is_erased(jobcenter, person_id)


def test_other_agencies_and_younger_files_stay(jobcenter: Workplace, clock: FixedClock) -> None:
    old = jobcenter.person()
    at(clock, FIVE_YEARS_ON)
    young, elsewhere = jobcenter.person(), Workplace.of(jobcenter.platform)
    theirs = elsewhere.person()
    erase_what_is_over(jobcenter.platform.contexts["cases"])
    assert [
        is_erased(office, each) for office, each in ((jobcenter, old), (jobcenter, young), (elsewhere, theirs))
    ] == [
        True,
        False,
        False,
    ]


def ask_command(office: Workplace, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    settings = office.platform.contexts["cases"].settings
    monkeypatch.setenv("HANDSCHLAG_STATE", str(settings.state))
    monkeypatch.setenv("HANDSCHLAG_KEYS", str(settings.keys))
    told = CliRunner().invoke(retention, ["due", "--agency", office.agency, *arguments], catch_exceptions=False)
    assert told.exit_code == 0
    return told.output


def test_the_command_tells_beforehand_who_goes_when_by_ids_only(
    jobcenter: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, busy = jobcenter.person("Ottilie Quendel"), jobcenter.person("Berta Bleibt")
    jobcenter.case(busy)
    ahead = str((FIVE_YEARS_ON - SystemClock().today()).days + 1)
    found = json.loads(ask_command(jobcenter, monkeypatch, "--days", ahead, "--json"))
    waits = {each["person_id"]: (each["on"], each["waits_for"]) for each in found["files"]}
    assert waits == {free: ("2031-03-02", []), busy: ("2031-03-02", ["open_case"])}
    text = ask_command(jobcenter, monkeypatch, "--days", ahead)
    assert "Quendel" not in text
    assert "waits: a case is open" in text
    assert "2 by" in text
    assert ask_command(jobcenter, monkeypatch, "--days", "0").startswith("0 by")
    assert not is_erased(jobcenter, free)
