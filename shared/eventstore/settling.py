"""Which positions of the log are settled: no event will ever appear at or before them any more.

PostgreSQL hands out positions at the insert and shows rows at the commit, so a later position may be seen first, and
rollbacks leave holes for ever. Two things prove a position settled. It follows the last one that was delivered
without a hole. Or: an insert takes a RowExclusiveLock on the table before it draws its position and keeps it to the
end of its transaction; so whoever holds that lock at a moment *after* a page was read may still fill a hole of that
page, and once those holders are gone, what is missing is dead (contracts/decisions/0027).

What was found out so is written to the table `settled`, and then holds for everybody: usually one process per
service looks (`watching`) and the others read up to its mark. On a standby, whose locks are its own, the mark is all
there is. SQLite has one writer at a time and draws positions inside its transaction: all that is visible is settled.
"""

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared.database import Database
from shared.direct import Direct
from shared.eventstore.codec import Stored
from shared.eventstore.log import Log

PATIENCE_SECONDS = 0.05

_LOOK = (
    "select pg_postmaster_start_time()::text, pg_is_in_recovery(), array(select virtualtransaction from pg_locks"
    " where locktype = 'relation' and relation = 'events'::regclass"
    " and database = (select oid from pg_database where datname = current_database())"
    " and mode = 'RowExclusiveLock' and granted)"
)
_STANDING = (
    "select coalesce((select max(position) from events), 0), coalesce(max(position), 0), coalesce(max(holder), '')"
    " from settled"
)
_PUBLISH = (
    "insert into settled (only_row, position, holder, heartbeat)"
    """ values (1, %s, %s, to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) on conflict (only_row)"""
    " do update set position = greatest(settled.position, excluded.position), holder = excluded.holder,"
    " heartbeat = excluded.heartbeat"
)


class Settling(Protocol):
    """Reads the log by settled positions only."""

    def follow(self, direct: Direct, after: int, limit: int) -> list[Stored]:
        """Settled events behind `after`, in order; none when there is nothing settled yet."""
        ...

    def ready(self, direct: Direct, after: int) -> bool:
        """Whether `follow` would have any."""
        ...

    def settled(self, direct: Direct) -> int:
        """The highest position known to be settled now."""
        ...


class VisibleIsSettled:
    """SQLite."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def follow(self, direct: Direct, after: int, limit: int) -> list[Stored]:
        return self._log.page(direct, after, limit)

    def ready(self, direct: Direct, after: int) -> bool:
        return self._log.position(direct) > after

    def settled(self, direct: Direct) -> int:
        return self._log.position(direct)


class Barriers:
    """Positions that are settled as soon as all who held the lock when they were noted have ended."""

    def __init__(self) -> None:
        self._server = ""
        self._held: list[_Barrier] = []

    def look(self, server: str, top: int, holders: frozenset[str]) -> int:
        """Note `top`, a position seen in an earlier statement than `holders`; the highest one that is settled now.

        0 if there is none. What was noted of another server, before a restart or a failover, is worth nothing.
        """
        if server != self._server:
            self._server, self._held = server, []
        self._held = [_Barrier(held, before & holders) for held, before in self._held]
        if all(barrier.top < top for barrier in self._held):
            self._held.append(_Barrier(top, holders))
        passed = max((barrier.top for barrier in self._held if not barrier.holders), default=0)
        self._held = [barrier for barrier in self._held if barrier.top > passed]
        return passed

    def open(self) -> bool:
        """Whether somebody is waited for."""
        return bool(self._held)


class _Barrier(NamedTuple):
    top: int
    holders: frozenset[str]


class SettledByLocks:
    """PostgreSQL. One for all stores on a database, whatever their number of readers."""

    def __init__(self, database: Database) -> None:
        self._log = Log(database.dialect)
        self._barriers = Barriers()
        self._lock = threading.Lock()
        self._stuck: dict[int, float] = {}
        self.name = ""
        """Set while this process is the one that looks for all: who it is."""

    def follow(self, direct: Direct, after: int, limit: int) -> list[Stored]:
        for again in (True, False):
            page, mark = self._log.marked_page(direct, after, limit)
            count = _ready([row[0] for row in page], after, mark)
            if count or not page or not (again and self._pass(direct, after, page[-1][0])):
                return page[:count]
        return []

    def ready(self, direct: Direct, after: int) -> bool:
        positions, mark = self._log.marked_positions(direct, after, 100)
        if not positions or _ready(positions, after, mark):
            return bool(positions)
        return self._pass(direct, after, positions[-1])

    def settled(self, direct: Direct) -> int:
        top, mark, _ = self._standing(direct)
        return top if top <= mark else max(mark, self._look(direct, top))

    def advance(self, direct: Direct) -> tuple[bool, bool]:
        """What the process that looks for all does again and again: whether it came further, and waits for somebody."""
        top, mark, holder = self._standing(direct)
        if top <= mark and holder == self.name:
            return False, False
        passed = self._look(direct, top)
        return passed > mark, self._barriers.open()

    def _pass(self, direct: Direct, after: int, top: int) -> bool:
        """Get past the hole behind `after`; whether it worked.

        Where another process looks for all, it is given a moment first: whoever is not heard of then, is not there.
        """
        _, mark, holder = self._standing(direct)
        if mark > after:
            return True
        if holder not in ("", self.name):
            since = self._stuck.setdefault(after, time.monotonic())
            if time.monotonic() - since < PATIENCE_SECONDS:
                return False
        self._stuck.clear()
        return self._look(direct, top) > after

    def _look(self, direct: Direct, top: int) -> int:
        """Noting and looking are one step: holders seen earlier must not clear a barrier that was put up later."""
        with self._lock:
            server, standby, holders = direct.rows(_LOOK)[0]
            passed = 0 if standby else self._barriers.look(server, top, frozenset(holders))
        if passed:
            direct.write(_PUBLISH, [passed, self.name], may_collide=False)
        return passed

    def _standing(self, direct: Direct) -> tuple[int, int, str]:
        top, mark, holder = direct.rows(_STANDING)[0]
        return int(top), int(mark), str(holder)


def _ready(positions: Sequence[int], after: int, mark: int) -> int:
    """How many of a page are settled: up to `mark`, as it stood when the page was read, and on without a hole."""
    count, reached = 0, max(after, mark)
    for position in positions:
        if position > mark:
            if position != reached + 1:
                break
            reached = position
        count += 1
    return count
