"""Handing over: from the partner's queue here to its broker queue or its feed, checked once more on the way.

What rests on a consent is checked against the register at the moment it leaves, what was let go in an emergency against
its end; what no longer stands is stopped.
A document is marked as leaving before it goes, so that a process that dies in between sends it again under the same
id and number, and the partner passes over the second one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event

from services.exchange import partner_queue
from services.exchange.asks import Asks
from services.exchange.documents import numbered
from services.exchange.domain.disclosure import Disclosure
from services.exchange.domain.partner import Channel
from services.exchange.partner_queue import Kind, Place, Waiting
from services.exchange.queries import FeedItem, FeedPage, FeedQuestion
from shared import telemetry
from shared.clock import Clock, timestamp
from shared.config import Settings
from shared.database import Database
from shared.errors import Invalid, Unavailable
from shared.eventstore import EventStore
from shared.identity import Caller
from shared.messaging import Mailbox
from shared.runtime import Asking, ServiceContext

WINDOW = 20
PAUSE = 0.5
CONSENT_GONE = "consent_withdrawn"
NO_LONGER_STANDS = "consent_no_longer_stands"
EMERGENCY_ENDED = "break_glass_ended"


@dataclass(frozen=True)
class Delivery:
    """Hands over what waits, for all agencies of this service."""

    store: EventStore
    database: Database
    clock: Clock
    calls: Asking

    def feed(self, agency: str, asked: FeedQuestion) -> FeedPage:
        """What the partner may fetch behind its number; what waits for it is handed over by this very question."""
        with self.database.read() as tx:
            waiting = partner_queue.waiting_for(tx, agency, asked.partner_id)
        for row in self._still_lawful(agency, waiting):
            sequence = self._leave(row)
            if sequence is not None:
                self._handed_over(row, Channel.FEED, sequence)
        limit = min(max(asked.limit, 1), 100)
        with self.database.read() as tx:
            rows = partner_queue.page(tx, agency, asked.partner_id, asked.after, limit)
        items = tuple(
            FeedItem(sequence=row.sequence, kind=row.kind, document=numbered(row.document, row.sequence))
            for row in rows
        )
        return FeedPage(items=items, next=items[-1].sequence if items else asked.after)

    def send_waiting(self, mailbox: Mailbox) -> int:
        """Fill the windows of all partners with a broker queue; how many documents left."""
        with self.database.read() as tx:
            waiting = partner_queue.waiting(tx, Channel.AMQP.value)
        sent = 0
        for agency in dict.fromkeys(row.agency for row in waiting):
            mine = [row for row in waiting if row.agency == agency]
            for row in self._still_lawful(agency, mine):
                sent += self._send(mailbox, row)
        return sent

    def _send(self, mailbox: Mailbox, row: Waiting) -> int:
        with self.database.read() as tx:
            full = partner_queue.in_window(tx, row.agency, row.partner_id) >= WINDOW
        if full and row.state != Place.LEAVING:
            return 0
        sequence = self._leave(row)
        if sequence is None:
            return 0
        document = numbered(row.document, sequence)
        queue = partner_queue_name(row.partner_id)
        headers = {"ce-type": str(document["type"]), "ce-id": str(document["id"])}
        mailbox.put(queue, str(document["id"]), json.dumps(document).encode(), headers, "application/json")
        self._handed_over(row, Channel.AMQP, sequence)
        return 1

    def _still_lawful(self, agency: str, waiting: Sequence[Waiting]) -> list[Waiting]:
        """What may leave now; what rested on a consent that fell, or on an emergency that ended, is stopped here."""
        now = timestamp(self.clock.now())
        late = [row for row in waiting if row.state == Place.QUEUED and row.until and row.until < now]
        for row in late:
            self._stop(row, EMERGENCY_ENDED)
        rows = [row for row in waiting if row not in late]
        consents = tuple(dict.fromkeys(c for row in rows if row.kind == Kind.DISCLOSURE for c in _consents(row)))
        fallen = Asks(self.calls, on_behalf_of(agency)).fallen(consents)
        gone = [row for row in rows if row.kind == Kind.DISCLOSURE and fallen & set(_consents(row))]
        for row in gone:
            self._stop(row, NO_LONGER_STANDS)
        return [row for row in rows if row not in gone]

    def _stop(self, row: Waiting, reason: str) -> None:
        """Only what never left; what may have left is the withdrawal's business (`withdrawal.py`)."""
        with self.database.write() as tx:
            if partner_queue.move(tx, row.id, Place.STOPPED, only_from=(Place.QUEUED,)):
                self.store.agency(row.agency, trace=self._trace(row)).change(
                    Disclosure,
                    row.disclosure_id,
                    lambda disclosure: disclosure.stop(reason, taken_back=row.sequence is not None),
                    command_id=f"{row.disclosure_id}:stop",
                    tx=tx,
                )

    def _leave(self, row: Waiting) -> int | None:
        with self.database.write() as tx:
            return partner_queue.leave(tx, row.id, row.agency, row.partner_id)

    def _handed_over(self, row: Waiting, channel: Channel, sequence: int) -> None:
        with telemetry.continue_trace(self._trace(row), "hand over"), self.database.write() as tx:
            partner_queue.move(tx, row.id, Place.HANDED_OVER, only_from=(Place.LEAVING,))
            if row.kind == Kind.DISCLOSURE:
                now = self.clock.now()
                self.store.agency(row.agency, trace=telemetry.current_traceparent()).change(
                    Disclosure,
                    row.disclosure_id,
                    lambda disclosure: disclosure.hand_over(channel.value, sequence, now),
                    command_id=f"{row.disclosure_id}:hand-over",
                    tx=tx,
                )

    def _trace(self, row: Waiting) -> str:
        """That of the request which the document came from: it waited here, and its trace waited with it."""
        return self.store.agency(row.agency).read(Disclosure, row.disclosure_id)[-1].trace


def partner_queue_name(partner_id: str) -> str:
    """The broker queue that one partner reads."""
    return f"partner.{partner_id}"


def provide_queue(settings: Settings, partner_id: str) -> None:
    """Make the partner's broker queue, if it is not there yet. Without a broker a partner has its feed only."""
    if settings.embedded:
        fault = ("/channel", "this installation has no broker", "choose the channel feed")
        raise Invalid("partner.no_broker", fault[1], fault[2], [fault])
    Mailbox(settings.broker).declare(partner_queue_name(partner_id))


def on_behalf_of(agency: str) -> Caller:
    """The caller of what this service does by itself."""
    trace = telemetry.current_traceparent()
    return Caller(service="exchange", actor="exchange", role="service", agency=agency, purpose="delivery", trace=trace)


def send_when_waiting(context: ServiceContext, stop: Event) -> None:
    """The loop that empties the waiting line into the broker queues; without a broker there are feeds only."""
    if context.settings.embedded:
        stop.wait()
        return
    delivery = Delivery(context.store, context.database, context.clock, context.calls)
    mailbox = Mailbox(context.settings.broker)
    while not stop.is_set():
        seen = context.store.position()
        try:
            delivery.send_waiting(mailbox)
        except Unavailable as error:
            telemetry.logger("delivery").warning("delivery waits", **telemetry.describe(error))
            stop.wait(PAUSE)
        context.store.wait(seen, PAUSE)


def _consents(row: Waiting) -> list[str]:
    return str(row.consents).split()
