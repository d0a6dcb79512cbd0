"""What a withdrawal sets off: stop what waits, take back what lies unread, ask everybody else to stop using it.

Art. 7 Abs. 3 DSGVO: it works from now on; what a partner did before stays lawful. Every step finds its work by the
state of the disclosure, so the same message again changes nothing.
"""

from dataclasses import dataclass

from services.exchange import partner_queue
from services.exchange.asks import Asks
from services.exchange.delivery import CONSENT_GONE, partner_queue_name
from services.exchange.documents import LogKey, retraction_document
from services.exchange.domain.disclosure import REACHED, Disclosure, State
from services.exchange.domain.partner import Channel
from services.exchange.partner_queue import Kind, Place
from shared.clock import Clock
from shared.database import Database
from shared.eventstore import AgencyStore
from shared.messaging import Mailbox


@dataclass(frozen=True)
class Withdrawal:
    """Carries out, for one agency, that a consent fell. `mailbox` is None where there are no broker queues."""

    agency: str
    store: AgencyStore
    database: Database
    clock: Clock
    asks: Asks
    log_key: LogKey
    mailbox: Mailbox | None

    def carry_out(self, disclosure_ids: list[str]) -> None:
        """Stop or retract each disclosure. Raises `Unavailable` when the log is away: then it is tried again."""
        for disclosure_id in disclosure_ids:
            self._stop(disclosure_id)
        left = [found for found in disclosure_ids if self._state(found) in (State.PERMITTED, *REACHED)]
        for partner_id in dict.fromkeys(self._partner(found) for found in left):
            self._take_back(partner_id, [found for found in left if self._partner(found) == partner_id])
        for disclosure_id in left:
            self._retract(disclosure_id)

    def _stop(self, disclosure_id: str) -> None:
        with self.database.write() as tx:
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.DISCLOSURE)
            if row and partner_queue.move(tx, row.id, Place.STOPPED, only_from=(Place.QUEUED,)):
                self.store.change(
                    Disclosure,
                    disclosure_id,
                    lambda disclosure: disclosure.stop(CONSENT_GONE, taken_back=row.sequence is not None),
                    command_id=f"{disclosure_id}:stop",
                    tx=tx,
                )

    def _take_back(self, partner_id: str, withdrawn: list[str]) -> None:
        """Empty the partner's broker queue; what was unread and still stands waits again, the rest is stopped."""
        with self.database.read() as tx:
            handed = partner_queue.handed_to(tx, self.agency, partner_id)
        if self.mailbox is None or not any(row.channel == Channel.AMQP for row in handed):
            return
        with self.mailbox.take_back(partner_queue_name(partner_id)) as unread:
            for row in handed:
                document_id = row.disclosure_id + ("-retraction" if row.kind == Kind.RETRACTION else "")
                if document_id not in unread:
                    continue
                with self.database.write() as tx:
                    partner_queue.move(tx, row.id, Place.QUEUED, only_from=partner_queue.IN_WINDOW)
                if row.kind == Kind.DISCLOSURE and row.disclosure_id in withdrawn:
                    self._stop(row.disclosure_id)

    def _retract(self, disclosure_id: str) -> None:
        """Only what reached the partner, or may have: a document that was leaving counts as gone."""
        disclosure, _ = self.store.load(Disclosure, disclosure_id)
        ruling = disclosure.ruling
        if disclosure.state is State.PERMITTED:
            self._count_as_gone(disclosure_id)
        elif disclosure.state not in REACHED:
            return
        if not ruling or not disclosure.requested:
            return
        entry = self.asks.log_retraction(disclosure_id, CONSENT_GONE)
        receipt = self.log_key.verify(self.agency, entry.origin, entry.leaf, entry.receipt)
        about = self.log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        now = self.clock.now()
        with self.database.write() as tx:
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.DISCLOSURE)
            self.store.change(
                Disclosure,
                disclosure_id,
                lambda known: known.retract(CONSENT_GONE, entry, now),
                command_id=f"{disclosure_id}:retract",
                tx=tx,
            )
            if row is None:
                return
            partner_queue.move(tx, row.id, Place.STOPPED, only_from=(*partner_queue.IN_WINDOW, Place.DONE))
            partner_queue.put(
                tx,
                agency=self.agency,
                partner_id=row.partner_id,
                kind=Kind.RETRACTION,
                disclosure_id=disclosure_id,
                channel=row.channel,
                document=retraction_document(disclosure_id, about, receipt),
                consents=(),
                now=now,
            )

    def _count_as_gone(self, disclosure_id: str) -> None:
        with self.database.write() as tx:
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.DISCLOSURE)
            if row and row.sequence is not None:
                now = self.clock.now()
                self.store.change(
                    Disclosure,
                    disclosure_id,
                    lambda known: known.hand_over(row.channel, row.sequence, now),
                    command_id=f"{disclosure_id}:hand-over",
                    tx=tx,
                )

    def _state(self, disclosure_id: str) -> State:
        return self.store.load(Disclosure, disclosure_id)[0].state

    def _partner(self, disclosure_id: str) -> str:
        requested = self.store.load(Disclosure, disclosure_id)[0].requested
        return requested.partner_id if requested else ""
