"""Everything taken back in one step, in both set-ups: stopped, taken back, confirmed, and shown to the officer."""

import json
import time
from typing import Any

import sqlalchemy as sa
from kombu import Connection

from services.command.demo.world import PARTNERS
from services.exchange.partner_queue import Kind, Place, queue
from tests.journeys.acting import Office, new_key
from tests.journeys.plain_httpx import acknowledgement
from tests.support.platform import Platform

Json = dict[str, Any]
PENSION, INSURER = PARTNERS


def until(read: Any, done: Any) -> Json:
    """What `read` says as soon as it is `done`."""
    ends = time.monotonic() + 60
    while not done(found := read()):
        assert time.monotonic() < ends, found
        time.sleep(0.1)
    return dict(found)


def test_a_withdrawal_in_one_step_reaches_everybody_and_its_report_says_so(platform: Platform) -> None:
    office, partner = Office(platform).open(), platform.machine(INSURER)
    person = office.person()
    consent = office.consent(person, INSURER, ["master_data"])
    reached = office.disclose(person, INSURER, ["master_data"])["disclosure_id"]
    fetched = partner.get("/feed", after=0, limit=100)
    assert reached in [item["document"]["id"] for item in fetched["items"]]
    waiting = office.disclose(person, INSURER, ["master_data"])["disclosure_id"]
    told = office.worker.post("/consents/withdrawals", {"person_id": person}, new_key())
    assert [(item["consent_id"], item["status"]) for item in told["items"]] == [(consent, "withdrawn")]

    def report() -> Json:
        return dict(office.worker.get(f"/withdrawals/{consent}"))

    found = until(report, lambda known: {each["state"] for each in known["recipients"]} == {"retracted", "stopped"})
    by_id = {each["disclosure_id"]: each for each in found["recipients"]}
    assert (by_id[waiting]["stopped_because"], by_id[reached]["partner_name"]) == (
        "consent_withdrawn",
        PARTNERS[INSURER][0],
    )
    assert by_id[reached]["lawful_until"] < by_id[reached]["due_at"]
    assert (found["complete"], found["late"]) == (False, 0)
    assert reached in [each["disclosure_id"] for each in office.auditor.get("/withdrawals")["items"]]
    (document,) = (item["document"] for item in partner.get("/feed", after=fetched["next"], limit=100)["items"])
    assert document["id"] == f"{reached}-retraction"
    signed = acknowledgement(document, platform.world.partner_keys(INSURER))
    partner.post("/acknowledgements", {"signed": signed}, new_key())
    found = until(report, lambda known: known["complete"])
    (confirmed,) = (each for each in found["recipients"] if each["disclosure_id"] == reached)
    assert confirmed["retracted_at"] <= confirmed["told_at"] <= confirmed["acknowledged_at"]
    assert reached not in [each["disclosure_id"] for each in office.auditor.get("/withdrawals")["items"]]


def test_what_was_leaving_under_a_consent_that_rests_now_is_fetched_out_of_the_brokers_queue(
    deployed_platform: Platform,
) -> None:
    """As after a kill between "it leaves" and "it left": nobody noted that it arrived, and the partner reads nothing
    meanwhile.
    """
    office = Office(deployed_platform).open()
    person = office.person()
    consent = office.consent(person, PENSION, ["master_data"])
    disclosure = office.disclose(person, PENSION, ["master_data"])["disclosure_id"]
    assert until(lambda: {"ids": lying_unread(deployed_platform)}, lambda found: disclosure in found["ids"])
    here = (queue.c.disclosure_id == disclosure) & (queue.c.kind == Kind.DISCLOSURE.value)
    office.worker.post(f"/consents/{consent}/pause", {}, new_key())
    with deployed_platform.connection("exchange") as tx:
        tx.execute(sa.update(queue).where(here).values(state=Place.LEAVING.value))
    found = until(
        lambda: office.worker.get(f"/disclosures/{disclosure}"), lambda known: known["state"] != "handed_over"
    )
    assert found["state"] == "stopped"
    assert disclosure not in lying_unread(deployed_platform)


def lying_unread(platform: Platform) -> list[str]:
    """The ids in the pension insurer's queue, where they stay."""
    with Connection(platform.broker_url(PENSION)) as connection, connection.channel() as channel:
        letters = iter(lambda: channel.basic_get(f"partner.{PENSION}"), None)
        return [json.loads(letter.body)["id"] for letter in letters]
