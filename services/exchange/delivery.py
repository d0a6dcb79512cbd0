"""Handing over: from the partner's queue here to its broker queue or its feed, checked once more on the way.

What rests on a consent is checked against the register at the moment it leaves, and counted there where the consent is
for a number of uses; what was let go in an emergency is checked against its end; what was ruled on another day, or by
other rules, is ruled on again. What no longer stands is stopped, with the reason: withdrawn, expired, paused, used up,
replaced, another law. What a partner fetches a second time is checked as well, and the log hears of it once a day.
A document is marked as leaving before it goes, so that a process that dies in between sends it again under the same
id and number, and the partner passes over the second one.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from threading import Event

from sqlalchemy import Connection

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
from shared.eventstore import AgencyStore, EventStore
from shared.identity import Caller
from shared.messaging import Letter, Mailbox
from shared.policy import present_law
from shared.runtime import Asking, ServiceContext, by_itself

WINDOW = 20
SENT_AT_ONCE = 30
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
        lawful = self._still_lawful(agency, waiting)
        numbers = self._leave(agency, lawful.rows, lawful)
        fresh = set(numbers)
        self._handed_over(agency, [row for row in lawful.rows if row.id in fresh], Channel.FEED, numbers)
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
            waiting = partner_queue.waiting(tx, Channel.AMQP.value, WINDOW)
            lying = partner_queue.in_windows(tx, Channel.AMQP.value)
        sent = 0
        for agency in dict.fromkeys(row.agency for row in waiting):
            lawful = self._still_lawful(agency, [row for row in waiting if row.agency == agency])
            rows = _fitting(lawful.rows, lying)
            for start in range(0, len(rows), SENT_AT_ONCE):
                sent += self._send(mailbox, agency, rows[start : start + SENT_AT_ONCE], lawful)
        return sent

    def _send(self, mailbox: Mailbox, agency: str, rows: Sequence[Waiting], lawful: "Lawful") -> int:
        """Together: one transaction marks them as leaving, the broker confirms them at once, another one notes it."""
        numbers = self._leave(agency, rows, lawful)
        leaving = [row for row in rows if row.id in numbers]
        if not leaving:
            return 0
        missing = mailbox.put_together([_letter(row, numbers[row.id]) for row in leaving])
        gone = [row for row in leaving if partner_queue_name(row.partner_id) not in missing]
        if missing:
            telemetry.logger("delivery").error("partners have no queue", code="mailbox.missing", count=len(missing))
        self._handed_over(agency, gone, Channel.AMQP, numbers)
        return len(gone)

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
        stop_what_waits(self.store.agency(row.agency, trace=self._trace(row)), self.database, row, reason)

    def _leave(self, agency: str, rows: Sequence[Waiting], lawful: "Lawful") -> dict[int, int]:
        """The numbers under which they leave, by row; what may not leave any more, or was stopped, has none."""
        going = {row.id: row.partner_id for row in rows if self._may_leave(row, lawful)}
        if not going:
            return {}
        with self.database.write() as tx:
            return partner_queue.leave_together(tx, agency, going)

    def _may_leave(self, row: Waiting, lawful: "Lawful") -> bool:
        """A use is counted here, before it leaves: what died in between is counted once all the same.

        What the law or the consent's last use does not carry any more is stopped.
        """
        if row.state == Place.QUEUED and row.kind == Kind.DISCLOSURE and not self._law_still_permits(row):
            self._stop(row, self._no_longer_stands(row) or LAW_CHANGED)
            return False
        declarations = tuple(_consents(row))
        if lawful.limited.intersection(declarations):
            reason = Asks(self.calls, on_behalf_of(row.agency)).use(row.disclosure_id, declarations)
            if reason:
                self._stop(row, reason)
                return False
        return True

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

    def _handed_over(self, agency: str, rows: Sequence[Waiting], channel: Channel, numbers: Mapping[int, int]) -> None:
        """What happened is noted before the rows move, as by everybody who does both: nobody waits in a circle."""
        traced = [(row, self._trace(row)) for row in sorted(rows, key=lambda row: str(row.disclosure_id))]
        if not traced:
            return
        now = self.clock.now()
        with self.database.write() as tx:
            for row, trace in traced:
                with telemetry.continue_trace(trace, "hand over"):
                    self._note_handed_over(tx, row, channel.value, numbers[row.id], now)
            ids = [row.id for row in rows]
            partner_queue.move_together(tx, ids, Place.HANDED_OVER, only_from=(Place.LEAVING,))

    def _note_handed_over(self, tx: Connection, row: Waiting, channel: str, sequence: int, now: datetime) -> None:
        store = self.store.agency(row.agency, trace=telemetry.current_traceparent())
        if row.kind == Kind.DISCLOSURE:
            store.change(
                Disclosure,
                row.disclosure_id,
                lambda disclosure: disclosure.hand_over(channel, sequence, now),
                command_id=f"{row.disclosure_id}:hand-over",
                tx=tx,
            )
        elif row.kind == Kind.RETRACTION:
            store.change(
                Retraction,
                row.disclosure_id,
                lambda retraction: retraction.hand_over(channel, sequence, now),
                command_id=f"{row.disclosure_id}:told",
                tx=tx,
            )

    def _trace(self, row: Waiting) -> str:
        """That of the request which the document came from: it waited here, and its trace waited with it."""
        return str(row.trace) or self.store.agency(row.agency).read(Disclosure, row.disclosure_id)[-1].trace


def stop_what_waits(store: AgencyStore, database: Database, row: Waiting, reason: str) -> None:
    """What still waits will not leave, and the disclosure says why; what left meanwhile is let be."""
    with database.write() as tx:
        if partner_queue.move(tx, row.id, Place.STOPPED, only_from=(Place.QUEUED,)):
            store.change(
                Disclosure,
                row.disclosure_id,
                lambda disclosure: disclosure.stop(reason, taken_back=row.sequence is not None),
                command_id=f"{row.disclosure_id}:stop",
                tx=tx,
            )


def partner_queue_name(partner_id: str) -> str:
    """The broker queue that one partner reads."""
    return f"partner.{partner_id}"


def provide_queue(settings: Settings, partner_id: str) -> None:
    """Make the partner's broker queue, if it is not there yet. Without a broker a partner has its feed only."""
    mailbox = partner_mailbox(settings)
    if mailbox is None:
        fault = ("/channel", "this installation has no broker", "choose the channel feed")
        raise Invalid("partner.no_broker", fault[1], fault[2], [fault])
    mailbox.declare(partner_queue_name(partner_id))


def partner_mailbox(settings: Settings) -> Mailbox | None:
    """The mailbox of this process; None without a broker."""
    return None if settings.embedded else _mailbox(settings.broker)


@cache
def _mailbox(url: str) -> Mailbox:
    return Mailbox(url)


def on_behalf_of(agency: str) -> Caller:
    """The caller of what this service does by itself."""
    return by_itself("exchange", agency, "delivery")


def send_when_waiting(context: ServiceContext, stop: Event) -> None:
    """The loop that empties the waiting line into the broker queues; without a broker there are feeds only."""
    mailbox = partner_mailbox(context.settings)
    if mailbox is None:
        stop.wait()
        return
    delivery = Delivery(context.store, context.database, context.clock, context.calls)
    while not stop.is_set():
        seen = context.store.position()
        try:
            delivery.send_waiting(mailbox)
        except Unavailable as error:
            telemetry.logger("delivery").warning("delivery waits", **telemetry.describe(error))
            stop.wait(PAUSE)
        context.store.wait(seen, PAUSE)


def _fitting(rows: Sequence[Waiting], lying: Counter[tuple[str, str]]) -> list[Waiting]:
    """Deliveries for which there is room, and all else; `lying` counts along. What was leaving has its place."""
    fitting = list[Waiting]()
    for row in rows:
        place = (row.agency, row.partner_id)
        if row.state == Place.LEAVING:
            fitting.append(row)
        elif lying[place] < WINDOW or row.kind != Kind.DISCLOSURE:
            lying[place] += 1
            fitting.append(row)
    return fitting


def _letter(row: Waiting, sequence: int) -> Letter:
    document = numbered(row.document, sequence)
    return Letter(
        queue=partner_queue_name(row.partner_id),
        message_id=str(document["id"]),
        body=json.dumps(document).encode(),
        headers={"ce-type": str(document["type"]), "ce-id": str(document["id"])},
        content_type="application/json",
    )


def _consents(row: Waiting) -> list[str]:
    """What a delivery rests on; retractions and notices rest on nothing."""
    return str(row.consents).split() if row.kind == Kind.DISCLOSURE else []
