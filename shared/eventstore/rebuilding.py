"""Filling a read model anew from the start of the log, beside the live one, while everybody goes on (blue and green).

The new rows are filled into tables of their own, page by page, each page with its bookmark in one transaction: a
rebuild that is killed goes on where it stopped. Readers and the live projection notice nothing. When the new one has
caught up it takes the place of the old one in a last, short transaction, under the lock of the live bookmark.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shared.domain import Recorded
from shared.errors import Unavailable
from shared.eventstore.bookmarks import Bookmark
from shared.eventstore.projections import Projection, mark_of
from shared.eventstore.store import EventStore

Progress = Callable[[int, int], None]
PAGE = 500
PAUSE_SECONDS = 0.002
SWITCH_ATTEMPTS = 20
SWITCH_LOCK_SECONDS = 2


def rebuild(store: EventStore, projection: Projection, progress: Progress | None = None) -> int:
    """Fill the read model anew, beside the live one, and let it take its place; how many events this call read.

    `progress(position, end)` is called after every page; `end` grows while events are added. The effects of events
    are left out up to where the live one had come, and happen from there on. Needs the right to make tables: on
    PostgreSQL call it as the owner of the tables, or get `Unavailable("projection.not_owner")`.
    """
    with _as_owner():
        _begin(store, projection)
        count = _fill(store, projection, progress)
        for _ in range(SWITCH_ATTEMPTS):
            try:
                return count + _switch(store, projection, progress)
            except Unavailable as error:
                if error.code not in {"database.unavailable", "projection.behind"}:
                    raise
                count += _fill(store, projection, progress)
        raise Unavailable("projection.in_use", "readers do not let go of the old rows", "send the same again later")


def _begin(store: EventStore, projection: Projection) -> None:
    """Take up a rebuild of this version that is under way, or begin one."""
    with store.database.write() as tx:
        begun = {"name": projection.name, "version": projection.version}
        known = text("insert into projections (name, version) values (:name, :known) on conflict (name) do nothing")
        tx.execute(known, {**begun, "known": 1 if mark_of(tx, projection.name) else projection.version})
        lock = " for update" if tx.dialect.name == "postgresql" else ""
        under_way = text(f"select rebuilding from projections where name = :name{lock}")  # noqa: S608 - a word of ours
        if tx.execute(under_way, begun).scalar() == projection.version and projection.beside.exists(tx):
            return
        projection.beside.create(tx)
        tx.execute(text("update projections set rebuilding = :version where name = :name"), begun)
        Bookmark(store.database, projection.next_bookmark).move(tx, 0)


def _fill(store: EventStore, projection: Projection, progress: Progress | None) -> int:
    """Page after page until the end of the log is near; how many events."""
    count, page = 0, PAGE
    while page == PAGE:
        with store.database.write() as tx:
            page, reached = _one_page(store, projection, tx)
        count += page
        if progress is not None:
            progress(reached, max(store.settled(), reached))
        time.sleep(PAUSE_SECONDS)
    return count


def _switch(store: EventStore, projection: Projection, progress: Progress | None) -> int:
    """The last events, and the change of places: one transaction in which the live projection stands still."""
    count, page = 0, PAGE
    with store.database.write() as tx:
        if tx.dialect.name == "postgresql":
            tx.exec_driver_sql(f"set local lock_timeout = '{SWITCH_LOCK_SECONDS}s'")
        live = mark_of(tx, projection.name, locked=True)
        while page == PAGE:
            page, reached = _one_page(store, projection, tx)
            count += page
        if reached < min(live, store.position()):
            raise Unavailable("projection.behind", "the live read model knows of events that are not settled here yet")
        _catch_up_on_effects(store, projection, tx, live, reached)
        projection.beside.become_live(tx)
        Bookmark(store.database, projection.name).move(tx, reached)
        tx.execute(text("delete from bookmarks where name = :name"), {"name": projection.next_bookmark})
        statement = text("update projections set version = :version, rebuilding = null where name = :name")
        tx.execute(statement, {"version": projection.version, "name": projection.name})
    if progress is not None:
        progress(reached, reached)
    return count


def _one_page(store: EventStore, projection: Projection, tx: Connection) -> tuple[int, int]:
    """How many events, and the position reached. Read under the lock, as an erasure demands."""
    bookmark = Bookmark(store.database, projection.next_bookmark)
    reached = bookmark.locked(tx)
    records = store.follow(reached, PAGE)
    if not records:
        return 0, reached
    with projection.beside.in_place_of_the_live_one(tx):
        for record in records:
            projection.apply(tx, record)
    bookmark.move(tx, records[-1].position)
    return len(records), records[-1].position


def _catch_up_on_effects(store: EventStore, projection: Projection, tx: Connection, live: int, reached: int) -> None:
    """What the live projection had not come to yet has had no effects; now it has."""
    while projection.effects is not None and live < reached and (records := store.follow(live, PAGE)):
        for record in _up_to(records, reached):
            projection.effects(tx, record)
        live = records[-1].position


def _up_to(records: list[Recorded], position: int) -> list[Recorded]:
    return [record for record in records if record.position <= position]


@contextmanager
def _as_owner() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "42501":
            raise
        raise Unavailable(
            "projection.not_owner",
            "a read model is rebuilt by the owner of its tables",
            "use the address and the role that `handschlag migrate` uses",
        ) from error
