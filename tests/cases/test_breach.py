"""The breach register: 72 hours, who has to be told by the law of that day, whom it touches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cases.domain.breach import RecordBreach, RecordNotice, Risk
from services.cases.rights_views import BreachesQuestion, BreachPage, BreachQuestion, BreachView, NoticeView
from shared.domain import Receipt
from shared.errors import Invalid, NotFound
from tests.support.clock import NOON
from tests.support.workplace import Workplace, fresh, request_of


def record(office: Workplace, **more: Any) -> str:
    breach_id = fresh("breach")
    usual = {
        "aware_at": NOON - timedelta(hours=70),
        "began_at": NOON - timedelta(days=4),
        "ended_at": NOON + timedelta(hours=1),
        "risk": Risk.LIKELY,
        "nature": "Umschläge vertauscht",
        "consequences": "Kenntnis Unbefugter",
        "measures": "zurückgeholt",
    }
    office.ask("cases", "record_breach", RecordBreach(breach_id=breach_id, **(usual | more)), Receipt, role="auditor")
    return breach_id


def view(office: Workplace, breach_id: str) -> BreachView:
    return office.ask("cases", "breach", BreachQuestion(breach_id=breach_id), BreachView, role="auditor")


def told(office: Workplace, breach_id: str, to: str, at: datetime, reason: str = "") -> None:
    given = RecordNotice(breach_id=breach_id, to=to, at=at, reason_for_delay=reason)
    office.ask("cases", "give_breach_notice", given, Receipt, role="auditor")


def notice(found: BreachView, to: str) -> NoticeView:
    return next(each for each in found.notices if each.to == to)


def test_the_clock_of_72_hours_runs_from_becoming_aware_also_over_a_weekend(jobcenter: Workplace) -> None:
    friday = datetime(2026, 2, 27, 20, 0, tzinfo=UTC)
    breach_id = record(jobcenter, aware_at=friday)
    due = notice(view(jobcenter, breach_id), "data_protection_authority")
    assert (due.due_at, due.overdue) == (datetime(2026, 3, 2, 20, 0, tzinfo=UTC), False)
    late = record(jobcenter, aware_at=NOON - timedelta(hours=73))
    assert notice(view(jobcenter, late), "data_protection_authority").overdue


def test_a_notice_in_time_needs_no_reason_and_a_late_one_does(jobcenter: Workplace) -> None:
    breach_id = record(jobcenter)
    aware = view(jobcenter, breach_id).aware_at
    with pytest.raises(Invalid, match=r"breach.delay_unexplained"):
        told(jobcenter, breach_id, "data_protection_authority", aware + timedelta(hours=80))
    told(jobcenter, breach_id, "data_protection_authority", aware + timedelta(hours=80), "Ermittlung des Umfangs")
    told(jobcenter, breach_id, "supervisor", aware + timedelta(hours=2))
    found = view(jobcenter, breach_id)
    assert notice(found, "data_protection_authority").reason_for_delay == "Ermittlung des Umfangs"
    assert not any(each.overdue for each in found.notices)
    told(jobcenter, breach_id, "supervisor", aware + timedelta(hours=3))
    assert view(jobcenter, breach_id).version == found.version


def test_the_persons_concerned_are_told_at_high_risk_without_delay(jobcenter: Workplace) -> None:
    found = view(jobcenter, record(jobcenter, risk=Risk.HIGH))
    assert notice(found, "affected_persons").due_at is None
    assert {each.to for each in view(jobcenter, record(jobcenter, risk=Risk.UNLIKELY)).notices} == set()


def test_the_persons_affected_are_computed_from_the_log(jobcenter: Workplace) -> None:
    partner, other = jobcenter.partner(), jobcenter.partner("health_insurer", "sgb_v")
    touched, untouched = jobcenter.person(), jobcenter.person()
    jobcenter.request(request_of(touched, partner, "master_data"))
    jobcenter.request(request_of(untouched, other, "master_data"))
    found = view(jobcenter, record(jobcenter, partner_id=partner.partner_id))
    assert (found.affected, found.affected_persons) == (1, (touched,))


def test_what_is_said_about_a_breach_is_sealed_in_the_store(jobcenter: Workplace) -> None:
    breach_id = record(jobcenter, nature="Kolibri-Vorfall 4711")
    assert view(jobcenter, breach_id).nature == "Kolibri-Vorfall 4711"
    context = jobcenter.platform.contexts["cases"]
    with context.database.read() as tx:
        stored = [str(row) for row in tx.exec_driver_sql("select data from events where type = 'BreachRecorded'").all()]
    assert stored
    assert not any("Kolibri" in row for row in stored)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"aware_at": NOON + timedelta(hours=1)}, "/aware_at"),
        ({"ended_at": NOON - timedelta(days=9)}, "/ended_at"),
        ({"nature": " "}, "/nature"),
        ({"categories": ("gossip",)}, "/categories"),
    ],
)
def test_faulty_breaches_are_named_by_their_field(jobcenter: Workplace, wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid, match=r"breach.invalid") as refused:
        record(jobcenter, **wrong)
    assert refused.value.problems[0].pointer == pointer


def test_a_breach_nobody_recorded_and_a_notice_to_nobody(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound, match=r"breach.unknown"):
        view(jobcenter, "none")
    with pytest.raises(Invalid, match=r"breach.notice_invalid"):
        told(jobcenter, record(jobcenter), "the_press", NOON)


def test_the_register_lists_them_for_its_own_agency_only(jobcenter: Workplace) -> None:
    breach_id = record(jobcenter)
    mine = jobcenter.ask("cases", "breaches", BreachesQuestion(), BreachPage)
    assert [each.breach_id for each in mine.items] == [breach_id]
    elsewhere = Workplace.of(jobcenter.platform)
    assert elsewhere.ask("cases", "breaches", BreachesQuestion(), BreachPage).items == ()
