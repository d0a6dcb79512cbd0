"""Read models: filled from the log, and free to be thrown away and filled anew (`rebuilding`).

Rows and bookmark move in one transaction, so every event shows in a read model exactly once, whatever breaks. A read
model has a version, which grows when the same events are to give other rows; while several versions of a service run,
only those that know the version that is in use fill it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, text

from shared.domain import Recorded
from shared.errors import Unavailable
from shared.eventstore.beside import Beside
from shared.eventstore.bookmarks import Bookmark
from shared.eventstore.store import EventStore

CATCH_UP_SECONDS = 5.0
PAGE = 500
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Projection:
    """A read model: the tables it owns and what one event does to them.

    `effects` is what an event sets off beside the rows, in the same transaction and once: a rebuild does without.
    `erase(tx, agency, person_id)` removes what the rows say about a person; every projection that stores what was a
    personal field needs it. A column must not be named like one of the tables.
    """

    name: str
    tables: MetaData
    apply: Callable[[Connection, Recorded], None]
    version: int = 1
    effects: Callable[[Connection, Recorded], None] | None = None
    erase: Callable[[Connection, str, str], None] | None = None

    @property
    def beside(self) -> Beside:
        """Where a rebuild of this version takes place."""
        return Beside(self.tables, self.version)

    @property
    def next_bookmark(self) -> str:
        """The name of the bookmark of its rebuild."""
        return f"{self.name}:next"


class Standing(NamedTuple):
    """How a read model stands: its version (0: never filled), how far it is, and the same of a rebuild under way."""

    version: int
    position: int
    rebuilding: int | None
    rebuilt_to: int


def run_once(store: EventStore, projection: Projection, limit: int = PAGE) -> int:
    """Bring the read model on by the next events of the log; how many. 0: it has caught up, or is of a newer version.

    Two processes may run the same projection: one waits for the other and then finds nothing left to do. Raises
    `Unavailable("projection.outdated")` when it is of an older version and has to be rebuilt first.
    """
    bookmark = Bookmark(store.database, projection.name)
    records = store.follow(bookmark.position(), limit)
    if not records:
        return 0
    with store.database.write() as tx:
        reached = bookmark.locked(tx)
        if _in_use(tx, projection, reached) > projection.version:
            return 0
        if projection.erase is not None:
            records = store.follow(reached, limit)
        fresh = [record for record in records if record.position > reached]
        for record in fresh:
            projection.apply(tx, record)
            if projection.effects is not None:
                projection.effects(tx, record)
        if fresh:
            bookmark.move(tx, fresh[-1].position)
    return len(fresh)


def catch_up(store: EventStore, projection: Projection, seconds: float = CATCH_UP_SECONDS) -> None:
    """Bring the read model on until it shows everything that was committed when this was called.

    For a reader that must not answer from yesterday. An event whose place in the order is still open, because
    somebody else's transaction runs, is waited for; when that takes too long, `Unavailable`: no answer is better
    than one without it. A read model of a newer version is brought on by those who know it, and waited for.
    """
    target, until = store.position(), time.monotonic() + seconds
    bookmark = Bookmark(store.database, projection.name)
    while (reached := bookmark.position()) < target:
        if run_once(store, projection):
            continue
        if not store.wait(reached, until - time.monotonic()) or time.monotonic() > until:
            raise Unavailable("projection.behind", "the read model cannot catch up", "send the same again later")
        time.sleep(LOOK_SECONDS if standing(store, projection).version > projection.version else 0)


def standing(store: EventStore, projection: Projection) -> Standing:
    """How the read model stands now."""
    with store.database.read() as tx:
        row = _versions(tx, projection.name)
        position = mark_of(tx, projection.name)
        rebuilt_to = mark_of(tx, projection.next_bookmark)
    version = row[0] if row else (1 if position else 0)
    return Standing(version, position, row[1] if row else None, rebuilt_to)


def erase_person(store: EventStore, projections: Sequence[Projection], agency: str, person_id: str) -> None:
    """End the person's key and remove what read models say about them, in one transaction. Twice is as good as once.

    Events are read under the same lock by whoever fills those read models, so none of them puts anything back; only a
    key that another process still holds in memory could (`shared.crypto.CACHED_SECONDS`): call it again after that.
    """
    with store.database.write() as tx:
        store.keys.destroy(agency, person_id, tx)
        for projection in projections:
            if projection.erase is None:
                continue
            Bookmark(store.database, projection.name).locked(tx)
            projection.erase(tx, agency, person_id)
            row = _versions(tx, projection.name)
            if row is not None and row[1] == projection.version:
                Bookmark(store.database, projection.next_bookmark).locked(tx)
                with projection.beside.in_place_of_the_live_one(tx):
                    projection.erase(tx, agency, person_id)
    store.database.forget_deleted()


def mark_of(tx: Connection, name: str, *, locked: bool = False) -> int:
    """Where a bookmark stands, even one that stands behind the end of the log; 0 when there is none."""
    suffix = " for update" if locked and tx.dialect.name == "postgresql" else ""
    question = f"select position from bookmarks where name = :name{suffix}"  # noqa: S608 - a word of ours
    return int(tx.execute(text(question), {"name": name}).scalar() or 0)


def _in_use(tx: Connection, projection: Projection, reached: int) -> int:
    """The version of the rows; what nobody has filled yet is of whatever version begins."""
    row = _versions(tx, projection.name)
    version = row[0] if row is not None else (1 if reached else projection.version)
    if row is None:
        statement = text("insert into projections (name, version) values (:name, :version)")
        tx.execute(statement, {"name": projection.name, "version": version})
    if version < projection.version:
        raise Unavailable(
            "projection.outdated",
            f"the read model {projection.name} is of version {version}",
            "rebuild it: handschlag projections rebuild",
        )
    return version


def _versions(tx: Connection, name: str) -> tuple[int, int | None] | None:
    found = tx.execute(text("select version, rebuilding from projections where name = :name"), {"name": name}).first()
    return None if found is None else (found.version, found.rebuilding)
