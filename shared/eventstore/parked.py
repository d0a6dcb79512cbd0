"""Messages that could not be handled wait here, and everything of their stream behind them, in its order.

Written in the transaction of the handler. A message holds ids and states, no personal data; so does this table, and
an erasure finds nothing in it. The broker's own retries and dead letters are not relied on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, RowMapping, text

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
    """Put a message aside. One that is parked already keeps its place and its body and counts one more attempt.

    Without an attempt (`attempts` = 0) nothing about it changes: it only came once more.
    """
    again = (
        "update set code = excluded.code, attempts = parked.attempts + 1, next_attempt_at = excluded.next_attempt_at"
    )
    statement = text(
        "insert into parked"  # noqa: S608 - one of two constants
        " (consumer, message_id, stream, type, agency, body, code, parked_at, attempts, next_attempt_at)"
        " values (:consumer, :message_id, :stream, :type, :agency, :body, :code, :now, :attempts, :next)"
        f" on conflict (consumer, message_id) do {again if attempts else 'nothing'}"
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


def parked(tx: Connection, consumer: str, *, limit: int = 100) -> list[Parked]:
    """Messages that wait, in the order they were parked."""
    statement = text("select * from parked where consumer = :consumer order by number limit :limit")
    return [_parked(row) for row in tx.execute(statement, {"consumer": consumer, "limit": limit}).mappings()]


def parked_message(tx: Connection, consumer: str, message_id: str) -> Parked | None:
    """One of them; None when it does not wait."""
    statement = text("select * from parked where consumer = :consumer and message_id = :id")
    row = tx.execute(statement, {"consumer": consumer, "id": message_id}).mappings().first()
    return None if row is None else _parked(row)


def how_many_wait(tx: Connection, consumer: str) -> int:
    """How many messages wait for `consumer`."""
    statement = text("select count(*) from parked where consumer = :consumer")
    return int(tx.execute(statement, {"consumer": consumer}).scalar_one())


def first_of_streams(
    tx: Connection,
    consumer: str,
    *,
    due: tuple[datetime, datetime] | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[tuple[int, Parked]]:
    """The first message of each stream that waits, with its number, behind number `after`.

    With `due` = (now, latest) only those whose next attempt has come, or lies beyond the latest moment to which an
    attempt is ever put off: then it was put off by a clock that ran ahead.
    """
    condition = "" if due is None else " and (next_attempt_at <= :now or next_attempt_at > :latest)"
    statement = text(
        "select * from parked where number > :after and number in"  # noqa: S608 - one of two constants
        f" (select min(number) from parked where consumer = :consumer group by stream){condition}"
        " order by number limit :limit"
    )
    values: dict[str, object] = {"consumer": consumer, "after": after, "limit": limit}
    if due is not None:
        values |= {"now": timestamp(due[0]), "latest": timestamp(due[1])}
    return [(row["number"], _parked(row)) for row in tx.execute(statement, values).mappings()]


def next_of_stream(tx: Connection, consumer: str, stream: str) -> Parked | None:
    """The message of that stream which is next; None when none waits any more."""
    statement = text("select * from parked where consumer = :consumer and stream = :stream order by number limit 1")
    row = tx.execute(statement, {"consumer": consumer, "stream": stream}).mappings().first()
    return None if row is None else _parked(row)


def waiting_streams(tx: Connection, consumer: str, streams: Iterable[str]) -> set[str]:
    """Those of the streams that have a parked message: what comes later in them has to wait behind it."""
    question = "select distinct stream from parked where consumer ="
    wanted = list(dict.fromkeys(streams))
    if tx.dialect.name == "postgresql":
        found = tx.exec_driver_sql(question + " %s and stream = any(%s)", (consumer, wanted))
    else:
        among = (consumer, orjson.dumps(wanted).decode())
        question += " ? and stream in (select value from json_each(?))"
        found = tx.exec_driver_sql(question, among)
    return set(found.scalars())


def repair(tx: Connection, consumer: str, message_id: str, body: Json, now: datetime) -> bool:
    """Give a message that waits another body and try it at once; whether it was there. Its place stays."""
    statement = text(
        "update parked set body = :body, next_attempt_at = :now where consumer = :consumer and message_id = :id"
    )
    values = {"body": orjson.dumps(body).decode(), "now": timestamp(now), "consumer": consumer, "id": message_id}
    return tx.execute(statement, values).rowcount == 1


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
