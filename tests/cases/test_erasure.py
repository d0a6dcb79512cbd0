"""Erasure as an operation over all services: by whom it is ordered, what stands against it, when it is complete."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services import SERVICES
from services.cases.domain.case import Case
from services.cases.domain.erasure import HOLDERS, OrderErasure
from services.cases.domain.rights_request import Outcome, Right, RightsRequest
from services.cases.queries import CasePage, CasesQuestion, PersonQuestion, PersonView
from services.cases.rights_views import AnswerRight, ErasureQuestion, ErasureView
from services.exchange.domain.disclosure import State
from services.exchange.ledger import LedgerPage, LedgerQuestion
from services.health.queries import AssessmentQuestion, AssessmentView
from shared.domain import ERASED, Receipt
from shared.errors import NotFound, Refused
from shared.eventstore import catch_up, rebuild
from shared.messaging import Consumer, Message
from tests.cases.test_rights import CHECKED, answer, ask_for, shown
from tests.support.workplace import Workplace, fresh, request_of


def order(office: Workplace, person_id: str, **more: Any) -> str:
    erasure_id = fresh("erasure")
    wanted = OrderErasure(erasure_id=erasure_id, person_id=person_id, reason="retention_ended", **more)
    office.ask("cases", "order_erasure", wanted, Receipt)
    return erasure_id


def finish(office: Workplace) -> None:
    """The order goes out, the confirmations come back."""
    for _ in range(3):
        office.platform.deliver_messages()


def view(office: Workplace, erasure_id: str) -> ErasureView:
    return office.ask("cases", "erasure", ErasureQuestion(erasure_id=erasure_id), ErasureView)


def test_every_service_that_keeps_events_has_to_confirm() -> None:
    assert sorted(HOLDERS) == sorted(SERVICES)


def test_an_erasure_is_complete_when_every_service_has_confirmed(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    erasure_id = order(jobcenter, person_id)
    assert set(view(jobcenter, erasure_id).waiting) == set(HOLDERS) - {"cases"}
    assert view(jobcenter, erasure_id).completed_at is None
    finish(jobcenter)
    done = view(jobcenter, erasure_id)
    assert done.waiting == ()
    assert {each.service for each in done.confirmed} == set(HOLDERS)
    assert done.completed_at is not None
    for name in SERVICES:
        keys = jobcenter.platform.contexts[name].keys
        with pytest.raises(Refused, match=r"person.erased"):
            keys.seal(jobcenter.agency, person_id, b"anything", b"")


def test_an_erasure_of_somebody_unknown_has_an_answer_of_its_own(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound, match=r"erasure.person_unknown"):
        order(jobcenter, "nobody")


def test_somebody_whom_only_health_knows_can_be_erased(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.assessment(person_id)
    erasure_id = order(jobcenter, person_id)
    finish(jobcenter)
    assert view(jobcenter, erasure_id).waiting == ()


def test_a_duty_to_keep_stands_against_it_and_leads_to_a_restriction(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "benefit_data", "Bescheid")
    with pytest.raises(Refused, match=r"erasure.retention_duty") as refused:
        order(jobcenter, person_id)
    assert "2031-03-02" in refused.value.problems[0].detail
    assert "§ 84 Abs. 4 SGB X" in refused.value.problems[0].detail
    request_id = ask_for(jobcenter, person_id, Right.ERASURE)
    with pytest.raises(Refused, match=r"erasure.retention_duty"):
        answer(jobcenter, request_id, Outcome.GRANTED)
    found = answer(jobcenter, request_id, Outcome.RESTRICTED, reasons="Aufbewahrung bis 2031", until=date(2031, 3, 2))
    assert found.answer is not None
    assert (found.answer.until, found.answer.norms[0]) == (date(2031, 3, 2), "§ 84 Abs. 4 SGB X")
    assert jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView).restricted


def test_what_should_never_have_been_there_goes_in_spite_of_a_duty_to_keep(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "benefit_data", "versehentlich erfasst")
    erasure_id = order(jobcenter, person_id, unlawful=True)
    finish(jobcenter)
    assert view(jobcenter, erasure_id).waiting == ()


def test_a_request_for_erasure_is_answered_and_orders_it_in_one_step(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.ERASURE, wish="alles weg")
    said = AnswerRight(
        request_id=request_id, person_id=person_id, outcome=Outcome.GRANTED, by="beck", reasons="Frist vorbei"
    )
    for _ in range(2):
        jobcenter.ask("cases", "answer_right", said, Receipt, command_id=f"answer-{request_id}")
    finish(jobcenter)
    found = shown(jobcenter, request_id)
    assert found.answer is not None
    assert (found.wish, found.answer.reasons, found.answer.erasure_id) == (ERASED, ERASED, request_id)
    assert view(jobcenter, request_id).waiting == ()


def test_the_same_order_and_the_same_message_again_change_nothing(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    erasure_id = order(jobcenter, person_id)
    wanted = OrderErasure(erasure_id=erasure_id, person_id=person_id, reason="retention_ended")
    jobcenter.ask("cases", "order_erasure", wanted, Receipt)
    finish(jobcenter)
    before = view(jobcenter, erasure_id)
    for _ in range(2):
        jobcenter.platform.deliver_messages(from_the_start=True)
    assert view(jobcenter, erasure_id) == before
    with pytest.raises(Refused, match=r"erasure.id_taken"):
        jobcenter.ask("cases", "order_erasure", replace(wanted, person_id=jobcenter.person()), Receipt)


def test_a_person_may_be_erased_again_and_nothing_is_left_to_do(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    first = order(jobcenter, person_id)
    finish(jobcenter)
    second = order(jobcenter, person_id)
    finish(jobcenter)
    assert view(jobcenter, first).waiting == view(jobcenter, second).waiting == ()


def test_recipients_are_told_what_waits_is_stopped_and_receipts_still_verify(jobcenter: Workplace) -> None:
    pension, health = jobcenter.partner(), jobcenter.partner("health_insurer", "sgb_v")
    person_id = jobcenter.person()
    given, waiting = request_of(person_id, pension, "master_data"), request_of(person_id, health, "master_data")
    jobcenter.request(given)
    jobcenter.request(waiting)
    (delivered,) = pension.documents()
    order(jobcenter, person_id)
    finish(jobcenter)
    assert jobcenter.disclosure(waiting.disclosure_id).state is State.STOPPED
    assert health.documents() == []
    (notice,) = pension.documents()
    assert notice["change"] == "erased"
    receipt = pension.receipt(delivered)
    assert notice["index"] == receipt.index
    pension.receipt(notice)
    pension.acknowledge(pension.signed(notice))
    pension.acknowledge(pension.signed(notice))
    finish(jobcenter)
    kinds = [leaf["kind"] for leaf in jobcenter.leaves()]
    assert kinds.count("notice") == 1
    results = [leaf["result"] for leaf in jobcenter.leaves()]
    assert results.count("notice_acknowledged") == 1


def test_the_erasure_itself_is_an_entry_of_the_log_that_names_nobody(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.request(request_of(person_id, partner, "master_data"))
    order(jobcenter, person_id)
    finish(jobcenter)
    (leaf,) = [leaf for leaf in jobcenter.leaves() if leaf["kind"] == "erasure"]
    assert (leaf["result"], leaf["commitments"]) == ("person_erased", {})
    assert person_id not in str(leaf)


def test_no_list_leads_to_the_person_any_more_also_after_a_rebuild(jobcenter: Workplace) -> None:
    from importlib import import_module

    partner, person_id = jobcenter.partner(), jobcenter.person()
    jobcenter.case(person_id)
    jobcenter.entry(person_id, "contact_log")
    assessment = AssessmentQuestion(assessment_id=jobcenter.assessment(person_id))
    jobcenter.ask("health", "assessment", assessment, AssessmentView)
    jobcenter.consent(person_id, partner.partner_id, "master_data")
    jobcenter.request(request_of(person_id, partner, "master_data"))
    jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView)
    order(jobcenter, person_id)
    finish(jobcenter)
    for again in (False, True):
        for name in ("consent", "cases", "health", "exchange"):
            context = jobcenter.platform.contexts[name]
            for projection in import_module(f"services.{name}.worker").WORK.projections:
                if again:
                    rebuild(context.store, projection)
                catch_up(context.store, projection)
            with context.database.read() as tx:
                kept = _rows_naming(tx, person_id)
            assert kept <= {"events", "person_keys", "erasures"}, (name, again)
    assert jobcenter.ask("cases", "cases", CasesQuestion(person_id=person_id), CasePage).items == ()
    question = LedgerQuestion(person_id=person_id)
    assert jobcenter.ask("exchange", "ledger", question, LedgerPage).items == ()


def _rows_naming(tx: Any, person_id: str) -> set[str]:
    import sqlalchemy as sa

    found = set()
    for table in sa.inspect(tx).get_table_names():
        rows = tx.exec_driver_sql(f'select * from "{table}"').all()
        if any(person_id in str(value) for row in rows for value in row):
            found.add(table)
    return found


def test_a_message_about_the_person_that_waits_in_an_inbox_goes_too(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    context = jobcenter.platform.contexts["cases"]
    told = {"person_id": person_id, "assessment_id": 7}
    bad = Message(
        id=fresh("m"), type="health.SafetyConcernNoted.v1", agency=jobcenter.agency, data=told, key=fresh("k")
    )
    from services.cases.inbound import HANDLERS

    inbox = Consumer(context, HANDLERS)
    inbox.handle([bad])
    assert bad.id in [each.message_id for each in inbox.parked()]
    order(jobcenter, person_id)
    assert bad.id not in [each.message_id for each in inbox.parked()]


def test_an_event_about_two_people_keeps_the_part_of_the_other(jobcenter: Workplace) -> None:
    person_id, guardian = jobcenter.person(), fresh("person")
    request_id = ask_for(
        jobcenter,
        person_id,
        Right.ACCESS,
        wish="für meine Betreute",
        representative_id=guardian,
        representative="Betreuerin Kranz",
    )
    answer(jobcenter, request_id, Outcome.GRANTED, representation_covers=True, **CHECKED)
    order(jobcenter, person_id)
    finish(jobcenter)
    store = jobcenter.platform.contexts["cases"].store.agency(jobcenter.agency)
    asked = store.load(RightsRequest, request_id)[0].requested
    assert asked is not None
    assert (asked.wish, asked.representative) == (ERASED, "Betreuerin Kranz")


def test_other_persons_and_other_agencies_notice_nothing(jobcenter: Workplace) -> None:
    person_id, other = jobcenter.person("Erna Eins"), jobcenter.person("Zita Zwei")
    elsewhere = Workplace.of(jobcenter.platform)
    order(jobcenter, person_id)
    finish(jobcenter)
    assert jobcenter.ask("cases", "person", PersonQuestion(person_id=other), PersonView).name == "Zita Zwei"
    with pytest.raises(NotFound):
        order(elsewhere, person_id)


def test_the_shells_of_old_events_stay_and_say_that_they_are_erased(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    case_id = jobcenter.case(person_id)
    order(jobcenter, person_id)
    store = jobcenter.platform.contexts["cases"].store.agency(jobcenter.agency)
    assert store.load(Case, case_id)[0].main_companion == "adler"
    assert jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView).name == ERASED


def test_what_is_wanted_of_an_erased_person_is_refused_and_not_recorded_anew(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    order(jobcenter, person_id)
    with pytest.raises(Refused, match=r"person.erased"):
        jobcenter.entry(person_id, "contact_log")
