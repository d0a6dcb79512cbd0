"""The agency's program at the broker: consent, disclosure and withdrawal without one HTTP request of its own."""

import time
from typing import Any
from uuid import uuid4

import amqp
import pytest

from services.command.demo.world import PARTNERS
from tests.journeys.acting import ANSWERED_FOR, CONFERENCE, FACTS, INFORMED, Office, new_key
from tests.journeys.agency_program import AgencyProgram
from tests.journeys.test_leaks import Tap
from tests.support.leaks import leaks_in
from tests.support.platform import Platform

Json = dict[str, Any]
USER = "fachverfahren-demo"
_, HEALTH = PARTNERS
NAME, REASONS = "Gundula Ackerwinde", "Gundula Ackerwinde braucht die Konferenz"


@pytest.fixture(scope="module")
def office(deployed_platform: Platform) -> Office:
    return Office(deployed_platform).open()


@pytest.fixture(scope="module")
def program(deployed_platform: Platform, office: Office) -> AgencyProgram:
    (key,) = office.worker.get("/keys")["keys"]
    return AgencyProgram(deployed_platform.broker_url(USER), USER, key)


def terms(person: str) -> Json:
    about = {"person_id": person, "recipient": HEALTH, "purpose": CONFERENCE, "categories": ["master_data"]}
    return {**about, "form": "written", "given_by": ["data_subject"], "information": INFORMED, "voluntary": True}


def wanted(person: str, **more: Any) -> Json:
    return {
        "person_id": person,
        "partner_id": HEALTH,
        "categories": ["master_data"],
        "purpose": CONFERENCE,
        **more,
    }


def disclosures_of(office: Office, person: str) -> list[Json]:
    items: list[Json] = office.worker.get("/disclosures", person_id=person)["items"]
    return items


def registered(program: AgencyProgram) -> str:
    person = {"person_id": str(uuid4()), "name": NAME, "birth_date": "1961-04-02"}
    assert program.order("cases.register_person", person, sealed=True)["status"] == 201
    return person["person_id"]


def test_a_consent_a_disclosure_and_a_withdrawal_by_message(office: Office, program: AgencyProgram) -> None:
    with Tap(office.platform) as tap:
        person = registered(program)
        consent = program.order("consent.give_consent", {"terms": terms(person)})
        assert (consent["status"], consent["body"]["status"]) == (201, "given"), consent
        request = wanted(person, facts=FACTS, **{**ANSWERED_FOR, "reasons": REASONS})
        made = program.order("exchange.request_disclosure", request, sealed=True)
        assert made["status"] == 201, made
        assert "body" not in made
        disclosure = office.worker.get(made["location"].removeprefix("/v1"))
        assert disclosure["state"] in ("permitted", "handed_over"), disclosure
        withdrawn = program.order("consent.withdraw_consent", {"consent_id": consent["body"]["consent_id"]})
        assert (withdrawn["status"], withdrawn["body"]["status"]) == (200, "withdrawn")
        assert retracted(office, disclosure["disclosure_id"])
        denied = program.order("exchange.request_disclosure", request, sealed=True)
        assert office.worker.get(denied["location"].removeprefix("/v1"))["state"] == "denied"
    assert [leak for body in tap.bodies for leak in leaks_in("a message", body, (NAME, REASONS))] == []


def retracted(office: Office, disclosure_id: str) -> bool:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if office.worker.get(f"/disclosures/{disclosure_id}")["state"] in ("stopped", "retracted"):
            return True
        time.sleep(0.1)
    return False


def test_the_same_message_twice_is_one_disclosure(office: Office, program: AgencyProgram) -> None:
    person, key = registered(program), uuid4().hex
    program.order("consent.give_consent", {"terms": terms(person)})
    first = program.order("exchange.request_disclosure", wanted(person, facts=FACTS, **ANSWERED_FOR), key, sealed=True)
    second = program.order("exchange.request_disclosure", wanted(person, facts=FACTS, **ANSWERED_FOR), key, sealed=True)
    assert "replayed" not in first
    assert second["replayed"] is True
    assert second["location"] == first["location"]
    assert len(disclosures_of(office, person)) == 1


def test_the_same_command_through_both_doors_is_one_disclosure(office: Office, program: AgencyProgram) -> None:
    person, key = registered(program), uuid4().hex
    first = program.order("exchange.request_disclosure", wanted(person), key)
    again = office.worker.post("/disclosures", wanted(person), key)
    assert first["location"] == f"/v1/disclosures/{again['disclosure_id']}"
    assert len(disclosures_of(office, person)) == 1


def test_another_content_under_the_same_key_is_never_carried_out(office: Office, program: AgencyProgram) -> None:
    person, key = registered(program), uuid4().hex
    program.order("exchange.request_disclosure", wanted(person), key)
    answer = program.order("exchange.request_disclosure", wanted(person, categories=["contact_data"]), key)
    assert answer["problem"]["type"] == "/problems/idempotency-key-reused"
    assert len(disclosures_of(office, person)) == 1


def test_personal_data_in_the_open_is_refused_with_the_way_out(office: Office, program: AgencyProgram) -> None:
    person = registered(program)
    refused = program.order("exchange.request_disclosure", wanted(person, reasons=REASONS))
    problem = refused["problem"]
    assert (refused["status"], problem["type"]) == (422, "/problems/inbox-personal-in-the-open")
    assert problem["errors"][0]["pointer"] == "/reasons"
    assert "/v1/keys" in problem["errors"][0]["remedy"]
    assert REASONS not in str(refused)
    named = {"person_id": str(uuid4()), "name": NAME, "birth_date": "1961-04-02"}
    assert program.order("cases.register_person", named)["problem"]["type"] == problem["type"]
    assert office.worker.client.send(
        "GET",
        f"/v1/persons/{named['person_id']}",
        headers={"Authorization": f"Bearer {office.worker.token()}"},
        expect=(404,),
    )
    assert disclosures_of(office, person) == []


def test_without_a_word_about_the_person_a_request_may_come_in_the_open(program: AgencyProgram) -> None:
    assert program.order("exchange.request_disclosure", wanted(registered(program)))["status"] == 201


def test_the_broker_refuses_a_message_in_the_name_of_somebody_else(program: AgencyProgram) -> None:
    message = {"type": "consent.raise_objection", "idempotency_key": new_key(), "body": {"person_id": str(uuid4())}}
    with pytest.raises(amqp.PreconditionFailed) as refused:
        program.send(message, user_id=HEALTH)
    assert refused.value.code == 406


def test_an_answer_into_another_queue_is_refused(program: AgencyProgram) -> None:
    message = {"type": "consent.raise_objection", "idempotency_key": new_key(), "body": {"person_id": str(uuid4())}}
    answer = program.hear(program.send(message, reply_to=f"client.{HEALTH}"))
    assert answer["problem"]["type"] == "/problems/inbox-not-your-queue"


def test_nobody_reads_the_answers_of_somebody_else(deployed_platform: Platform, program: AgencyProgram) -> None:
    partner = AgencyProgram(deployed_platform.broker_url(HEALTH), USER, program.key)
    with pytest.raises(amqp.AccessRefused) as refused:
        partner.hear("whatever")
    assert refused.value.code == 403


@pytest.mark.parametrize("operation", ["cases.case", "exchange.drop_everything", "audit.authorize"])
def test_an_unknown_type_is_a_problem(program: AgencyProgram, operation: str) -> None:
    problem = program.order(operation, {})["problem"]
    assert (problem["type"], problem["errors"][0]["pointer"]) == ("/problems/inbox-unknown-type", "/type")


def test_a_partner_may_not_speak_for_the_agency(deployed_platform: Platform, program: AgencyProgram) -> None:
    partner = AgencyProgram(deployed_platform.broker_url(HEALTH), HEALTH, program.key)
    problem = partner.order("exchange.request_disclosure", wanted(str(uuid4())))["problem"]
    assert (problem["type"], problem["status"]) == ("/problems/role-not-allowed", 403)


def test_an_agency_program_publishes_commands_and_nothing_else(program: AgencyProgram) -> None:
    with pytest.raises(amqp.AccessRefused):
        program.send({"type": "exchange.acknowledge"}, routing_key="acknowledgement")
