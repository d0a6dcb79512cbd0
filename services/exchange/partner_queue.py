"""A partner's queue: a table of ours, because a broker's queue cannot give one message back.

What waits here is sealed for the partner and stands in the log already. It leaves for the partner's broker queue in
a small window, or when the partner fetches its feed; what asks a partner to stop waits for no window. Numbers are
given when something leaves, so that what was stopped before leaves no gap. `draft` keeps the content of a request
between asking for the ruling and acting on it, sealed with the person's key, so that a repeated request commits to the
very same content.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from shared import telemetry
from shared.clock import timestamp

metadata = MetaData()

queue = Table(
    "partner_queue",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("agency", String, nullable=False),
    Column("partner_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("disclosure_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("consents", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("sequence", Integer),
    Column("queued_at", String, nullable=False),
    Column("until", String),
    Column("trace", String, nullable=False, server_default=""),
    UniqueConstraint("agency", "partner_id", "kind", "disclosure_id"),
    Index("partner_queue_due", "state", "channel"),
    Index("partner_queue_feed", "agency", "partner_id", "sequence"),
    Index("partner_queue_disclosure", "agency", "disclosure_id"),
)

counter = Table(
    "partner_counter",
    metadata,
    Column("agency", String, primary_key=True),
    Column("partner_id", String, primary_key=True),
    Column("last", Integer, nullable=False),
)

draft = Table(
    "draft",
    metadata,
    Column("agency", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("made_at", String, nullable=False),
)


fallen = Table(
    "fallen_declaration",
    metadata,
    Column("agency", String, primary_key=True),
    Column("declaration", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("trace", String, nullable=False),
)
"""Consents and releases that fell, until everybody who received something was told."""


class Kind(StrEnum):
    DISCLOSURE = "disclosure"
    RETRACTION = "retraction"
    NOTICE = "notice"
    REMINDER = "retraction.reminder"

    @staticmethod
    def of_notice(notice_id: str) -> str:
        """A disclosure may have several notices; each is a kind of its own."""
        return f"{Kind.NOTICE.value}.{notice_id}"


class Place(StrEnum):
    """`leaving` means that it may have left: a process that dies there counts it as gone."""

    QUEUED = "queued"
    LEAVING = "leaving"
    HANDED_OVER = "handed_over"
    DONE = "done"
    STOPPED = "stopped"


Waiting: TypeAlias = Row[Any]
"""One row of the table above."""

IN_WINDOW = (Place.LEAVING, Place.HANDED_OVER)


def put(
    tx: Connection,
    *,
    agency: str,
    partner_id: str,
    kind: str,
    disclosure_id: str,
    channel: str,
    document: str,
    consents: Sequence[str],
    now: datetime,
    until: datetime | None = None,
) -> None:
    """Queue a document once; the same kind for the same disclosure again changes nothing. After `until` it stays.

    The trace in which we stand waits with it.
    """
    key = {"agency": agency, "partner_id": partner_id, "kind": str(kind), "disclosure_id": disclosure_id}
    if tx.execute(select(queue.c.id).where(*(queue.c[name] == given for name, given in key.items()))).first():
        return
    end = None if until is None else timestamp(until)
    row = {"channel": channel, "document": document, "consents": " ".join(consents), "until": end}
    row["trace"] = telemetry.current_traceparent()
    tx.execute(insert(queue).values(**key, **row, state=Place.QUEUED.value, queued_at=timestamp(now)))


def waiting(tx: Connection, channel: str, room: int, limit: int = 500) -> Sequence[Waiting]:
    """What waits for partners of a channel, oldest first: deliveries where fewer than `room` documents lie, and
    whatever asks somebody to stop. What was leaving has its place already.
    """
    place = queue.c.agency, queue.c.partner_id
    lying = select(*place).where(_in(*IN_WINDOW), queue.c.channel == channel).group_by(*place)
    full = lying.having(func.count() >= room).subquery()
    elsewhere = ~exists().where(full.c.agency == queue.c.agency, full.c.partner_id == queue.c.partner_id)
    free = elsewhere | (queue.c.kind != Kind.DISCLOSURE.value)
    due = (_in(Place.LEAVING) | (_in(Place.QUEUED) & free)) & (queue.c.channel == channel)
    return tx.execute(select(queue).where(due).order_by(queue.c.id).limit(limit)).all()


def waiting_for(tx: Connection, agency: str, partner_id: str) -> Sequence[Waiting]:
    """What waits for one partner, oldest first."""
    due = _of(agency, partner_id) & _in(Place.QUEUED, Place.LEAVING)
    return tx.execute(select(queue).where(due).order_by(queue.c.id)).all()


def in_windows(tx: Connection, channel: str) -> Counter[tuple[str, str]]:
    """How many documents lie in the broker queue of each agency's partners, as far as we know."""
    there = _in(*IN_WINDOW) & (queue.c.channel == channel)
    place = queue.c.agency, queue.c.partner_id
    found = tx.execute(select(*place, func.count().label("lying")).where(there).group_by(*place))
    return Counter({(row.agency, row.partner_id): row.lying for row in found})


def left_leaving(tx: Connection) -> Sequence[Waiting]:
    """The deliveries of all agencies of which nobody knows whether they left, oldest first."""
    here = _in(Place.LEAVING) & (queue.c.kind == Kind.DISCLOSURE.value)
    return tx.execute(select(queue).where(here).order_by(queue.c.id)).all()


def handed_to(tx: Connection, agency: str, partner_id: str) -> Sequence[Waiting]:
    """What was handed to one partner and is not yet acknowledged."""
    there = _of(agency, partner_id) & _in(*IN_WINDOW)
    return tx.execute(select(queue).where(there).order_by(queue.c.id)).all()


def page(tx: Connection, agency: str, partner_id: str, after: int, limit: int) -> Sequence[Waiting]:
    """What was handed to one partner after its own number `after`, without what was stopped since."""
    there = _of(agency, partner_id) & _in(Place.HANDED_OVER, Place.DONE) & (queue.c.sequence > after)
    return tx.execute(select(queue).where(there).order_by(queue.c.sequence).limit(limit)).all()


def leave(tx: Connection, row_id: int, agency: str, partner_id: str) -> int | None:
    """Take one document out of the waiting line and give it its number; None when it was stopped meanwhile."""
    return leave_together(tx, agency, {row_id: partner_id}).get(row_id)


def leave_together(tx: Connection, agency: str, partners: Mapping[int, str]) -> dict[int, int]:
    """As `leave`, for documents of one agency by the id of their row: the numbers of those that were not stopped.

    Each partner's documents get its next numbers in the order of their rows. Rows are locked before counters, as by
    everybody who takes both.
    """
    here = queue.c.id.in_(list(partners))
    going = here & _in(Place.QUEUED, Place.LEAVING)
    tx.execute(update(queue).where(going).values(state=Place.LEAVING.value))
    leaving = select(queue.c.id, queue.c.sequence).where(here & _in(Place.LEAVING)).order_by(queue.c.id)
    numbers = {row.id: row.sequence for row in tx.execute(leaving)}
    fresh = [row_id for row_id, sequence in numbers.items() if sequence is None]
    if fresh:
        following = _next(tx, agency, Counter(partners[row_id] for row_id in fresh))
        for row_id in fresh:
            numbers[row_id] = following[partners[row_id]]
            following[partners[row_id]] += 1
        numbered = update(queue).where(queue.c.id == bindparam("row")).values(sequence=bindparam("number"))
        tx.execute(numbered, [{"row": row_id, "number": numbers[row_id]} for row_id in fresh])
    return numbers


def move(tx: Connection, row_id: int, to: Place, *, only_from: Sequence[Place]) -> bool:
    """Change the place of one document; False when it is not where the caller thinks."""
    return bool(move_together(tx, [row_id], to, only_from=only_from))


def move_together(tx: Connection, row_ids: Sequence[int], to: Place, *, only_from: Sequence[Place]) -> int:
    """Change the place of those documents that are where the caller thinks; how many."""
    moved = tx.execute(update(queue).where(queue.c.id.in_(row_ids), _in(*only_from)).values(state=to.value))
    return int(moved.rowcount)


def close(
    tx: Connection, agency: str, partner_id: str, disclosure_id: str, kind: str, *, only_from: Sequence[Place]
) -> None:
    """The partner said that it has the document, if it is where the caller thinks."""
    mine = _of(agency, partner_id) & (queue.c.kind == str(kind)) & (queue.c.disclosure_id == disclosure_id)
    tx.execute(update(queue).where(mine, _in(*only_from)).values(state=Place.DONE.value))


def find(tx: Connection, agency: str, disclosure_id: str, kind: str) -> Waiting | None:
    """The document of one disclosure."""
    return find_together(tx, agency, [disclosure_id], kind).get(disclosure_id)


def find_together(tx: Connection, agency: str, disclosure_ids: Sequence[str], kind: str) -> dict[str, Waiting]:
    """The documents of several disclosures, by the id of the disclosure; those that have none are absent."""
    found: dict[str, Waiting] = {}
    for start in range(0, len(disclosure_ids), 500):
        some = queue.c.disclosure_id.in_(disclosure_ids[start : start + 500])
        here = (queue.c.agency == agency) & (queue.c.kind == str(kind)) & some
        found |= {row.disclosure_id: row for row in tx.execute(select(queue).where(here))}
    return found


def forget(tx: Connection, agency: str, disclosure_ids: Sequence[str]) -> None:
    """Take the sealed contents of these disclosures out of queue and drafts; retractions and notices stay."""
    for start in range(0, len(disclosure_ids), 500):
        ids = disclosure_ids[start : start + 500]
        mine = (queue.c.agency == agency) & queue.c.disclosure_id.in_(ids)
        tx.execute(delete(queue).where(mine, queue.c.kind == Kind.DISCLOSURE.value))
        tx.execute(delete(draft).where(draft.c.agency == agency, draft.c.disclosure_id.in_(ids)))


def _of(agency: str, partner_id: str) -> ColumnElement[bool]:
    return (queue.c.agency == agency) & (queue.c.partner_id == partner_id)


def _in(*places: Place) -> ColumnElement[bool]:
    return queue.c.state.in_([place.value for place in places])


def _next(tx: Connection, agency: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """The first of as many numbers as are wanted, for each partner; they are given to nobody else."""
    alike: dict[int, list[str]] = defaultdict(list)
    for partner_id, count in wanted.items():
        alike[count].append(partner_id)
    first: dict[str, int] = {}
    for count, partner_ids in alike.items():
        mine = (counter.c.agency == agency) & counter.c.partner_id.in_(partner_ids)
        counted = update(counter).where(mine).values(last=counter.c.last + count)
        for row in tx.execute(counted.returning(counter.c.partner_id, counter.c.last)):
            first[row.partner_id] = row.last - count + 1
    unknown = [partner_id for partner_id in wanted if partner_id not in first]
    if unknown:
        rows = [{"agency": agency, "partner_id": each, "last": wanted[each]} for each in unknown]
        tx.execute(insert(counter), rows)
    return first | dict.fromkeys(unknown, 1)


def keep_draft(tx: Connection, agency: str, disclosure_id: str, sealed: str, now: datetime) -> None:
    row = {"agency": agency, "disclosure_id": disclosure_id, "sealed": sealed, "made_at": timestamp(now)}
    tx.execute(insert(draft).values(**row))


def kept_draft(tx: Connection, agency: str, disclosure_id: str) -> str | None:
    here = (draft.c.agency == agency) & (draft.c.disclosure_id == disclosure_id)
    return tx.execute(select(draft.c.sealed).where(here)).scalar_one_or_none()


def drop_draft(tx: Connection, agency: str, disclosure_id: str) -> None:
    tx.execute(delete(draft).where(draft.c.agency == agency, draft.c.disclosure_id == disclosure_id))
