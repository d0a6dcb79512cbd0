"""Read models of data protection: what each person said, with its dated facts, and which days the calendar waits for.

`declaration` holds for every yes, no, offer, release and representation what speaks for or against a disclosure, so
that the evidence for a decision is one question whatever a person has said in the years. How something stands is
derived from the dates and the day asked for; a status stands nowhere.
"""

from datetime import date
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Index,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from services.consent.domain.consent import (
    ConsentExpired,
    ConsentGiven,
    ConsentOffered,
    ConsentPaused,
    ConsentRefused,
    ConsentReplaced,
    ConsentResumed,
    ConsentUsed,
    ConsentWithdrawn,
    Course,
    EraseAtReached,
    OfferLapsed,
    Pause,
)
from services.consent.domain.erasure import ConsentDataErased
from services.consent.domain.release_from_secrecy import ReleaseGiven
from services.consent.domain.representation import RepresentationRegistered
from services.consent.domain.terms import Terms
from services.consent.domain.use_limit import Period, UseLimit
from shared.domain import Recorded
from shared.eventstore import Projection

metadata = MetaData()

declaration = Table(
    "declaration",
    metadata,
    Column("agency", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("person_id", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("categories", Text, nullable=False),
    Column("said_at", BigInteger, nullable=False),
    Column("said_no", Boolean, nullable=False),
    Column("over_on", Date),
    Column("terms", Text, nullable=False),
    Column("course", Text, nullable=False),
    Index("declaration_of_person", "agency", "person_id", "kind", "recipient", "purpose"),
)
"""`said_at` is the log's position of the last yes or no, `over_on` the day since which it is refused, withdrawn or
replaced; `terms` and `course` are JSON.
"""

calendar = Table(
    "calendar",
    metadata,
    Column("agency", String, primary_key=True),
    Column("consent_id", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("on", Date, nullable=False, index=True),
)
"""The first day on which something is to be written down: `lapse`, `expire`, `erase`."""

Declared: TypeAlias = Row[Any]
OFFERED = "offer"


def register(tx: Connection, record: Recorded) -> None:
    match record.event:
        case ConsentOffered(offer=offer):
            _declare(tx, record, OFFERED, offer.person_id, offer.recipient)
            _await(tx, record, "lapse", _after(offer.answer_by))
        case ConsentGiven(terms=terms) | ConsentRefused(terms=terms):
            _decided(tx, record, terms)
        case ReleaseGiven(person_id=person_id, recipient=recipient):
            _declare(tx, record, record.category, person_id, recipient)
        case RepresentationRegistered(person_id=person_id):
            _declare(tx, record, record.category, person_id, "")
        case OfferLapsed():
            _no_longer(tx, record, "lapse")
        case ConsentDataErased(person_id=person_id):
            forget(tx, record.agency, person_id)
        case ConsentDataErased(person_id=person_id):
            forget(tx, record.agency, person_id)
        case (
            ConsentWithdrawn()
            | ConsentPaused()
            | ConsentResumed()
            | ConsentReplaced()
            | ConsentUsed()
            | ConsentExpired()
            | EraseAtReached()
        ):
            _went_on(tx, record)


def forget(tx: Connection, agency: str, person_id: str) -> None:
    """Nothing leads from the person to a declaration any more, and the calendar waits for none of them."""
    table = declaration
    theirs = (table.c.agency == agency) & (table.c.person_id == person_id)
    ids = select(table.c.id).where(theirs).scalar_subquery()
    tx.execute(delete(calendar).where(calendar.c.agency == agency, calendar.c.consent_id.in_(ids)))
    tx.execute(delete(table).where(theirs))


def due(tx: Connection, today: date) -> list[tuple[str, str]]:
    """Agency and id of each consent for which the calendar brought something by `today`."""
    found = select(calendar.c.agency, calendar.c.consent_id).where(calendar.c.on <= today).distinct()
    return [(row.agency, row.consent_id) for row in tx.execute(found)]


@lru_cache(maxsize=4096)
def read_course(text: str) -> Course:
    """The dated facts as the register keeps them. Many consents have the same ones."""
    kept = orjson.loads(text)
    limit = kept.pop("limit", None)
    days = {name: date.fromisoformat(day) for name, day in kept.items() if isinstance(day, str)}
    return Course(
        **days,
        limit=_limit(limit) if limit else None,
        pauses=tuple(
            Pause(since=date.fromisoformat(since), until=date.fromisoformat(until) if until else None)
            for since, until in kept.get("pauses", ())
        ),
        uses=tuple(map(date.fromisoformat, kept.get("uses", ()))),
    )


def _limit(kept: dict[str, Any]) -> UseLimit:
    days = {name: date.fromisoformat(kept[name]) for name in ("data_from", "data_until", "erase_at") if name in kept}
    return UseLimit(times=kept.get("times"), per=Period(kept["per"]) if "per" in kept else None, **days)


def _kept(course: Course) -> str:
    """Only what is there, so that the usual course is two dates."""
    days = {name: getattr(course, name) for name in DAYS if getattr(course, name)}
    more: dict[str, Any] = {}
    if course.limit:
        limit = course.limit
        more["limit"] = {
            name: each
            for name in ("times", "per", "data_from", "data_until", "erase_at")
            if (each := getattr(limit, name)) is not None
        }
    if course.pauses:
        more["pauses"] = [[pause.since, pause.until] for pause in course.pauses]
    if course.uses:
        more["uses"] = list(course.uses)
    return orjson.dumps({**days, **more}).decode()


DAYS = (
    "given_on",
    "valid_from",
    "valid_until",
    "refused_on",
    "withdrawn_on",
    "replaced_on",
    "expired_on",
    "erased_on",
)


def _decided(tx: Connection, record: Recorded, terms: Terms) -> None:
    _delete(tx, record, OFFERED)
    event: Any = record.event
    course = Course().apply(event)
    evidence = {
        "form": terms.form,
        "given_by": list(terms.given_by),
        "informed": terms.information.complete,
        "voluntary": terms.voluntary,
        "representation_id": terms.representation_id,
    }
    _declare(
        tx,
        record,
        record.category,
        terms.person_id,
        terms.recipient,
        purpose=terms.purpose,
        categories=" ".join(terms.categories),
        said_no=isinstance(event, ConsentRefused),
        terms=orjson.dumps(evidence).decode(),
        over_on=course.over_on,
        course=_kept(course),
    )
    _no_longer(tx, record, "lapse")
    if isinstance(event, ConsentGiven) and terms.valid_until:
        _await(tx, record, "expire", _after(terms.valid_until))
    if isinstance(event, ConsentGiven) and terms.use and terms.use.erase_at:
        _await(tx, record, "erase", terms.use.erase_at)


def _went_on(tx: Connection, record: Recorded) -> None:
    event: Any = record.event
    mine = (
        (declaration.c.agency == record.agency)
        & (declaration.c.kind == record.category)
        & (declaration.c.id == record.id)
    )
    row = tx.execute(select(declaration).where(mine)).one_or_none()
    if row is None:
        return
    course = read_course(row.course).apply(event)
    changed: dict[str, Any] = {"course": _kept(course), "over_on": course.over_on}
    if isinstance(event, (ConsentWithdrawn, ConsentPaused, ConsentResumed)):
        changed |= {"said_at": record.position, "said_no": not isinstance(event, ConsentResumed)}
    tx.execute(update(declaration).where(mine).values(**changed))
    if isinstance(event, (ConsentWithdrawn, ConsentReplaced, ConsentExpired)):
        _no_longer(tx, record, "expire")
    if isinstance(event, (ConsentWithdrawn, EraseAtReached)):
        _no_longer(tx, record, "erase")


def _declare(tx: Connection, record: Recorded, kind: str, person_id: str, recipient: str, **more: Any) -> None:
    _delete(tx, record, kind)
    nothing = {"purpose": "", "categories": "", "said_no": False, "terms": "{}", "course": "{}"}
    row = {"agency": record.agency, "kind": kind, "id": record.id, "said_at": record.position, **nothing, **more}
    tx.execute(insert(declaration).values(**row, person_id=person_id, recipient=recipient))


def _delete(tx: Connection, record: Recorded, kind: str) -> None:
    table = declaration
    same = (table.c.agency == record.agency) & (table.c.kind == kind) & (table.c.id == record.id)
    tx.execute(delete(table).where(same))


def _await(tx: Connection, record: Recorded, what: str, on: date) -> None:
    _no_longer(tx, record, what)
    tx.execute(insert(calendar).values(agency=record.agency, consent_id=record.id, what=what, on=on))


def _no_longer(tx: Connection, record: Recorded, what: str) -> None:
    table = calendar
    same = (table.c.agency == record.agency) & (table.c.consent_id == record.id) & (table.c.what == what)
    tx.execute(delete(table).where(same))


def _after(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)


REGISTER = Projection("declarations", metadata, register)
