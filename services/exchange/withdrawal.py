"""What a withdrawal sets off: stop what waits, take back what lies unread, ask everybody else to stop using it.

Art. 7 Abs. 3 DSGVO: it works from now on; what a partner did before stays lawful. Every step finds its work by the
state of the disclosure, so the same message again changes nothing. Silence is followed up: who does not confirm within
the term is reminded, and then a person has to act.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Event

import yaml
from sqlalchemy import Connection, delete, insert, select

from services.exchange import partner_queue
from services.exchange.asks import Asks
from services.exchange.delivery import CONSENT_GONE, on_behalf_of, partner_queue_name
from services.exchange.documents import LogKey, retraction_document
from services.exchange.domain.disclosure import REACHED, Disclosure, State
from services.exchange.domain.partner import Channel
from services.exchange.domain.retraction import AcknowledgementTerm, Retraction
from services.exchange.partner_queue import Kind, Place, Waiting, fallen
from services.exchange.projections import DIRECTORY, UNANSWERED, open_retraction
from services.exchange.queries import Exchange
from shared import telemetry
from shared.clock import Clock, legal_day
from shared.database import Database
from shared.errors import Unavailable
from shared.eventstore import AgencyStore, EventStore, catch_up
from shared.messaging import Mailbox
from shared.runtime import ServiceContext

TERMS = Path(__file__).resolve().parents[2] / "contracts" / "partners" / "acknowledgement.yaml"
OFFICER = "data_protection_officer"
LOOK_SECONDS = 5.0
GLANCE = 0.1
AT_ONCE = 8


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

    def stop_what_waits(self, disclosure_ids: list[str]) -> None:
        """The first and quickest step: what has not left will not leave."""
        for disclosure_id in disclosure_ids:
            self._stop(disclosure_id)

    def carry_out(self, disclosure_ids: list[str]) -> None:
        """Stop or retract each disclosure. Raises `Unavailable` when the log is away: then it is tried again."""
        for disclosure_id in self.stop_what_has_not_arrived(disclosure_ids):
            self._retract(disclosure_id)

    def stop_what_has_not_arrived(self, disclosure_ids: list[str]) -> list[str]:
        """Stop what waits and take back what lies unread; the disclosures that reached their partner, or may have."""
        self.stop_what_waits(disclosure_ids)
        left = [found for found in disclosure_ids if self._state(found) in (State.PERMITTED, *REACHED)]
        for partner_id in dict.fromkeys(self._partner(found) for found in left):
            self._take_back(partner_id, [found for found in left if self._partner(found) == partner_id])
        return left

    def _stop(self, disclosure_id: str) -> None:
        with self.database.write() as tx:
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.DISCLOSURE)
            if row and partner_queue.move(tx, row.id, Place.STOPPED, only_from=(Place.QUEUED,)):
                self.store.change(
                    Disclosure,
                    disclosure_id,
                    lambda disclosure: disclosure.stop(self.reason, taken_back=row.sequence is not None),
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
                if str(json.loads(row.document)["id"]) not in unread:
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
        entry = self.asks.log_retraction(disclosure_id, self.reason)
        receipt = self.log_key.verify(self.agency, entry.origin, entry.leaf, entry.receipt)
        about = self.log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        now = self.clock.now()
        with self.database.write() as tx:
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.DISCLOSURE)
            self.store.change(
                Disclosure,
                disclosure_id,
                lambda known: known.retract(self.reason, entry, now),
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


def note_fallen(tx: Connection, agency: str, declaration: str, reason: str, trace: str) -> None:
    """A consent or release fell; noted once, in the transaction that notes the message."""
    same = {"agency": agency, "declaration": declaration, "reason": reason}
    if not tx.execute(select(fallen.c.trace).where(*(fallen.c[name] == each for name, each in same.items()))).first():
        tx.execute(insert(fallen).values(**same, trace=trace))


def carry_out_fallen(context: ServiceContext) -> int:
    """Carry out what was noted, a few at once; how many are done. Doing it twice changes nothing.

    Before each few everything noted meanwhile is stopped first: a delivery that waits must not wait for a retraction.
    What cannot be carried out because the log is away stays noted.
    """
    stopped, failed, done = set[Waiting](), set[Waiting](), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while noted := [row for row in _noted(context) if row not in failed]:
            catch_up(context.store, DIRECTORY)
            for row in set(noted) - stopped:
                _withdrawal(context, row).stop_what_waits(_under(context, row))
            stopped |= set(noted)
            few = noted[:AT_ONCE]
            for row, carried_out in zip(few, pool.map(lambda row: _carried_out(context, row), few), strict=True):
                done += carried_out
                failed |= set() if carried_out else {row}
    return done


def _noted(context: ServiceContext) -> Sequence[Waiting]:
    with context.database.read() as tx:
        return tx.execute(select(fallen)).all()


def carry_out_when_noted(context: ServiceContext, stop: Event) -> None:
    """The loop that carries out withdrawals."""
    while not stop.is_set():
        done = carry_out_fallen(context)
        stop.wait(0 if done else GLANCE)


def _carried_out(context: ServiceContext, row: Waiting) -> bool:
    try:
        with telemetry.continue_trace(row.trace, "carry out withdrawal"):
            _withdrawal(context, row).carry_out(_under(context, row))
    except Unavailable as error:
        telemetry.logger("withdrawal").warning("a withdrawal waits", **telemetry.describe(error))
        return False
    table = fallen
    same = (table.c.declaration == row.declaration) & (table.c.reason == row.reason)
    with context.database.write() as tx:
        tx.execute(delete(table).where(table.c.agency == row.agency, same))
    return True


def _withdrawal(context: ServiceContext, row: Waiting) -> Withdrawal:
    return Withdrawal(
        agency=row.agency,
        store=context.store.agency(row.agency, trace=row.trace),
        database=context.database,
        clock=context.clock,
        asks=Asks(context.calls, on_behalf_of(row.agency)),
        log_key=LogKey.load(context.settings.keys),
        mailbox=None if context.settings.embedded else Mailbox(context.settings.broker),
        reason=row.reason,
    )


def _under(context: ServiceContext, row: Waiting) -> list[str]:
    with context.database.read() as tx:
        return Exchange(context.store.agency(row.agency)).under_consent(tx, row.declaration)


@cache
def _terms() -> tuple[tuple[date, AcknowledgementTerm], ...]:
    rows = yaml.safe_load(TERMS.read_text("utf-8"))["retraction"]
    made = (
        (
            row["valid_from"],
            AcknowledgementTerm(
                remind_after=timedelta(hours=row["remind_after_hours"]),
                escalate_after=timedelta(hours=row["escalate_after_hours"]),
            ),
        )
        for row in rows
    )
    return tuple(sorted(made, key=lambda dated: dated[0], reverse=True))


def term_of(asked_at: datetime) -> AcknowledgementTerm:
    """The term that held on the day on which the partner was asked (`contracts/partners/acknowledgement.yaml`)."""
    day = legal_day(asked_at)
    return next(term for first, term in _terms() if first <= day)


def due_at(asked_at: datetime) -> datetime:
    """Until when a retraction asked for at that moment has to be confirmed."""
    return asked_at + term_of(asked_at).escalate_after


@dataclass(frozen=True)
class FollowUp:
    """Looks after the retractions that nobody has confirmed, for all agencies of this service."""

    store: EventStore
    database: Database
    clock: Clock

    def look(self) -> int:
        """Remind and escalate what is due; how many retractions wait. Looking twice at one moment changes nothing."""
        catch_up(self.store, UNANSWERED)
        with self.database.read() as tx:
            waiting = tx.execute(select(open_retraction).order_by(open_retraction.c.asked_at)).all()
        for row in waiting:
            self._follow(row.agency, row.disclosure_id)
        return len(waiting)

    def _follow(self, agency: str, disclosure_id: str) -> None:
        store, now = self.store.agency(agency), self.clock.now()
        disclosure, _ = store.load(Disclosure, disclosure_id)
        if disclosure.state is not State.RETRACTED or not disclosure.retracted:
            return
        asked_at = disclosure.retracted.at
        term = term_of(asked_at)
        retraction, _ = store.load(Retraction, disclosure_id)
        if retraction.escalate("", asked_at, term, now):
            to = _who_acts(store, disclosure_id, disclosure)
            store.change(
                Retraction,
                disclosure_id,
                lambda known: known.escalate(to, asked_at, term, now),
                command_id=f"{disclosure_id}:escalate",
            )
        elif retraction.remind(asked_at, term, now):
            self._remind(store, disclosure_id, asked_at, now)

    def _remind(self, store: AgencyStore, disclosure_id: str, asked_at: datetime, now: datetime) -> None:
        """The same document once more, under the partner's next number."""
        with self.database.write() as tx:
            store.change(
                Retraction,
                disclosure_id,
                lambda known: known.remind(asked_at, term_of(asked_at), now),
                command_id=f"{disclosure_id}:remind",
                tx=tx,
            )
            first = partner_queue.find(tx, store.name, disclosure_id, Kind.RETRACTION)
            if first and first.state != Place.QUEUED:
                partner_queue.put(
                    tx,
                    agency=store.name,
                    partner_id=first.partner_id,
                    kind=Kind.REMINDER,
                    disclosure_id=disclosure_id,
                    channel=first.channel,
                    document=first.document,
                    consents=(),
                    now=now,
                )


def _who_acts(store: AgencyStore, disclosure_id: str, disclosure: Disclosure) -> str:
    """The person who answered for the disclosure, or else who asked for it; without either the officer."""
    if disclosure.stated and disclosure.stated.by:
        return disclosure.stated.by
    return store.read(Disclosure, disclosure_id)[0].actor or OFFICER


def follow_up(context: ServiceContext, stop: Event) -> None:
    """The loop that notices silence."""
    follow = FollowUp(context.store, context.database, context.clock)
    while not stop.is_set():
        follow.look()
        stop.wait(LOOK_SECONDS)
