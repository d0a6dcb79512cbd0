"""Without the log nothing leaves; with the broker away for a while nothing is lost and nothing is done twice."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import amqp
import pytest

from services.command.demo.world import PARTNERS
from tests.journeys.acting import ANSWERED_FOR, CONFERENCE, FACTS, Office, new_key
from tests.journeys.test_bad_input import ask, fetched, refused, whole_feed
from tests.journeys.test_kills import leaves
from tests.support.platform import Platform

Json = dict[str, Any]
PENSION, HEALTH = PARTNERS
AWAY = 5.0
WORKERS, EACH = 2, 8


@pytest.fixture
def office(deployed_platform: Platform) -> Iterator[Office]:
    opened = Office(deployed_platform).open()
    person = opened.person()
    opened.consent(person, HEALTH, ["master_data"])
    fetched(opened, opened.disclose(person, HEALTH, ["master_data"])["disclosure_id"])
    yield opened
    deployed_platform.wait_until_ready()


def wanted(person: str, partner: str) -> Json:
    about = {"person_id": person, "partner_id": partner, "categories": ["master_data"]}
    return {**about, "purpose": CONFERENCE, "facts": FACTS, **ANSWERED_FOR}


class AtTheBroker:
    """What lies in the pension insurer's queue, as its own program takes it out."""

    def __init__(self, platform: Platform) -> None:
        self.address = platform.broker_url(PENSION)

    def signed_in(self) -> amqp.Connection:
        login, place = self.address.removeprefix("amqp://").split("@")
        user, password = login.split(":")
        return amqp.Connection(host=place.split("/")[0], userid=user, password=password, virtual_host="/handschlag")

    def take_all(self, seconds: float = 1.0) -> list[Json]:
        """Every document, until for `seconds` there was none."""
        found, ends = [], time.monotonic() + seconds
        with self.signed_in() as connection:
            channel = connection.channel()
            while time.monotonic() < ends:
                message = channel.basic_get(f"partner.{PENSION}")
                if message is None:
                    time.sleep(0.05)
                    continue
                channel.basic_ack(message.delivery_tag)
                found.append(json.loads(message.body))
                ends = time.monotonic() + seconds
        return found


def intents(platform: Platform, disclosure_id: str) -> int:
    """How many entries of the log are the permission of this disclosure: those whose receipt names its index."""
    index = platform.machine("datenschutz-demo").get(f"/log/receipts/{disclosure_id}")["index"]
    found = [leaf for number, leaf in enumerate(leaves(platform)) if number == index]
    return [leaf["kind"] for leaf in found].count("intent")


@pytest.mark.parametrize("partner", [PENSION, HEALTH])
def test_while_the_log_is_away_nothing_leaves_and_afterwards_once(office: Office, partner: str) -> None:
    platform, key, person = office.platform, new_key(), office.person()
    office.consent(person, partner, ["master_data"])
    queue = AtTheBroker(platform)
    queue.take_all()
    known = Counter(leaf["kind"] for leaf in leaves(platform))
    before = len(whole_feed(platform.machine(HEALTH)))
    platform.parts["audit"].kill()
    answer = ask(platform, office.worker, "POST", "/disclosures", wanted(person, partner), key=key)
    try:
        assert answer.status_code == 503
        problem = refused(platform, answer, "audit-unavailable")
        assert "nothing has left" in problem["detail"]
        assert answer.headers["retry-after"]
        assert queue.take_all() == []
        assert len(whole_feed(platform.machine(HEALTH))) == before
    finally:
        platform.parts["audit"].start()
    platform.wait_until_ready()
    made = office.worker.post("/disclosures", wanted(person, partner), key)
    again = office.worker.post("/disclosures", wanted(person, partner), key)
    assert made["state"] in ("permitted", "handed_over"), made
    assert again["disclosure_id"] == made["disclosure_id"]
    assert len(office.worker.get("/disclosures", person_id=person)["items"]) == 1
    arrives_once(office, queue, partner, made["disclosure_id"])
    assert Counter(leaf["kind"] for leaf in leaves(platform))["intent"] == known["intent"] + 1
    assert intents(platform, made["disclosure_id"]) == 1


def arrives_once(office: Office, queue: AtTheBroker, partner: str, disclosure_id: str) -> None:
    if partner == HEALTH:
        fetched(office, disclosure_id)
        ids = [each["document"]["id"] for each in whole_feed(office.platform.machine(HEALTH))]
    else:
        ids = [each["id"] for each in queue.take_all(seconds=4)]
    assert ids.count(disclosure_id) == 1


class Load:
    """Some people at work at once: each asks for one disclosure after the other and keeps what was acknowledged."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.acknowledged: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        office = Office(self.office.platform)
        partner = (PENSION, HEALTH)[number % 2]
        try:
            for _ in range(EACH):
                person = office.person()
                office.consent(person, partner, ["master_data"])
                made = office.worker.post("/disclosures", wanted(person, partner), new_key())
                self.acknowledged.append((partner, made["disclosure_id"]))
                time.sleep(0.3)
        except Exception as error:  # noqa: BLE001 - told by the test in its own thread
            self.failed.append(f"{type(error).__name__}: {error}")


@pytest.mark.timeout(240)
def test_a_broker_that_is_away_for_a_while_costs_time_and_nothing_else(office: Office) -> None:
    platform = office.platform
    assert platform.broker is not None
    keeper = platform.broker.keeper
    if keeper is None:
        pytest.fail("a broker that the environment names cannot be stopped; use a private one")
    queue = AtTheBroker(platform)
    queue.take_all()
    load = Load(office)
    load.start()
    time.sleep(1.5)
    keeper.kill()
    time.sleep(AWAY)
    before_it_was_back = len(load.acknowledged)
    keeper.start()
    load.join()
    assert load.failed == []
    assert before_it_was_back < len(load.acknowledged) == WORKERS * EACH
    platform.wait_until_ready()
    by_feed = {disclosure for partner, disclosure in load.acknowledged if partner == HEALTH}
    by_queue = {disclosure for partner, disclosure in load.acknowledged if partner == PENSION}
    for disclosure in by_feed:
        fetched(office, disclosure)
    feed = Counter(each["document"]["id"] for each in whole_feed(platform.machine(HEALTH)))
    assert {disclosure: feed[disclosure] for disclosure in by_feed} == dict.fromkeys(by_feed, 1)
    documents = taken_until(queue, by_queue)
    assert {each["id"] for each in documents} == by_queue
    assert len({json.dumps(each, sort_keys=True) for each in documents}) == len(by_queue), "one disclosure, two forms"
    for _, disclosure in load.acknowledged:
        assert intents(platform, disclosure) == 1


def taken_until(queue: AtTheBroker, expected: set[str]) -> list[Json]:
    """All that came until every expected document was among it, and a moment longer."""
    found: list[Json] = []
    ends = time.monotonic() + 60
    while {each["id"] for each in found} < expected and time.monotonic() < ends:
        found += queue.take_all(seconds=2)
    return found + queue.take_all(seconds=1)
