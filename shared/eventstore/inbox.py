"""Messages of others: each is handled once. What was heard is noted in the transaction that acts on it.

A note is kept for 30 days, counted from the day on which the message was made, which its id tells (UUIDv7). Beyond
that a mark remembers how far each source was heard: a source tells its events in their order, so what stands at or
before the mark and is older than the notes was heard before. Notes alone decide about everything younger, in whatever
order it comes. Nothing here holds personal data.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, text

from shared.database import Database

KEPT = timedelta(days=30)
SLOTS = 40
UNDATED = SLOTS
STEP = 1000
LOCK_SECONDS = 2

_EPOCH = date(1970, 1, 1)
_MILLISECONDS_OF_A_DAY = 86_400_000


class Arrival(NamedTuple):
    """A message as the inbox sees it: its id, who told it, and its place in the log of whoever told it (0: unknown)."""

    message_id: str
    source: str
    position: int


def day_of(message_id: str) -> date | None:
    """The day, in UTC, on which a UUIDv7 was made (RFC 9562 section 5.7); None for any other id."""
    if len(message_id) != 36 or message_id[14] != "7":
        return None
    try:
        milliseconds = int(message_id[:8] + message_id[9:13], 16)
        return _EPOCH + timedelta(days=milliseconds // _MILLISECONDS_OF_A_DAY)
    except (ValueError, OverflowError):
        return None


def slot_of(message_id: str) -> int:
    """Where its note lies: 0 to 39 by day, 40 for an id that tells none and whose note therefore stays."""
    day = day_of(message_id)
    return UNDATED if day is None else (day - _EPOCH).days % SLOTS


def first_time(tx: Connection, consumer: str, message_id: str) -> bool:
    """Whether `consumer` meets this message for the first time; notes it in `tx`, and is true only once."""
    return bool(first_times(tx, consumer, [message_id]))


def first_times(tx: Connection, consumer: str, message_ids: Sequence[str]) -> set[str]:
    """Those of the messages that `consumer` meets for the first time, noted by one statement."""
    if not message_ids:
        return set()
    ids = list(dict.fromkeys(message_ids))
    slots = [slot_of(message_id) for message_id in ids]
    if tx.dialect.name == "postgresql":
        source, values = "unnest(%s::text[], %s::smallint[]) as n(id, slot)", (consumer, ids, slots)
        noted = f"select %s, n.id, n.slot from {source}"  # noqa: S608 - placeholders only
        found = tx.exec_driver_sql(f"{_NOTE} {noted} {_ONCE}", values)
    else:
        pairs = orjson.dumps(list(zip(ids, slots, strict=True))).decode()
        noted = "select ?, n.value ->> 0, n.value ->> 1 from json_each(?) as n where true"
        found = tx.exec_driver_sql(f"{_NOTE} {noted} {_ONCE}", (consumer, pairs))
    return set(found.scalars())


_NOTE = "insert into inbox (consumer, message_id, slot)"
_ONCE = "on conflict (slot, consumer, message_id) do nothing returning message_id"


def is_noted(tx: Connection, consumer: str, message_id: str) -> bool:
    """Whether `consumer` has handled it, as far as the notes go back."""
    statement = text("select 1 from inbox where slot = :slot and consumer = :consumer and message_id = :id")
    values = {"slot": slot_of(message_id), "consumer": consumer, "id": message_id}
    return tx.execute(statement, values).scalar() is not None


def heard_long_ago(tx: Connection, consumer: str, arrivals: Iterable[Arrival], today: date) -> set[str]:
    """Ids of those that came before, although nothing is noted about them any more.

    Asked for messages of days whose notes are dropped or, when somebody's clock is wrong, of days to come.
    """
    emptied = _emptied_before(tx)
    doubtful = [each for each in arrivals if each.position and not _is_kept(each.message_id, emptied, today)]
    if not doubtful:
        return set()
    statement = text("select source, position from inbox_marks where consumer = :consumer")
    marks = {row.source: row.position for row in tx.execute(statement, {"consumer": consumer})}
    return {each.message_id for each in doubtful if each.position <= marks.get(each.source, 0)}


def heard_up_to(tx: Connection, consumer: str, arrivals: Iterable[Arrival]) -> None:
    """Move the marks of the sources on; never back."""
    reached: dict[str, int] = {}
    for each in arrivals:
        if each.position > reached.get(each.source, 0):
            reached[each.source] = each.position
    _move(tx, consumer, reached)


def forget(database: Database, today: date) -> None:
    """Drop the notes of days that are no longer kept, day by day, in short transactions.

    First it is written down that they are dropped, so that no message of those days counts as new in between.
    Raises what the database answers when it cannot be done now; the next time will do.
    """
    first_kept = (today - KEPT - _EPOCH).days
    with database.write() as tx:
        statement = text(
            "insert into inbox_emptied (only_row, before_day) values (1, :day) on conflict (only_row)"
            " do update set before_day = excluded.before_day where excluded.before_day > inbox_emptied.before_day"
        )
        tx.execute(statement, {"day": first_kept})
    next_day = (today - _EPOCH).days + 1
    for day in range(next_day + 1 - SLOTS, first_kept):
        _empty(database, day % SLOTS)


def _empty(database: Database, slot: int) -> None:
    values = {"slot": slot, "step": STEP}
    if database.dialect == "postgresql":
        with database.write() as tx:
            if tx.execute(text("select 1 from inbox where slot = :slot limit 1"), values).scalar():
                tx.exec_driver_sql(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                tx.exec_driver_sql(f"truncate inbox_slot_{slot:02}")
        return
    statement = text("delete from inbox where rowid in (select rowid from inbox where slot = :slot limit :step)")
    removed = STEP
    while removed == STEP:
        with database.write() as tx:
            removed = tx.execute(statement, values).rowcount


def _emptied_before(tx: Connection) -> date:
    found = tx.exec_driver_sql("select before_day from inbox_emptied").scalar()
    return _EPOCH + timedelta(days=int(found or 0))


def _is_kept(message_id: str, emptied_before: date, today: date) -> bool:
    day = day_of(message_id)
    return day is None or emptied_before <= day <= today + timedelta(days=1)


def _move(tx: Connection, consumer: str, reached: Mapping[str, int]) -> None:
    statement = text(
        "insert into inbox_marks (consumer, source, position) values (:consumer, :source, :position)"
        " on conflict (consumer, source) do update set position = excluded.position"
        " where excluded.position > inbox_marks.position"
    )
    for source, position in sorted(reached.items()):
        tx.execute(statement, {"consumer": consumer, "source": source, "position": position})
