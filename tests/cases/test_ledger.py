"""The person's ledger as the services keep it: complete, dated, and silent about everybody else."""

from datetime import date, timedelta
from typing import Any

from services.audit.evidence import audit_log
from services.audit.ledger import Affected, AffectedQuestion, ReadPage, ReadsQuestion
from services.audit.reads import log_read
from services.cases.queries import CaseQuestion, CaseView, PersonQuestion, PersonView
from services.exchange.ledger import LEDGER, LedgerItem, LedgerPage, LedgerQuestion
from services.health.queries import AssessmentQuestion, AssessmentView
from shared.eventstore import rebuild
from shared.file_views import LookPage, LooksQuestion
from shared.identity import Caller
from tests.support.clock import NOON
from tests.support.workplace import Workplace, request_of


def ledger(office: Workplace, person_id: str, role: str = "citizen", **more: Any) -> tuple[LedgerItem, ...]:
    question = LedgerQuestion(person_id=person_id, **more)
    return office.ask("exchange", "ledger", question, LedgerPage, role=role).items


def test_it_tells_who_received_what_why_and_on_which_basis(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "master_data"))
    (document,) = partner.documents()
    partner.acknowledge(partner.signed(document))
    (item,) = ledger(jobcenter, person_id)
    receipt = partner.receipt(document)
    assert (item.state, item.partner_name, item.categories) == ("acknowledged", "Partner", ("master_data",))
    assert (item.purpose, item.refused, item.automatic) == ("recipient_statutory_task", False, False)
    assert "§ 69 Abs. 1 Nr. 1 SGB X" in " ".join(item.norms)
    assert (item.log, item.index) == (receipt.origin, receipt.index)
    assert item.by == ()
    (seen,) = ledger(jobcenter, person_id, role="auditor")
    assert seen.by == ("tester", "beck")


def test_a_refusal_is_there_and_reads_the_same_whatever_its_reason(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner("employer", "private"), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "medical_report_76"))
    other = jobcenter.partner()
    jobcenter.request(request_of(person_id, other, "benefit_data"))
    refused = ledger(jobcenter, person_id)
    assert {(item.state, item.refused, item.norms) for item in refused} == {("denied", True, ())}
    assert {item.state for item in ledger(jobcenter, person_id, role="auditor")} == {"denied", "not_held"}


def test_what_a_program_looked_up_by_itself_is_marked(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    stated = {"basis_communicated_was_consent_only": False, "requested_by_private_recipient": False}
    jobcenter.request(request_of(person_id, partner, "master_data", decided_by="", reasons="", facts=stated))
    jobcenter.request(request_of(person_id, partner, "master_data"))
    assert sorted(item.automatic for item in ledger(jobcenter, person_id)) == [False, True]


def protecting(office: Workplace, person_id: str, until: date) -> None:
    """A disclosure to the youth office of which the person learns on a later day."""
    partner = office.partner("youth_office", "sgb_viii")
    later = {"purpose": "child_protection", "inform_after": until, "reasons": "zum Schutz des Kindes"}
    office.request(request_of(person_id, partner, "master_data", **later))


def test_what_is_to_be_told_later_appears_from_its_day_on_as_if_it_had_never_been_hidden(
    jobcenter: Workplace,
) -> None:
    person_id = jobcenter.person()
    protecting(jobcenter, person_id, NOON.date() + timedelta(days=30))
    jobcenter.request(request_of(person_id, jobcenter.partner(), "master_data"))
    clock = jobcenter.platform.contexts["exchange"].clock
    assert [item.purpose for item in ledger(jobcenter, person_id)] == ["recipient_statutory_task"]
    assert len(ledger(jobcenter, person_id, role="auditor")) == 2
    clock.move(days=30)  # type: ignore[attr-defined]
    try:
        told = ledger(jobcenter, person_id)
    finally:
        clock.move(days=-30)  # type: ignore[attr-defined]
    assert {item.purpose for item in told} == {"recipient_statutory_task", "child_protection"}


def test_a_page_is_full_although_something_is_hidden_in_between(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    for _ in range(3):
        jobcenter.request(request_of(person_id, partner, "master_data"))
        protecting(jobcenter, person_id, date(2026, 4, 2))
    first = ledger(jobcenter, person_id, limit=2)
    rest = ledger(jobcenter, person_id, limit=2, before=first[-1].mark)
    assert (len(first), len(rest)) == (2, 1)
    assert len({item.disclosure_id for item in (*first, *rest)}) == 3


def test_who_reported_is_not_told_by_the_answer_that_they_got(jobcenter: Workplace) -> None:
    reporter, person_id = jobcenter.partner("treating_doctor", "professional_secrecy"), jobcenter.person()
    jobcenter.request(request_of(person_id, reporter, "child_protection_feedback", purpose="child_protection_feedback"))
    (item,) = ledger(jobcenter, person_id)
    assert (item.partner_id, item.partner_name, item.categories) == ("", "", ())
    (seen,) = ledger(jobcenter, person_id, role="auditor")
    assert seen.partner_id == reporter.partner_id


def test_that_there_are_data_about_others_is_not_told(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "master_data", "third_party_data"))
    (item,) = ledger(jobcenter, person_id)
    assert "third_party_data" not in item.categories


def test_who_looked_into_the_file_is_one_entry_a_day(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    for _ in range(3):
        jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView)
    jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView, actor="clausen")
    jobcenter.ask("cases", "case", CaseQuestion(case_id=case_id), CaseView)
    jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView, role="citizen")
    looks = jobcenter.ask("cases", "looks", LooksQuestion(person_id=person_id), LookPage).items
    assert {(each.what, each.looked_by, each.times) for each in looks} == {
        ("person", "tester", 3),
        ("person", "clausen", 1),
        ("case", "tester", 1),
    }


def test_who_looked_at_an_assessment_is_there_without_what_it_says(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    question = AssessmentQuestion(assessment_id=jobcenter.assessment(person_id))
    for _ in range(2):
        jobcenter.ask("health", "assessment", question, AssessmentView)
    jobcenter.ask("health", "assessment", question, AssessmentView, role="citizen")
    page = jobcenter.ask("health", "looks", LooksQuestion(person_id=person_id), LookPage)
    (look,) = page.items
    assert (look.what, look.looked_by, look.times, look.automatic) == ("assessment", "tester", 2, False)
    assert question.assessment_id not in str(page)
    assert jobcenter.ask("cases", "looks", LooksQuestion(person_id=person_id), LookPage).items == ()
    before = LooksQuestion(person_id=person_id, before=look.mark)
    assert jobcenter.ask("health", "looks", before, LookPage).items == ()


def test_a_look_of_a_program_by_itself_is_marked(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    assessment = AssessmentQuestion(assessment_id=jobcenter.assessment(person_id), automatic=True)
    jobcenter.ask("health", "assessment", assessment, AssessmentView, actor="nightly-report")
    person = PersonQuestion(person_id=person_id, automatic=True)
    jobcenter.ask("cases", "person", person, PersonView, actor="nightly-report")
    for keeper in ("cases", "health"):
        (look,) = jobcenter.ask(keeper, "looks", LooksQuestion(person_id=person_id), LookPage).items
        assert (look.looked_by, look.automatic) == ("nightly-report", True)


def test_a_service_that_asks_is_no_look(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    caller = Caller(service="exchange", actor="tester", role="case_worker", agency=jobcenter.agency)
    jobcenter.platform.calls.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView, caller=caller)
    question = AssessmentQuestion(assessment_id=jobcenter.assessment(person_id))
    jobcenter.platform.calls.ask("health", "assessment", question, AssessmentView, caller=caller)
    for keeper in ("cases", "health"):
        assert jobcenter.ask(keeper, "looks", LooksQuestion(person_id=person_id), LookPage).items == ()


def test_who_read_the_log_about_the_person_is_there(jobcenter: Workplace) -> None:
    person_id, context = jobcenter.person(), jobcenter.platform.contexts["audit"]
    log_read(
        context.store.agency(jobcenter.agency),
        audit_log(context),
        context.clock,
        read_id=f"read-{person_id}",
        by="weber",
        role="auditor",
        way="search",
        reason="Stichprobe",
        person_id=person_id,
    )
    question = ReadsQuestion(person_id=person_id)
    (read,) = jobcenter.ask("audit", "reads_of_person", question, ReadPage).items
    assert (read.role, read.way) == ("auditor", "search")
    before = ReadsQuestion(person_id=person_id, before=read.mark)
    assert jobcenter.ask("audit", "reads_of_person", before, ReadPage).items == ()


def test_whom_a_breach_touches_is_counted_from_the_log(jobcenter: Workplace) -> None:
    pension, health = jobcenter.partner(), jobcenter.partner("health_insurer", "sgb_v")
    first, second = jobcenter.person(), jobcenter.person()
    jobcenter.request(request_of(first, pension, "master_data"))
    jobcenter.request(request_of(first, health, "master_data"))
    jobcenter.request(request_of(second, health, "master_data"))

    def affected(**asked: Any) -> Affected:
        usual = {"since": NOON - timedelta(hours=1), "until": NOON + timedelta(hours=1)}
        return jobcenter.ask("audit", "affected", AffectedQuestion(**(usual | asked)), Affected)

    assert affected().persons == tuple(sorted([first, second]))
    assert affected(partner_id=pension.partner_id).persons == (first,)
    assert affected(categories=("health_data",)).persons == ()
    assert affected(until=NOON - timedelta(minutes=1)).entries == 0


def test_filled_anew_it_says_the_same(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "master_data"))
    (document,) = partner.documents()
    partner.acknowledge(partner.signed(document))
    before = ledger(jobcenter, person_id, role="auditor")
    rebuild(jobcenter.platform.contexts["exchange"].store, LEDGER)
    assert ledger(jobcenter, person_id, role="auditor") == before
