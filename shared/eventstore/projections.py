"""Read models: filled from the log, and free to be thrown away and filled anew.

Rows and bookmark move in one transaction, so every event shows in a read model exactly once, whatever breaks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, delete

from shared.domain import Recorded
from shared.errors import Unavailable
from shared.eventstore.bookmarks import Bookmark
from shared.eventstore.store import EventStore

Progress = Callable[[int, int], None]
CATCH_UP_SECONDS = 5.0


@dataclass(frozen=True)
class Projection:
    """A read model: the tables it owns and what one event does to them."""

    name: str
    tables: MetaData
    apply: Callable[[Connection, Recorded], None]


def run_once(store: EventStore, projection: Projection, limit: int = 500) -> int:
    """Bring the read model on by the next events of the log; how many. 0: it has caught up.

    Two processes may run the same projection: one waits for the other and then finds nothing left to do.
    """
    bookmark = Bookmark(store.database, projection.name)
    records = store.follow(bookmark.position(), limit)
    if not records:
        return 0
    with store.database.write() as tx:
        reached = bookmark.locked(tx)
        fresh = [record for record in records if record.position > reached]
        for record in fresh:
            projection.apply(tx, record)
        if fresh:
            bookmark.move(tx, fresh[-1].position)
    return len(fresh)


def catch_up(store: EventStore, projection: Projection, seconds: float = CATCH_UP_SECONDS) -> None:
    """Bring the read model on until it shows everything that was committed when this was called.

    For a reader that must not answer from yesterday. An event whose place in the order is still open, because
    somebody else's transaction runs, is waited for; when that takes too long, `Unavailable`: no answer is better
    than one without it.
    """
    target, until = store.position(), time.monotonic() + seconds
    bookmark = Bookmark(store.database, projection.name)
    while (reached := bookmark.position()) < target:
        if not run_once(store, projection) and not store.wait(reached, until - time.monotonic()):
            raise Unavailable("projection.behind", "the read model cannot catch up", "send the same again later")


def rebuild(store: EventStore, projection: Projection, progress: Progress | None = None) -> int:
    """Empty the read model and fill it from the start of the log; how many events.

    Readers see the old rows until all of the new ones are there: it is one transaction.
    """
    bookmark = Bookmark(store.database, projection.name)
    end, reached, count = store.settled(), 0, 0
    with store.database.write() as tx:
        bookmark.move(tx, 0)
        bookmark.locked(tx)
        for table in reversed(projection.tables.sorted_tables):
            tx.execute(delete(table))
        while reached < end and (records := store.follow(reached)):
            for record in records:
                projection.apply(tx, record)
            reached, count = records[-1].position, count + len(records)
            if progress is not None:
                progress(reached, end)
        bookmark.move(tx, reached)
    return count
