"""Messages of others: each is handled once, and one that cannot be handled waits here without losing its order.

Both tables are written in the transaction of the handler. They hold what messages hold: ids and states, no personal
data. The broker's own retries and dead letters are not relied on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import orjson
from sqlalchemy import Connection, RowMapping, bindparam, text

from shared.clock import timestamp
from shared.domain import Json


@dataclass(frozen=True)
class Parked:
    """A message that waits: why (`code`), since when, how often it was tried, when it is tried again."""

    consumer: str
    message_id: str
    stream: str
    type: str
    agency: str
    body: Json
    code: str
    parked_at: datetime
    attempts: int
    next_attempt_at: datetime


def first_time(tx: Connection, consumer: str, message_id: str, day: date) -> bool:
    """Whether `consumer` meets this message for the first time; notes it in `tx`, and is true only once."""
    return bool(first_times(tx, consumer, [message_id], day))


def first_times(tx: Connection, consumer: str, message_ids: Sequence[str], day: date) -> set[str]:
    """Those of the messages that `consumer` meets for the first time, noted by one statement."""
    if not message_ids:
        return set()
    unique = list(dict.fromkeys(message_ids))
    rows = ", ".join(f"(:consumer, :id{number}, :day)" for number in range(len(unique)))
    statement = text(
        f"insert into inbox (consumer, message_id, received_on) values {rows}"  # noqa: S608 - placeholders only
        " on conflict (consumer, message_id) do nothing returning message_id"
    )
    ids = {f"id{number}": message_id for number, message_id in enumerate(unique)}
    found = tx.execute(statement, {"consumer": consumer, "day": day.isoformat(), **ids})
    return set(found.scalars())


def forget_before(tx: Connection, day: date, limit: int = 1000) -> int:
    """Drop up to `limit` notes from before `day`; how many. Call it until 0, in short transactions.

    A message that comes again later than that would be handled again: keep notes longer than queues keep messages.
    """
    statement = text(
        "delete from inbox where (consumer, message_id) in"
        " (select consumer, message_id from inbox where received_on < :day order by received_on limit :limit)"
    )
    return tx.execute(statement, {"day": day.isoformat(), "limit": limit}).rowcount


def park(
    tx: Connection,
    *,
    consumer: str,
    message_id: str,
    stream: str,
    type: str,  # noqa: A002 - the word of the message
    agency: str,
    body: Json,
    code: str,
    now: datetime,
    next_attempt_at: datetime,
    attempts: int = 1,
) -> None:
    """Put a message aside. One that is parked already keeps its place and counts one more attempt."""
    statement = text(
        "insert into parked"
        " (consumer, message_id, stream, type, agency, body, code, parked_at, attempts, next_attempt_at)"
        " values (:consumer, :message_id, :stream, :type, :agency, :body, :code, :now, :attempts, :next)"
        " on conflict (consumer, message_id) do update set code = excluded.code,"
        " attempts = parked.attempts + 1, next_attempt_at = excluded.next_attempt_at"
    )
    values = {
        "consumer": consumer,
        "message_id": message_id,
        "stream": stream,
        "type": type,
        "agency": agency,
        "body": orjson.dumps(body).decode(),
        "code": code,
        "now": timestamp(now),
        "attempts": attempts,
        "next": timestamp(next_attempt_at),
    }
    tx.execute(statement, values)


def parked(tx: Connection, consumer: str, *, due: datetime | None = None, limit: int = 100) -> list[Parked]:
    """Messages that wait, in the order they were parked; with `due` only those whose next attempt has come."""
    condition = "" if due is None else " and next_attempt_at <= :due"
    statement = text(
        f"select * from parked where consumer = :consumer{condition}"  # noqa: S608 - one of two constants
        " order by number limit :limit"
    )
    values: dict[str, object] = {"consumer": consumer, "limit": limit}
    if due is not None:
        values["due"] = timestamp(due)
    return [_parked(row) for row in tx.execute(statement, values).mappings()]


def waiting_streams(tx: Connection, consumer: str, streams: Iterable[str]) -> set[str]:
    """Those of the streams that have a parked message: what comes later in them has to wait behind it."""
    statement = text("select distinct stream from parked where consumer = :consumer and stream in :streams")
    statement = statement.bindparams(bindparam("streams", expanding=True))
    return set(tx.execute(statement, {"consumer": consumer, "streams": list(streams)}).scalars())


def unpark(tx: Connection, consumer: str, message_id: str) -> bool:
    """Take a message off: it was handled, or given up by a human. Whether it was there."""
    statement = text("delete from parked where consumer = :consumer and message_id = :message_id")
    return tx.execute(statement, {"consumer": consumer, "message_id": message_id}).rowcount == 1


def _parked(row: RowMapping) -> Parked:
    fields = {name: row[name] for name in ("consumer", "message_id", "stream", "type", "agency", "code", "attempts")}
    return Parked(
        **fields,
        body=orjson.loads(row["body"]),
        parked_at=datetime.fromisoformat(row["parked_at"]),
        next_attempt_at=datetime.fromisoformat(row["next_attempt_at"]),
    )
