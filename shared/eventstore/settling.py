"""Which positions of the log are settled: no event will ever appear at or before them any more.

PostgreSQL hands out positions at the insert and shows rows at the commit, so a later position may be seen first, and
rollbacks leave holes for ever. An insert takes a RowExclusiveLock on the table before it draws its position and
keeps it to the end of its transaction. So: whoever holds that lock at a moment *after* a page was read may still
fill a hole of that page; once those holders are gone, what is missing is dead. Only writers of this table are waited
for. Not valid on a standby, whose locks are its own.

SQLite has one writer at a time and draws positions inside its transaction: all that is visible is settled.
"""

import threading
from typing import NamedTuple, Protocol

from shared.direct import Direct
from shared.eventstore.codec import Row
from shared.eventstore.log import Log

_HOLDERS = (
    "select virtualtransaction from pg_locks where locktype = 'relation' and relation = 'events'::regclass"
    " and database = (select oid from pg_database where datname = current_database())"
    " and mode = 'RowExclusiveLock' and granted"
)


class Settling(Protocol):
    """Reads the log by settled positions only."""

    def follow(self, direct: Direct, after: int, limit: int) -> list[Row]:
        """Settled events behind `after`, in order; none when there is nothing settled yet."""
        ...

    def settled(self, direct: Direct) -> int:
        """The highest position known to be settled now."""
        ...


class VisibleIsSettled:
    """SQLite."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def follow(self, direct: Direct, after: int, limit: int) -> list[Row]:
        return self._log.page(direct, after, limit)

    def settled(self, direct: Direct) -> int:
        return self._log.position(direct)


class _Barrier(NamedTuple):
    """Settled up to `top` as soon as all of `holders` have ended."""

    top: int
    holders: frozenset[str]


class SettledByLocks:
    """PostgreSQL. The mark only grows and is shared by all readers of this process."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._mark = 0
        self._barriers: list[_Barrier] = []

    def follow(self, direct: Direct, after: int, limit: int) -> list[Row]:
        for _ in range(2):
            mark = self._mark
            page = self._log.page(direct, after, limit)
            ready = self._ready(page, after, mark)
            if len(ready) == len(page):
                return ready
            self._wait_for_holders(direct, page[-1].position)
            if ready or self._mark == mark:
                return ready
        return []

    def settled(self, direct: Direct) -> int:
        top = self._log.position(direct)
        if top > self._mark:
            self._wait_for_holders(direct, top)
        return self._mark

    def _ready(self, page: list[Row], after: int, mark: int) -> list[Row]:
        """What of `page` was settled when it was read: up to `mark`, which is older, and on without a hole."""
        count = sum(row.position <= mark for row in page)
        if after <= mark:
            reached = mark
            while count < len(page) and page[count].position == reached + 1:
                reached += 1
                count += 1
            self._advance(reached)
        return page[:count]

    def _advance(self, position: int) -> None:
        with self._lock:
            self._mark = max(self._mark, position)
            self._barriers = [barrier for barrier in self._barriers if barrier.top > self._mark]

    def _wait_for_holders(self, direct: Direct, top: int) -> None:
        """Put up a barrier at `top`, a position seen in an earlier statement, and pass those that are open.

        Looking and noting are one step: holders seen earlier must not clear a barrier that was put up later.
        """
        with self._lock:
            now = frozenset(row[0] for row in direct.rows(_HOLDERS))
            self._barriers = [_Barrier(held, holders & now) for held, holders in self._barriers]
            if all(barrier.top < top for barrier in self._barriers):
                self._barriers.append(_Barrier(top, now))
            self._mark = max([self._mark, *(barrier.top for barrier in self._barriers if not barrier.holders)])
            self._barriers = [barrier for barrier in self._barriers if barrier.top > self._mark]
