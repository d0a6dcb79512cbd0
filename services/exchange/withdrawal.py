"""What a withdrawal sets off: stop what waits, take back what lies unread, ask everybody else to stop using it.

Art. 7 Abs. 3 DSGVO: it works from now on; what a partner did before stays lawful. Every step finds its work by the
state of the disclosure, so the same message again changes nothing. Silence is followed up elsewhere
(`silence.py`).
"""

import json
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from services.exchange import partner_queue
from services.exchange.asks import Asks
from services.exchange.delivery import (
    CONSENT_GONE,
    on_behalf_of,
    partner_mailbox,
    partner_queue_name,
    stop_what_waits,
)
from services.exchange.documents import LogKey, retraction_document
from services.exchange.domain.disclosure import REACHED, Disclosure, Entry, Ruling, State
from services.exchange.domain.partner import Channel
from services.exchange.partner_queue import Kind, Place, Waiting, fallen
from services.exchange.projections import DIRECTORY, consents_used
from shared import telemetry
from shared.audit import Reference, VerifiedReceipt
from shared.clock import Clock
from shared.database import Database
from shared.errors import HandschlagError, Unavailable
from shared.eventstore import AgencyStore, catch_up
from shared.messaging import Mailbox
from shared.runtime import ServiceContext

LOOK_SECONDS = 5.0
GLANCE = 0.1
AT_ONCE = 30


class Proven(NamedTuple):
    """That the log says what was let go, and that it is taken back."""

    about: VerifiedReceipt
    receipt: VerifiedReceipt

    @property
    def reason(self) -> str:
        return self.receipt.leaf.result or ""


@dataclass(frozen=True)
class Withdrawal:
    """Carries out, for one agency, that a consent fell. `mailbox` is None where there are no broker queues.

    `reason` is why what has not left is stopped, and what has left is taken back.
    """

    agency: str
    store: AgencyStore
    database: Database
    clock: Clock
    asks: Asks
    log_key: LogKey
    mailbox: Mailbox | None
    reason: str = CONSENT_GONE

    def stop_what_waits(self, disclosure_ids: Sequence[str]) -> None:
        """The first and quickest step: what has not left will not leave."""
        with self.database.read() as tx:
            rows = partner_queue.find_together(tx, self.agency, disclosure_ids, Kind.DISCLOSURE)
        for row in rows.values():
            if row.state == Place.QUEUED:
                stop_what_waits(self.store, self.database, row, self.reason)

    def carry_out(self, disclosure_ids: Sequence[str]) -> None:
        """Stop or retract each disclosure. Raises `Unavailable` when the log is away: then it is tried again."""
        arrived = self.stop_what_has_not_arrived(disclosure_ids)
        for start in range(0, len(arrived), AT_ONCE):
            self._retract(arrived[start : start + AT_ONCE])

    def stop_what_has_not_arrived(self, disclosure_ids: Sequence[str]) -> list[str]:
        """Stop what waits and take back what lies unread; the disclosures that reached their partner, or may have."""
        self.stop_what_waits(disclosure_ids)
        with self.database.read() as tx:
            rows = partner_queue.find_together(tx, self.agency, disclosure_ids, Kind.DISCLOSURE)
        unread = {row.disclosure_id: row for row in rows.values() if row.state in partner_queue.IN_WINDOW}
        for partner_id in dict.fromkeys(row.partner_id for row in unread.values() if row.channel == Channel.AMQP):
            self._take_back(partner_id, unread)
        arrived = (*partner_queue.IN_WINDOW, Place.DONE)
        return [found for found in disclosure_ids if found not in rows or rows[found].state in arrived]

    def _take_back(self, partner_id: str, withdrawn: Container[str]) -> None:
        """Empty the partner's broker queue; what was unread and still stands waits again, the rest is stopped."""
        if self.mailbox is None:
            return
        with self.database.read() as tx:
            handed = partner_queue.handed_to(tx, self.agency, partner_id)
        with self.mailbox.take_back(partner_queue_name(partner_id)) as unread:
            for row in handed:
                if str(json.loads(row.document)["id"]) not in unread:
                    continue
                with self.database.write() as tx:
                    partner_queue.move(tx, row.id, Place.QUEUED, only_from=partner_queue.IN_WINDOW)
                if row.kind == Kind.DISCLOSURE and row.disclosure_id in withdrawn:
                    stop_what_waits(self.store, self.database, row, self.reason)

    def _retract(self, disclosure_ids: Sequence[str]) -> None:
        """Only what reached the partner, or may have: a document that was leaving counts as gone."""
        known = {found: self._reached(found) for found in disclosure_ids}
        rulings = {found: ruling for found, ruling in known.items() if ruling}
        if not rulings:
            return
        entries = self.asks.log_retractions(list(rulings), self.reason)
        proven = {found: self._proof(ruling, entries[found]) for found, ruling in rulings.items()}
        now = self.clock.now()
        with self.database.write() as tx:
            rows = partner_queue.find_together(tx, self.agency, list(rulings), Kind.DISCLOSURE)
            for disclosure_id, entry in sorted(entries.items()):
                self.store.change(
                    Disclosure,
                    disclosure_id,
                    partial(Disclosure.retract, reason=proven[disclosure_id].reason, entry=entry, now=now),
                    command_id=f"{disclosure_id}:retract",
                    tx=tx,
                )
            there = (*partner_queue.IN_WINDOW, Place.DONE)
            partner_queue.move_together(tx, [row.id for row in rows.values()], Place.STOPPED, only_from=there)
            for row in rows.values():
                partner_queue.put(
                    tx,
                    agency=self.agency,
                    partner_id=row.partner_id,
                    kind=Kind.RETRACTION,
                    disclosure_id=row.disclosure_id,
                    channel=row.channel,
                    document=retraction_document(row.disclosure_id, *proven[row.disclosure_id]),
                    consents=(),
                    now=now,
                )

    def _reached(self, disclosure_id: str) -> Ruling | None:
        """The ruling under which it reached the partner, or may have."""
        disclosure, _ = self.store.load(Disclosure, disclosure_id)
        if disclosure.state is State.PERMITTED:
            self._count_as_gone(disclosure_id)
            disclosure, _ = self.store.load(Disclosure, disclosure_id)
        return disclosure.ruling if disclosure.state in REACHED else None

    def _proof(self, ruling: Ruling, entry: Entry) -> Proven:
        """`Unavailable` when the entry is not about the retraction of what was let go, to whom it was let go."""
        about = self.log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        receipt = self.log_key.verify(self.agency, entry.origin, entry.leaf, entry.receipt)
        said = receipt.leaf
        expected = ("retraction", about.leaf.recipient, Reference(about.origin, about.index))
        if (said.kind, said.recipient, said.about) != expected:
            raise Unavailable("audit.other_entry", "the log answered with another entry", "send the same again later")
        return Proven(about, receipt)

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


class Fell(NamedTuple):
    """A consent or release that fell: why, and in which trace that was heard."""

    agency: str
    declaration: str
    reason: str
    trace: str


def note_fallen(tx: Connection, fell: Sequence[Fell]) -> None:
    """Each is noted once, in the transaction that notes the messages."""
    names = [each.declaration for each in fell]
    noted = select(fallen.c.agency, fallen.c.declaration, fallen.c.reason).where(fallen.c.declaration.in_(names))
    known = {tuple(row) for row in tx.execute(noted)}
    fresh = {each[:3]: each._asdict() for each in fell if each[:3] not in known}
    if fresh:
        tx.execute(insert(fallen), list(fresh.values()))


def carry_out_fallen(context: ServiceContext) -> int:
    """Carry out what was noted, a few at once; how many are done. Doing it twice changes nothing.

    Before each few everything noted meanwhile is stopped first: a delivery that waits must not wait for a retraction.
    What cannot be carried out, as when the log is away, stays noted.
    """
    stopped, failed, done = set[Waiting](), set[Waiting](), 0
    while noted := [row for row in _noted(context) if row not in failed]:
        if fresh := [row for row in noted if row not in stopped]:
            catch_up(context.store, DIRECTORY)
            for rows in _alike(fresh):
                _withdrawal(context, rows[0]).stop_what_waits(_under(context, rows))
            stopped |= set(fresh)
        few = _alike(noted)[0][:AT_ONCE]
        carried_out = _carried_out(context, few)
        done += len(carried_out)
        failed |= set(few) - set(carried_out)
    return done


def retract_what_was_leaving(context: ServiceContext) -> int:
    """Take back what may have left before its process died, and must not be sent again; how many there were.

    Its consent or release stood when it was let go, and does not stand any more: it ran out, is paused, was withdrawn.
    It counts as gone, unless it lies unread in the partner's queue: then it is stopped. What still stands is sent again
    under its number by whoever delivers. Raises `Unavailable` when register or log is away.
    """
    with context.database.read() as tx:
        rows = partner_queue.left_leaving(tx)
    fallen_by: dict[tuple[str, str], list[str]] = {}
    for agency in dict.fromkeys(row.agency for row in rows):
        mine = {row.disclosure_id: str(row.consents).split() for row in rows if row.agency == agency}
        declarations = tuple(dict.fromkeys(each for resting_on in mine.values() for each in resting_on))
        standing = Asks(context.calls, on_behalf_of(agency)).standing(declarations)
        for disclosure_id, resting_on in mine.items():
            if reason := standing.code_of(resting_on):
                fallen_by.setdefault((agency, reason), []).append(disclosure_id)
    for (agency, reason), disclosure_ids in fallen_by.items():
        _for_agency(context, agency, reason, telemetry.current_traceparent()).carry_out(disclosure_ids)
    return sum(map(len, fallen_by.values()))


def _noted(context: ServiceContext) -> Sequence[Waiting]:
    with context.database.read() as tx:
        return tx.execute(select(fallen)).all()


def _alike(rows: Sequence[Waiting]) -> list[list[Waiting]]:
    """What one request brought down for one reason, together."""
    alike: dict[tuple[str, str, str], list[Waiting]] = {}
    for row in rows:
        alike.setdefault((row.agency, row.reason, row.trace), []).append(row)
    return list(alike.values())


def carry_out_when_noted(context: ServiceContext, stop: Event) -> None:
    """The loop that carries out withdrawals."""
    looked = 0.0
    while not stop.is_set():
        done = carry_out_fallen(context)
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            try:
                retract_what_was_leaving(context)
            except Unavailable as error:
                telemetry.logger("withdrawal").warning("what was leaving waits", **telemetry.describe(error))
        stop.wait(0 if done else GLANCE)


def _carried_out(context: ServiceContext, rows: list[Waiting]) -> list[Waiting]:
    """Those of `rows`, all of one kind, that are carried out; when they fail together, each is tried by itself."""
    try:
        with telemetry.continue_trace(rows[0].trace, "carry out withdrawal", count=len(rows)):
            _withdrawal(context, rows[0]).carry_out(_under(context, rows))
    except HandschlagError as error:
        if len(rows) > 1 and not isinstance(error, Unavailable):
            return [done for row in rows for done in _carried_out(context, [row])]
        telemetry.logger("withdrawal").warning("a withdrawal waits", count=len(rows), **telemetry.describe(error))
        return []
    table, declarations = fallen, [row.declaration for row in rows]
    same = (table.c.agency == rows[0].agency) & (table.c.reason == rows[0].reason)
    with context.database.write() as tx:
        tx.execute(delete(table).where(same, table.c.declaration.in_(declarations)))
    return rows


def _withdrawal(context: ServiceContext, row: Waiting) -> Withdrawal:
    return _for_agency(context, row.agency, row.reason, row.trace)


def _for_agency(context: ServiceContext, agency: str, reason: str, trace: str) -> Withdrawal:
    return Withdrawal(
        agency=agency,
        store=context.store.agency(agency, trace=trace),
        database=context.database,
        clock=context.clock,
        asks=Asks(context.calls, on_behalf_of(agency)),
        log_key=LogKey.load(context.settings.keys),
        mailbox=partner_mailbox(context.settings),
        reason=reason,
    )


def _under(context: ServiceContext, rows: Sequence[Waiting]) -> list[str]:
    """The disclosures that rest on any of what fell."""
    used, declarations = consents_used, [row.declaration for row in rows]
    here = (used.c.agency == rows[0].agency) & used.c.consent_id.in_(declarations)
    with context.database.read() as tx:
        found = select(used.c.disclosure_id).where(here).distinct().order_by(used.c.disclosure_id)
        return list(tx.execute(found).scalars())
