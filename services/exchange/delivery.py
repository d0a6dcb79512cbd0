"""Handing over: from the partner's queue here to its broker queue or its feed, checked once more on the way.

What rests on a consent is checked against the register at the moment it leaves, and counted there where the consent is
for a number of uses; what was let go in an emergency is checked against its end; what was ruled on another day, or by
other rules, is ruled on again. What no longer stands is stopped, with the reason: withdrawn, expired, paused, used up,
replaced, another law. What a partner fetches a second time is checked as well, and the log hears of it once a day.
A document is marked as leaving before it goes, so that a process that dies in between sends it again under the same
id and number, and the partner passes over the second one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event

from services.exchange import obligations, partner_queue
from services.exchange.asks import Asks, AuthorizeDisclosure
from services.exchange.documents import numbered
from services.exchange.domain.disclosure import Disclosure
from services.exchange.domain.partner import Channel, Partner
from services.exchange.domain.retraction import Retraction
from services.exchange.partner_queue import Kind, Place, Waiting
from services.exchange.queries import Exchange, FeedItem, FeedPage, FeedQuestion
from shared import telemetry
from shared.clock import Clock, timestamp
from shared.config import Settings
from shared.database import Database
from shared.errors import Invalid, Unavailable
from shared.eventstore import EventStore
from shared.identity import Caller
from shared.messaging import Mailbox
from shared.policy import present_law
from shared.runtime import Asking, ServiceContext

WINDOW = 20
PAUSE = 0.5
CONSENT_GONE = "consent_withdrawn"
ERASE_AT_REACHED = "erase_at_reached"
EMERGENCY_ENDED = "break_glass_ended"
LAW_CHANGED = "law_changed"


@dataclass(frozen=True)
class Lawful:
    """What may leave now, and which consents are for a number of uses."""

    rows: list[Waiting]
    limited: frozenset[str]


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
        lawful, fresh = self._still_lawful(agency, waiting), set[int]()
        for row in lawful.rows:
            sequence = self._leave(row, lawful)
            if sequence is not None:
                self._handed_over(row, Channel.FEED, sequence)
                fresh.add(row.id)
        limit = min(max(asked.limit, 1), 100)
        with self.database.read() as tx:
            page = partner_queue.page(tx, agency, asked.partner_id, asked.after, limit)
        again = self._again(agency, [row for row in page if row.id not in fresh])
        rows = [row for row in page if row.id in fresh or row.id in again]
        items = tuple(
            FeedItem(
                sequence=row.sequence, kind=row.kind.partition(".")[0], document=numbered(row.document, row.sequence)
            )
            for row in rows
        )
        return FeedPage(items=items, next=page[-1].sequence if page else asked.after)

    def send_waiting(self, mailbox: Mailbox) -> int:
        """Fill the windows of all partners with a broker queue; how many documents left."""
        with self.database.read() as tx:
            waiting = partner_queue.waiting(tx, Channel.AMQP.value)
        sent = 0
        for agency in dict.fromkeys(row.agency for row in waiting):
            mine = [row for row in waiting if row.agency == agency]
            lawful = self._still_lawful(agency, mine)
            for row in lawful.rows:
                sent += self._send(mailbox, row, lawful)
        return sent

    def _send(self, mailbox: Mailbox, row: Waiting, lawful: "Lawful") -> int:
        with self.database.read() as tx:
            full = partner_queue.in_window(tx, row.agency, row.partner_id) >= WINDOW
        if full and row.state != Place.LEAVING:
            return 0
        sequence = self._leave(row, lawful)
        if sequence is None:
            return 0
        document = numbered(row.document, sequence)
        queue = partner_queue_name(row.partner_id)
        headers = {"ce-type": str(document["type"]), "ce-id": str(document["id"])}
        mailbox.put(queue, str(document["id"]), json.dumps(document).encode(), headers, "application/json")
        self._handed_over(row, Channel.AMQP, sequence)
        return 1

    def _still_lawful(self, agency: str, waiting: Sequence[Waiting]) -> "Lawful":
        """What may leave now; what rested on a consent that fell, or on an emergency that ended, is stopped here."""
        now = timestamp(self.clock.now())
        late = [row for row in waiting if row.state == Place.QUEUED and row.until and row.until < now]
        for row in late:
            self._stop(row, EMERGENCY_ENDED)
        rows = [row for row in waiting if row not in late]
        declarations = tuple(dict.fromkeys(found for row in rows for found in _consents(row)))
        standing = Asks(self.calls, on_behalf_of(agency)).standing(declarations)
        reasons = {row.id: standing.code_of(_consents(row)) for row in rows}
        for row in rows:
            if reason := reasons[row.id]:
                self._stop(row, reason)
        return Lawful([row for row in rows if not reasons[row.id]], frozenset(standing.limited))

    def _again(self, agency: str, rows: Sequence[Waiting]) -> set[int]:
        """Which of the documents that this partner took before it may take once more; noted for the log."""
        declarations = tuple(dict.fromkeys(found for row in rows for found in _consents(row)))
        standing = Asks(self.calls, on_behalf_of(agency)).standing(declarations)
        stands = [row for row in rows if standing.code_of(_consents(row)) is None]
        today = self.clock.today()
        for row in stands:
            if row.kind == Kind.DISCLOSURE:
                self.store.agency(agency, trace=self._trace(row)).change(
                    Disclosure,
                    row.disclosure_id,
                    partial(Disclosure.fetch_again, sequence=row.sequence, today=today),
                    command_id=f"{row.disclosure_id}:fetched-again:{today.isoformat()}",
                )
        return {row.id for row in stands}

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

    def _leave(self, row: Waiting, lawful: "Lawful") -> int | None:
        """The number under which it leaves. A use is counted before: what died in between is counted once all the same.

        None when it was stopped meanwhile, or when the law or the consent's last use is gone: then it is stopped here.
        """
        if row.state == Place.QUEUED and row.kind == Kind.DISCLOSURE and not self._law_still_permits(row):
            self._stop(row, self._no_longer_stands(row) or LAW_CHANGED)
            return None
        declarations = tuple(_consents(row))
        if lawful.limited.intersection(declarations):
            reason = Asks(self.calls, on_behalf_of(row.agency)).use(row.disclosure_id, declarations)
            if reason:
                self._stop(row, reason)
                return None
        with self.database.write() as tx:
            return partner_queue.leave(tx, row.id, row.agency, row.partner_id)

    def _no_longer_stands(self, row: Waiting) -> str | None:
        """Which of the consents it rests on is the reason, if one is: also the one that another delivery just used."""
        standing = Asks(self.calls, on_behalf_of(row.agency)).standing(tuple(_consents(row)))
        return standing.codes[0].code if standing.codes else None

    def _law_still_permits(self, row: Waiting) -> bool:
        """Ruled on today by the rules of today; otherwise the audit service rules again on what it knows of it."""
        disclosure, _ = self.store.agency(row.agency).load(Disclosure, row.disclosure_id)
        ruling, asked = disclosure.ruling, disclosure.requested
        if ruling is None or asked is None:
            return False
        if (ruling.day, ruling.rule_set) == (self.clock.today().isoformat(), present_law().hash):
            return True
        store, asks = self.store.agency(row.agency), Asks(self.calls, on_behalf_of(row.agency))
        partner, sender = Exchange(store).partner(row.partner_id), Exchange(store).agency(row.agency)
        return asks.still_permitted(
            AuthorizeDisclosure(
                disclosure_id=row.disclosure_id,
                person_id=asked.person_id,
                case_id=asked.case_id,
                sender=sender.kind,
                partner_id=row.partner_id,
                recipient=partner.kind,
                categories=asked.categories,
                held=ruling.sent,
                purpose=asked.purpose,
                basis=asked.basis,
                extent=asked.extent,
                undertaking_given=partner.committed_on is not None,
                unable=obligations.unable(store.load(Partner, row.partner_id)[0]),
                restricted=asks.person(asked.person_id).restricted,
                days=None,
            )
        )

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
            elif row.kind == Kind.RETRACTION:
                now = self.clock.now()
                self.store.agency(row.agency, trace=telemetry.current_traceparent()).change(
                    Retraction,
                    row.disclosure_id,
                    lambda retraction: retraction.hand_over(channel.value, sequence, now),
                    command_id=f"{row.disclosure_id}:told",
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
    """What a delivery rests on; retractions and notices rest on nothing."""
    return str(row.consents).split() if row.kind == Kind.DISCLOSURE else []
