"""Handing over into broker queues: together, within each partner's window, and nobody waits for another's queue."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection
from sqlalchemy import update

from services.exchange import partner_queue
from services.exchange.delivery import WINDOW, Delivery
from services.exchange.domain.disclosure import State
from services.exchange.partner_queue import Kind, Place
from shared.errors import Unavailable
from shared.messaging import Mailbox
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import REFERRAL, PartnerDesk, Workplace, request_of


class Line:
    """Deliveries that wait for partners with a queue at a broker."""

    def __init__(self, at: Workplace) -> None:
        self.at = at
        self.url = f"inproc://{uuid4().hex}"
        self.mailbox = Mailbox(self.url)
        self.context = at.platform.contexts["exchange"]
        self.person_id = at.person()

    def partner(self, *, has_queue: bool = True) -> PartnerDesk:
        partner = self.at.partner()
        if has_queue:
            self.mailbox.declare(f"partner.{partner.partner_id}")
        return partner

    def disclose(self, partner: PartnerDesk) -> str:
        """A delivery that leaves by the broker."""
        found = self.at.request(request_of(self.person_id, partner, "master_data"))
        self.by_broker(found.disclosure_id)
        return found.disclosure_id

    def by_broker(self, disclosure_id: str) -> None:
        """Here partners are registered with a feed only."""
        table = partner_queue.queue
        with self.context.database.write() as tx:
            tx.execute(update(table).where(table.c.disclosure_id == disclosure_id).values(channel="amqp"))

    def send(self) -> int:
        context = self.context
        return Delivery(context.store, context.database, context.clock, context.calls).send_waiting(self.mailbox)

    def received(self, partner: PartnerDesk) -> list[dict[str, Any]]:
        with Connection(self.url) as connection:
            channel = connection.default_channel
            letters = iter(lambda: channel.basic_get(f"partner.{partner.partner_id}", no_ack=True), None)
            return [json.loads(each.body) for each in letters]

    def place(self, disclosure_id: str) -> str:
        with self.context.database.read() as tx:
            row = partner_queue.find(tx, self.at.agency, disclosure_id, Kind.DISCLOSURE)
            assert row is not None
            return str(row.state)


@pytest.fixture
def line(jobcenter: Workplace, platform: LocalPlatform) -> Iterator[Line]:
    made = Line(jobcenter)
    yield made
    made.mailbox.close()
    with platform.contexts["exchange"].database.write() as tx:
        tx.execute(update(partner_queue.queue).values(channel="feed"))


def test_what_waits_for_several_partners_leaves_at_once_under_each_ones_numbers(line: Line) -> None:
    first, second = line.partner(), line.partner()
    ids = [line.disclose(each) for each in (first, second, first)]
    assert line.send() == 3
    assert [(d["id"], d["sequence"]) for d in line.received(first)] == [(ids[0], 1), (ids[2], 2)]
    assert [(d["id"], d["sequence"]) for d in line.received(second)] == [(ids[1], 1)]
    assert [line.at.disclosure(each).sequence for each in ids] == [1, 1, 2]
    assert {line.at.disclosure(each).state for each in ids} == {State.HANDED_OVER}
    assert line.send() == 0


def test_a_partner_whose_queue_is_missing_keeps_nobody_else_waiting(line: Line) -> None:
    without, other = line.partner(has_queue=False), line.partner()
    waiting, sent = line.disclose(without), line.disclose(other)
    assert line.send() == 1
    assert [d["id"] for d in line.received(other)] == [sent]
    assert (line.place(waiting), line.at.disclosure(waiting).state) == (Place.LEAVING, State.PERMITTED)
    line.mailbox.declare(f"partner.{without.partner_id}")
    assert line.send() == 1
    assert [(d["id"], d["sequence"]) for d in line.received(without)] == [(waiting, 1)]


def test_a_window_is_never_overfilled_and_a_full_one_keeps_nobody_else_waiting(line: Line) -> None:
    slow, other = line.partner(), line.partner()
    ids = [line.disclose(slow) for _ in range(WINDOW + 2)]
    sent = line.disclose(other)
    assert line.send() == WINDOW + 1
    documents = line.received(slow)
    assert [d["id"] for d in documents] == ids[:WINDOW]
    assert [d["id"] for d in line.received(other)] == [sent]
    assert line.send() == 0
    slow.acknowledge(slow.signed(documents[0]))
    assert line.send() == 1
    assert [(d["id"], d["sequence"]) for d in line.received(slow)] == [(ids[WINDOW], WINDOW + 1)]


def test_who_confirms_nothing_gets_no_more_data_and_learns_of_every_withdrawal(line: Line) -> None:
    silent = line.partner()
    consent_id = line.at.consent(line.person_id, silent.partner_id, "coaching_content")
    line.at.entry(line.person_id, "coaching_content")
    wanted = request_of(line.person_id, silent, "coaching_content", purpose=REFERRAL)
    delivered = line.at.request(wanted).disclosure_id
    line.by_broker(delivered)
    waiting = [line.disclose(silent) for _ in range(WINDOW + 1)][-2:]
    assert line.send() == WINDOW
    line.received(silent)
    line.at.withdraw(consent_id)
    line.at.platform.deliver_messages()
    line.by_broker(delivered)
    assert line.send() == 2
    in_the_free_place, retraction = line.received(silent)
    assert in_the_free_place["id"] == waiting[0]
    assert (retraction["type"], retraction["id"]) == ("handschlag.retraction.v1", f"{delivered}-retraction")
    assert line.place(waiting[1]) == Place.QUEUED


def test_what_a_broker_did_not_confirm_leaves_again_under_the_same_numbers(line: Line) -> None:
    partner = line.partner()
    ids = [line.disclose(partner) for _ in range(2)]
    here, line.mailbox = line.mailbox, Mailbox("amqp://127.0.0.1:1/")
    with pytest.raises(Unavailable, match=r"broker\.unavailable"):
        line.send()
    assert [line.place(each) for each in ids] == [Place.LEAVING] * 2
    line.mailbox = here
    assert line.send() == 2
    assert [(d["id"], d["sequence"]) for d in line.received(partner)] == [(ids[0], 1), (ids[1], 2)]
