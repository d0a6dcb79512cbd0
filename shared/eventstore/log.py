"""The table of events in SQL: one statement appends what many decided, others read a stream or a page of the log.

An append locks nothing and notifies nobody: with many writers either costs three quarters of the rate. Order and
completeness are the reader's work (`settling`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from shared.clock import timestamp
from shared.database import Dialect
from shared.direct import Direct, Duplicate
from shared.eventstore.codec import Draft, Past, Stored
from shared.eventstore.restored import counter_behind

_TARGET = "agency, stream, category, recorded_at, version, type, schema_version, data, meta, event_id"
_COLUMNS: dict[Dialect, str] = {
    "sqlite": "position, agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at",
    "postgresql": "position, agency, stream, version, category, type, schema_version,"
    " data::text, meta::text, event_id::text, recorded_at",
}
_PAST: dict[Dialect, str] = {
    "sqlite": "version, position, type, schema_version, data, meta",
    "postgresql": "version, position, type, schema_version, data::text, meta::text",
}
_ONE: dict[Dialect, str] = {
    "sqlite": "select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
    "postgresql": "select %s, %s, %s, %s::timestamptz, %s::int, %s, %s::smallint, %s::json, %s::json, %s::uuid",
}
_MANY: dict[Dialect, str] = {
    "sqlite": "select e.value ->> 'agency', e.value ->> 'stream', e.value ->> 'category', e.value ->> 'recorded_at',"
    " e.value ->> 'version', e.value ->> 'type', e.value ->> 'schema_version', e.value ->> 'data',"
    " e.value ->> 'meta', e.value ->> 'event_id' from json_each(?) as e"
    " where e.value ->> 'expected' = 0 or exists (select 1 from events as p where p.agency = e.value ->> 'agency'"
    " and p.stream = e.value ->> 'stream' and p.version = e.value ->> 'expected') order by e.key",
    "postgresql": "select agency, stream, category, recorded_at, version, type, schema_version, data::json,"
    " meta::json, event_id from rows from (json_to_recordset(%s::json) as (agency text, stream text, category text,"
    " recorded_at timestamptz, version int, type text, schema_version smallint, data text, meta text, event_id uuid,"
    " expected int)) with ordinality as e"
    " where e.expected = 0 or exists (select 1 from events as p where p.agency = e.agency and p.stream = e.stream"
    " and p.version = e.expected) order by e.ordinality",
}
_YIELDING = "on conflict (agency, stream, version) do nothing"
_POSITIONS = "events_pkey"


class Stream(NamedTuple):
    """What happened to one thing, kept by one agency; its name is `<category>-<id>`."""

    agency: str
    category: str
    name: str


class Append(NamedTuple):
    """The events of one decision, to be written behind version `expected` of their stream: all, or none."""

    stream: Stream
    expected: int
    drafts: Sequence[Draft]
    now: datetime


class Log:
    """The statements of one dialect, on whatever connection they are given."""

    def __init__(self, dialect: Dialect) -> None:
        mark = "?" if dialect == "sqlite" else "%s"
        predecessor = f"agency = {mark} and stream = {mark} and version = {mark}"
        follows = f"where exists (select 1 from events where {predecessor})"  # noqa: S608 - constants of this module
        insert, event_id = f"insert into events ({_TARGET})", "event_id" if dialect == "sqlite" else "event_id::text"
        self._one = {
            later: f"{insert} {_ONE[dialect]} {follows if later else 'where true'} {_YIELDING} returning position"
            for later in (False, True)
        }
        self._many = {
            yielding: f"{insert} {_MANY[dialect]} {_YIELDING if yielding else ''} returning position, {event_id}"
            for yielding in (False, True)
        }
        select = f"select {_COLUMNS[dialect]} from events"  # noqa: S608 - constants of this module
        stream = f"from events where agency = {mark} and stream = {mark}"
        self._stream = f"select {_COLUMNS[dialect]} {stream} order by version"
        self._past = f"select {_PAST[dialect]} {stream} and version > {mark} order by version"
        self._page = f"{select} where position > {mark} order by position limit {mark}"
        mark_of = ", (select coalesce(max(position), 0) from settled)"
        behind = f"from events where position > {mark} order by position limit {mark}"
        self._marked_page = f"select {_COLUMNS[dialect]}{mark_of} {behind}"
        self._marked_positions = f"select position{mark_of} {behind}"
        self._position = "select coalesce(max(position), 0) from events"

    def stream(self, direct: Direct, agency: str, stream: str) -> list[Stored]:
        """All events of one stream of one agency, in order."""
        return direct.rows(self._stream, (agency, stream))

    def past(self, direct: Direct, agency: str, stream: str, after: int = 0) -> list[Past]:
        """What is needed to replay one stream behind version `after`, in order."""
        return direct.rows(self._past, (agency, stream, after))

    def page(self, direct: Direct, after: int, limit: int) -> list[Stored]:
        """The next visible events of the log; later ones may still appear in front of them."""
        return direct.rows(self._page, (after, limit))

    def marked_page(self, direct: Direct, after: int, limit: int) -> tuple[list[Stored], int]:
        """The same, and up to where the log was settled at that moment as far as the table `settled` tells."""
        found = direct.rows(self._marked_page, (after, limit))
        return found, found[0][-1] if found else 0

    def marked_positions(self, direct: Direct, after: int, limit: int) -> tuple[list[int], int]:
        """The same without the events."""
        found = direct.rows(self._marked_positions, (after, limit))
        return [int(row[0]) for row in found], int(found[0][1]) if found else 0

    def position(self, direct: Direct) -> int:
        """The highest visible position; 0 for an empty log."""
        return int(direct.rows(self._position)[0][0])

    def append(self, direct: Direct, one: Append) -> int | None:
        """Write it; the position of its last event. None when somebody else wrote there, or nobody wrote before."""
        if len(one.drafts) > 1:
            return self._append_many(direct, [one])[0]
        stream, expected = one.stream, one.expected
        parameters: list[Any] = [stream.agency, stream.name, stream.category, timestamp(one.now), *one.drafts[0]]
        if expected:
            parameters += [stream.agency, stream.name, expected]
        try:
            rows = direct.write(self._one[expected > 0], parameters, may_collide=False)
        except Duplicate as taken:
            raise counter_behind() from taken
        return int(rows[0][0]) if rows else None

    def append_all(self, direct: Direct, appends: Sequence[Append]) -> list[int | None]:
        """The same for several by one statement and one commit; each is written as a whole or not at all.

        Decisions of one event yield to what stands already. Where one of several events collides, the statement has
        written nothing, and each is tried by itself.
        """
        if len(appends) == 1:
            return [self.append(direct, appends[0])]
        try:
            return self._append_many(direct, appends)
        except Duplicate:
            return [self.append(direct, one) for one in appends]

    def _append_many(self, direct: Direct, appends: Sequence[Append]) -> list[int | None]:
        yielding = all(len(one.drafts) == 1 for one in appends)
        try:
            rows = direct.write(self._many[yielding], [_document(appends)], may_collide=not yielding)
        except Duplicate as taken:
            if str(taken) == _POSITIONS:
                raise counter_behind() from taken
            if len(appends) > 1:
                raise
            return [None]
        written = {event_id: position for position, event_id in rows}
        return [written.get(one.drafts[-1].event_id) for one in appends]


def _document(appends: Sequence[Append]) -> str:
    """All rows in one JSON text: the drivers pass arrays row by row, which costs three times as much."""
    rows = []
    for stream, expected, drafts, now in appends:
        recorded_at = timestamp(now)
        rows += [
            {
                "agency": stream.agency,
                "stream": stream.name,
                "category": stream.category,
                "recorded_at": recorded_at,
                "version": draft.version,
                "type": draft.type,
                "schema_version": draft.schema_version,
                "data": draft.data,
                "meta": draft.meta,
                "event_id": draft.event_id,
                "expected": expected,
            }
            for draft in drafts
        ]
    return orjson.dumps(rows).decode()
