"""Whoever received data is told what became of them: rectified, contested, restricted, erased (Art. 19 DSGVO).

What has not arrived is stopped or taken back, since it is no longer right; whoever has it gets a notice with an entry
in the log and a receipt of its own, and confirms it. What is right now goes as a disclosure of its own, decided anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from services.exchange import ledger, partner_queue
from services.exchange.asks import Asks
from services.exchange.delivery import on_behalf_of, partner_mailbox
from services.exchange.documents import LogKey, notice_document
from services.exchange.domain.disclosure import REACHED, TAKEN_BACK, Disclosure, State
from services.exchange.domain.erasure import ExchangeDataErased
from services.exchange.partner_queue import Kind
from services.exchange.projections import DIRECTORY, forget, of_person
from services.exchange.queries import Exchange
from services.exchange.withdrawal import Withdrawal
from shared.domain import value
from shared.erasure import ErasureSeen, erase
from shared.eventstore import AgencyStore, catch_up
from shared.messaging import Message
from shared.runtime import ServiceContext

ERASED = "erased"


@value
class Corrected:
    """What became of data about a person; no categories: of all."""

    person_id: str
    change: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Notices:
    """Tells the recipients of one agency. `notice_id` names the occasion: the same one again tells nobody twice."""

    context: ServiceContext
    agency: str
    notice_id: str
    change: str

    def tell_about(self, disclosure_ids: Iterable[str]) -> None:
        """Raises `Unavailable` when the log is away: then it is tried again."""
        ids = list(disclosure_ids)
        asks, log_key = self._asks, LogKey.load(self.context.settings.keys)
        Withdrawal(
            agency=self.agency,
            store=self._store,
            database=self.context.database,
            clock=self.context.clock,
            asks=asks,
            log_key=log_key,
            mailbox=partner_mailbox(self.context.settings),
            reason=self.change,
        ).stop_what_has_not_arrived(ids)
        for disclosure_id in ids:
            self._tell(disclosure_id, asks, log_key)

    def _tell(self, disclosure_id: str, asks: Asks, log_key: LogKey) -> None:
        disclosure, _ = self._store.load(Disclosure, disclosure_id)
        asked, ruling = disclosure.requested, disclosure.ruling
        if not asked or not ruling or disclosure.state not in (State.PERMITTED, *REACHED, *TAKEN_BACK):
            return
        entry = asks.log_notice(disclosure_id, self.notice_id, self.change)
        receipt = log_key.verify(self.agency, entry.origin, entry.leaf, entry.receipt)
        about = log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        channel, now = Exchange(self._store).partner(asked.partner_id).channel, self.context.clock.now()
        with self.context.database.write() as tx:
            self._store.change(
                Disclosure,
                disclosure_id,
                lambda known: known.notify(self.notice_id, self.change, entry, now),
                command_id=f"{disclosure_id}:notice-{self.notice_id}",
                tx=tx,
            )
            partner_queue.put(
                tx,
                agency=self.agency,
                partner_id=asked.partner_id,
                kind=Kind.of_notice(self.notice_id),
                disclosure_id=disclosure_id,
                channel=channel,
                document=notice_document(disclosure_id, self.notice_id, self.change, about, receipt),
                consents=(),
                now=now,
            )

    @property
    def _store(self) -> AgencyStore:
        return self.context.store.agency(self.agency)

    @property
    def _asks(self) -> Asks:
        return Asks(self.context.calls, on_behalf_of(self.agency))


def data_corrected(context: ServiceContext, seen: Corrected, message: Message) -> None:
    """Every recipient of data of these categories is told; the second time finds nothing left to do."""
    Notices(context, message.agency, message.id, seen.change).tell_about(
        found for found, sent in _sent(context, message.agency, seen.person_id) if _concerns(seen.categories, sent)
    )


def erase_person(context: ServiceContext, seen: ErasureSeen, message: Message) -> None:
    """Recipients first, while it is still known who they are; then this service's own part."""
    sent = _sent(context, message.agency, seen.person_id)
    Notices(context, message.agency, message.id, ERASED).tell_about(found for found, _ in sent)
    erased = ExchangeDataErased(person_id=seen.person_id, erasure_id=seen.erasure_id)
    erase(context, message, seen, erased, purge)


def purge(tx: Connection, agency: str, person_id: str) -> None:
    """The rows beside the events: sealed contents in queues and drafts, the ledger, the lists."""
    partner_queue.forget(tx, agency, of_person(tx, agency, person_id))
    ledger.forget(tx, agency, person_id)
    forget(tx, agency, person_id)


def _sent(context: ServiceContext, agency: str, person_id: str) -> list[tuple[str, tuple[str, ...]]]:
    """The disclosures of a person with the categories that were let through."""
    catch_up(context.store, DIRECTORY)
    store = context.store.agency(agency)
    with context.database.read() as tx:
        ids = of_person(tx, agency, person_id)
    rulings = [(found, store.load(Disclosure, found)[0].ruling) for found in ids]
    return [(found, ruling.sent) for found, ruling in rulings if ruling]


def _concerns(categories: tuple[str, ...], sent: tuple[str, ...]) -> bool:
    return bool(sent) and (not categories or bool(set(categories) & set(sent)))
