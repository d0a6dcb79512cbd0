"""The table of events in SQL: one statement appends, others read a stream or a page of the log.

An append locks nothing and notifies nobody: with many writers either costs three quarters of the rate. Order and
completeness are the reader's work (`settling`).
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from typing import NamedTuple

import orjson

from shared.clock import timestamp
from shared.database import Dialect, Direct, Duplicate
from shared.eventstore.codec import Draft, Row

_TARGET = "agency, stream, category, recorded_at, version, type, schema_version, data, meta, event_id"
_COLUMNS: dict[Dialect, str] = {
    "sqlite": "position, agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at",
    "postgresql": "position, agency, stream, version, category, type, schema_version,"
    " data::text, meta::text, event_id::text, recorded_at",
}
_ONE: dict[Dialect, str] = {
    "sqlite": "select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
    "postgresql": "select %s, %s, %s, %s::timestamptz, %s::int, %s, %s::smallint, %s::json, %s::json, %s::uuid",
}
_MANY: dict[Dialect, str] = {
    "sqlite": "select ?, ?, ?, ?, e.value ->> 0 as version, e.value ->> 1, e.value ->> 2, e.value ->> 3,"
    " e.value ->> 4, e.value ->> 5 from json_each(?) as e",
    "postgresql": "select %s, %s, %s, %s::timestamptz, n.version, n.type, n.schema_version, n.data::json,"
    " n.meta::json, n.event_id from unnest(%s::int[], %s::text[], %s::smallint[], %s::text[], %s::text[],"
    " %s::uuid[]) as n(version, type, schema_version, data, meta, event_id)",
}


class Stream(NamedTuple):
    """What happened to one thing, kept by one agency; its name is `<category>-<id>`."""

    agency: str
    category: str
    name: str


class Log:
    """The statements of one dialect, on whatever connection they are given."""

    def __init__(self, dialect: Dialect) -> None:
        mark = "?" if dialect == "sqlite" else "%s"
        self._dialect = dialect
        predecessor = f"agency = {mark} and stream = {mark} and version = {mark}"
        follows = f"where exists (select 1 from events where {predecessor})"  # noqa: S608 - constants of this module
        insert = f"insert into events ({_TARGET})"
        self._append = {
            (many, later): " ".join([insert, source[dialect], follows if later else "", order, "returning position"])
            for many, source, order in ((False, _ONE, ""), (True, _MANY, "order by version"))
            for later in (False, True)
        }
        select = f"select {_COLUMNS[dialect]} from events"  # noqa: S608 - constants of this module
        self._stream = f"{select} where agency = {mark} and stream = {mark} order by version"
        self._page = f"{select} where position > {mark} order by position limit {mark}"
        self._position = "select coalesce(max(position), 0) from events"

    def stream(self, direct: Direct, agency: str, stream: str) -> list[Row]:
        """All events of one stream of one agency, in order."""
        return list(starmap(Row, direct.rows(self._stream, (agency, stream))))

    def page(self, direct: Direct, after: int, limit: int) -> list[Row]:
        """The next visible events of the log; later ones may still appear in front of them."""
        return list(starmap(Row, direct.rows(self._page, (after, limit))))

    def position(self, direct: Direct) -> int:
        """The highest visible position; 0 for an empty log."""
        return int(direct.rows(self._position)[0][0])

    def append(
        self, direct: Direct, stream: Stream, expected: int, drafts: Sequence[Draft], now: datetime
    ) -> int | None:
        """Write all of `drafts` behind version `expected`, or nothing: then the answer is None.

        Somebody else wrote version `expected + 1`, or there is no version `expected` yet.
        """
        many = len(drafts) > 1
        parameters: list[object] = [stream.agency, stream.name, stream.category, timestamp(now)]
        parameters += self._columns_of(drafts) if many else drafts[0]
        if expected:
            parameters += [stream.agency, stream.name, expected]
        try:
            rows = direct.write(self._append[many, expected > 0], parameters)
        except Duplicate:
            return None
        return max(row[0] for row in rows) if rows else None

    def _columns_of(self, drafts: Sequence[Draft]) -> list[object]:
        if self._dialect == "sqlite":
            return [orjson.dumps([list(draft) for draft in drafts]).decode()]
        return [list(column) for column in zip(*drafts, strict=True)]
