"""Silence after a retraction: who does not confirm within the term is reminded, and then a person has to act."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Event

import yaml
from sqlalchemy import select

from services.exchange import partner_queue
from services.exchange.domain.disclosure import Disclosure, State
from services.exchange.domain.retraction import AcknowledgementTerm, Retraction
from services.exchange.partner_queue import Kind, Place
from services.exchange.projections import UNANSWERED, open_retraction
from shared.clock import Clock, legal_day
from shared.database import Database
from shared.eventstore import AgencyStore, EventStore, catch_up
from shared.runtime import ServiceContext

TERMS = Path(__file__).resolve().parents[2] / "contracts" / "partners" / "acknowledgement.yaml"
OFFICER = "data_protection_officer"
LOOK_SECONDS = 5.0


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
