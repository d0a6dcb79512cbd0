"""The person's ledger (Art. 15 Abs. 1 Buchst. c DSGVO, § 83 SGB X): each disclosure that was asked for, as one row.

Filled from the events, so that ten years of a person are one question. It tells who received what, why and on which
basis, and what was refused; it names no other person, no case and nobody who reported. What is to be told later stands
here from the beginning and is answered from its day on, as if it had never been hidden.
"""

from datetime import date
from typing import Any

import orjson
from sqlalchemy import Column, Connection, Index, MetaData, String, Table, Text, delete, insert, or_, select, update

from services.exchange.domain.disclosure import (
    BreakGlassReviewed,
    DisclosureAcknowledged,
    DisclosureConfirmed,
    DisclosureDeclined,
    DisclosureDenied,
    DisclosureHandedOver,
    DisclosurePermitted,
    DisclosureRequested,
    DisclosureRetracted,
    DisclosureStopped,
    GlassBroken,
    InformationPostponed,
    LookedUpByProgram,
    NecessityStated,
    NothingHeld,
    RecipientNotified,
    RetractionAcknowledged,
    Ruling,
)
from services.exchange.domain.erasure import ExchangeDataErased
from services.exchange.projections import partner_list
from shared.clock import timestamp
from shared.domain import Event, Json, Recorded, value
from shared.eventstore import Projection
from shared.law import category_closed, recipient_closed

metadata = MetaData()

ledger = Table(
    "ledger",
    metadata,
    Column("agency", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
    Column("person_id", String, nullable=False),
    Column("mark", String, nullable=False),
    Column("partner_id", String, nullable=False),
    Column("visible_from", String),
    Column("told", Text, nullable=False),
    Index("ledger_of_person", "agency", "person_id", "mark"),
)
"""`mark` is when it was asked for and which it is: it sorts entries of all services alike. `told` is JSON."""

LONGEST_PAGE = 500
CITIZEN = "citizen"
REFUSED = frozenset({"denied", "not_held", "declined"})


@value
class LedgerQuestion:
    """What stands before the mark `before` (empty: everything), newest first. `limit` 1 to 500."""

    person_id: str
    before: str = ""
    limit: int = 50


@value
class LedgerItem:
    """`automatic`: a program asked and no person is named. `norms` of what was let through. `by` names people to the
    agency's own staff only, and what would betray others is left out (`contracts/law/ledger.yaml`). `notices` are what
    the recipient was told afterwards. `log` and `index` are the entry.
    """

    disclosure_id: str
    mark: str
    at: str
    state: str
    partner_id: str
    partner_name: str
    categories: tuple[str, ...]
    purpose: str
    norms: tuple[str, ...]
    refused: bool
    automatic: bool
    emergency: bool
    by: tuple[str, ...]
    handed_over_at: str | None
    retracted_at: str | None
    notices: tuple[str, ...]
    visible_from: date | None
    log: str
    index: int


@value
class LedgerPage:
    items: tuple[LedgerItem, ...]


def fill(tx: Connection, record: Recorded) -> None:
    """One row per disclosure, changed by what becomes of it."""
    match record.event:
        case DisclosureRequested():
            _begin(tx, record, record.event)
        case ExchangeDataErased(person_id=person_id):
            forget(tx, record.agency, person_id)
        case InformationPostponed(until=until):
            _update(tx, record, {}, visible_from=until.isoformat())
        case _:
            changed = _changed(record.event)
            if changed:
                _update(tx, record, changed)


def page(tx: Connection, agency: str, asked: LedgerQuestion, role: str, today: date) -> LedgerPage:
    """The newest entries of a person; to a citizen those whose day has come."""
    table, names = ledger, partner_list
    same = (names.c.agency == table.c.agency) & (names.c.partner_id == table.c.partner_id)
    found = select(table, names.c.name).outerjoin(names, same)
    found = found.where(table.c.agency == agency, table.c.person_id == asked.person_id)
    if asked.before:
        found = found.where(table.c.mark < asked.before)
    if role == CITIZEN:
        found = found.where(or_(table.c.visible_from.is_(None), table.c.visible_from <= today.isoformat()))
    rows = tx.execute(found.order_by(table.c.mark.desc()).limit(min(max(asked.limit, 1), LONGEST_PAGE))).all()
    return LedgerPage(items=tuple(_item(row, role) for row in rows))


def forget(tx: Connection, agency: str, person_id: str) -> None:
    tx.execute(delete(ledger).where(ledger.c.agency == agency, ledger.c.person_id == person_id))


def _begin(tx: Connection, record: Recorded, asked: DisclosureRequested) -> None:
    at = timestamp(record.recorded_at)
    key = {"agency": record.agency, "disclosure_id": record.id}
    told: Json = {"at": at, "state": "requested", "categories": asked.categories, "purpose": asked.purpose}
    told |= {"by": [record.actor] if record.actor else []}
    tx.execute(delete(ledger).where(*(ledger.c[name] == value for name, value in key.items())))
    tx.execute(
        insert(ledger).values(
            **key,
            person_id=asked.person_id,
            mark=f"{at} disclosure:{record.id}",
            partner_id=asked.partner_id,
            told=orjson.dumps(told).decode(),
        )
    )


STATE_AFTER: dict[type[Event], str] = {
    DisclosureDeclined: "declined",
    DisclosurePermitted: "permitted",
    DisclosureDenied: "denied",
    NothingHeld: "not_held",
    DisclosureHandedOver: "handed_over",
    DisclosureAcknowledged: "acknowledged",
    DisclosureStopped: "stopped",
    DisclosureRetracted: "retracted",
    RetractionAcknowledged: "retraction_acknowledged",
}
ANSWERING = (NecessityStated, DisclosureConfirmed, DisclosureDeclined, BreakGlassReviewed)
"""Events that name somebody who answers for the disclosure."""


def _changed(event: Event) -> Json:
    """What an event changes in the row; nothing for those that tell the person nothing."""
    changed: Json = {"state": STATE_AFTER[type(event)]} if type(event) in STATE_AFTER else {}
    match event:
        case LookedUpByProgram():
            changed["automatic"] = True
        case GlassBroken():
            changed["emergency"] = True
        case DisclosurePermitted(ruling=ruling) | DisclosureDenied(ruling=ruling) | NothingHeld(ruling=ruling):
            changed |= _ruled(ruling)
        case DisclosureHandedOver(at=at):
            changed["handed_over_at"] = timestamp(at)
        case DisclosureRetracted(at=at):
            changed["retracted_at"] = timestamp(at)
        case RecipientNotified(change=change):
            changed["notices"] = [change]
    return changed | ({"by": [event.by]} if isinstance(event, ANSWERING) else {})


def _ruled(ruling: Ruling) -> Json:
    carried = [each for each in ruling.categories if each.category in ruling.sent or not ruling.sent]
    norms = dict.fromkeys(norm for each in carried for norm in each.norms)
    sent = {"categories": ruling.sent} if ruling.sent else {}
    return {"norms": list(norms), "log": ruling.origin, "index": ruling.index, **sent}


def _update(tx: Connection, record: Recorded, changed: Json, **columns: str) -> None:
    mine = (ledger.c.agency == record.agency) & (ledger.c.disclosure_id == record.id)
    row = tx.execute(select(ledger.c.told).where(mine)).one_or_none()
    if row is None:
        return
    told: Json = orjson.loads(row.told)
    if changed.get("state") == "acknowledged" and "retracted_at" in told:
        changed = {}
    for name in ("by", "notices"):
        if name in changed:
            changed[name] = list(dict.fromkeys([*told.get(name, ()), *changed[name]]))
    tx.execute(update(ledger).where(mine).values(told=orjson.dumps({**told, **changed}).decode(), **columns))


def _item(row: Any, role: str) -> LedgerItem:
    told, staff = orjson.loads(row.told), role != CITIZEN
    refused = told["state"] in REFUSED
    closed = not staff and recipient_closed(told["purpose"])
    return LedgerItem(
        disclosure_id=row.disclosure_id,
        mark=row.mark,
        at=told["at"],
        state=told["state"] if staff or not refused else "denied",
        partner_id="" if closed else row.partner_id,
        partner_name="" if closed else row.name or row.partner_id,
        categories=tuple(each for each in told["categories"] if staff or not category_closed(each)),
        purpose=told["purpose"],
        norms=tuple(told.get("norms", ())) if staff or not refused else (),
        refused=refused,
        automatic=told.get("automatic", False),
        emergency=told.get("emergency", False),
        by=tuple(told["by"]) if staff else (),
        handed_over_at=told.get("handed_over_at"),
        retracted_at=told.get("retracted_at"),
        notices=tuple(told.get("notices", ())),
        visible_from=date.fromisoformat(row.visible_from) if row.visible_from else None,
        log=told.get("log", ""),
        index=told.get("index", -1),
    )


LEDGER = Projection("ledger", metadata, fill)
