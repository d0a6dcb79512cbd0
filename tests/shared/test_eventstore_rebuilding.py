"""A read model is made anew beside the live one, while everybody goes on, and takes its place at once."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
    update,
)

from shared.database import Database
from shared.domain import Recorded
from shared.errors import Refused
from shared.eventstore import Bookmark, EventStore, Projection, rebuild, rebuilding, run_once, standing
from tests.support.counted import COUNTED, counts, counts_in_the_log, counts_of, seed
from tests.support.notebook import Notebook, NotebookOpened, NoteTaken
from tests.support.stores import Place, place

tables = MetaData()
titles = Table(
    "notebook_titles",
    tables,
    Column("notebook", String, primary_key=True),
    Column("title", String, index=True),
    Column("notes", Integer, nullable=False, default=0),
    UniqueConstraint("notebook", "notes", name="notebook_titles_once"),
)


def show(tx: Connection, record: Recorded) -> None:
    match record.event:
        case NotebookOpened(title=title):
            tx.execute(insert(titles).values(notebook=record.stream, title=title, notes=0))
        case NoteTaken():
            more = update(titles).where(titles.c.notebook == record.stream)
            tx.execute(more.values(notes=titles.c.notes + 1))


SHOWN = Projection("titles", tables, show)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "PAGE", 2)


@pytest.fixture
def filled(store: EventStore) -> EventStore:
    with store.database.write() as tx:
        tables.create_all(tx)
    write(store, "1")
    run_once(store, SHOWN)
    return store


def write(store: EventStore, name: str) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, name, lambda n: n.open(f"title {name}"), command_id="open")
    agency.change(Notebook, name, lambda n: n.take("p-1", "a", "b"), command_id="take")


def rows(store: EventStore) -> Any:
    with store.database.read() as tx:
        return [tuple(row) for row in tx.execute(select(titles).order_by(titles.c.notebook))]


def shape(store: EventStore) -> Any:
    """Tables, and the names of the indexes and constraints of the read model."""
    with store.database.read() as tx:
        seen = inspect(tx)
        indexes = {index["name"] for index in seen.get_indexes("notebook_titles")}
        unique = {each["name"] for each in seen.get_unique_constraints("notebook_titles")}
        return set(seen.get_table_names()), indexes, unique, seen.get_pk_constraint("notebook_titles")["name"]


def test_a_read_model_is_made_anew_from_the_start(filled: EventStore) -> None:
    before = shape(filled)
    with filled.database.write() as tx:
        tx.execute(update(titles).values(title="damaged", notes=99))
        tx.execute(insert(titles).values(notebook="invented", title="x", notes=1))
    write(filled, "2")
    told: list[tuple[int, int]] = []
    assert rebuild(filled, SHOWN, lambda done, all_: told.append((done, all_))) == 6
    assert rows(filled) == [("notebook-1", "title 1", 2), ("notebook-2", "title 2", 2)]
    assert told[-1] == (6, 6)
    assert run_once(filled, SHOWN) == 0
    write(filled, "3")
    assert run_once(filled, SHOWN) == 3
    assert rebuild(filled, SHOWN) == 9
    tables_now, indexes, unique, key = shape(filled)
    assert (tables_now, indexes, key) == (before[0], before[1], before[3])
    assert unique == before[2] or filled.database.dialect == "sqlite"


def test_a_rebuild_that_fails_leaves_the_old_rows(filled: EventStore) -> None:
    def broken(tx: Connection, record: Recorded) -> None:
        show(tx, record)
        if record.version == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rebuild(filled, replace(SHOWN, apply=broken))
    assert rows(filled) == [("notebook-1", "title 1", 2)]
    assert run_once(filled, SHOWN) == 0
    write(filled, "2")
    assert run_once(filled, SHOWN) == 3
    assert rebuild(filled, SHOWN) == 6


def test_a_rebuild_goes_on_where_it_stopped(filled: EventStore, small_pages: None) -> None:
    seen: list[int] = []

    def once_broken(tx: Connection, record: Recorded) -> None:
        seen.append(record.position)
        if seen.count(5) == 1 and record.position == 5:
            raise ZeroDivisionError
        show(tx, record)

    write(filled, "2")
    projection = replace(SHOWN, apply=once_broken)
    with pytest.raises(ZeroDivisionError):
        rebuild(filled, projection)
    assert standing(filled, projection)[2:] == (1, 4)
    assert rebuild(filled, projection) == 2
    assert seen == [1, 2, 3, 4, 5, 5, 6]
    assert rows(filled) == [("notebook-1", "title 1", 2), ("notebook-2", "title 2", 2)]
    assert standing(filled, projection) == (1, 6, None, 0)


def test_a_rebuild_of_another_version_begins_anew(filled: EventStore, small_pages: None) -> None:
    def broken(tx: Connection, record: Recorded) -> None:
        if record.position == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rebuild(filled, replace(SHOWN, apply=broken, version=2))
    assert rebuild(filled, replace(SHOWN, version=3)) == 3
    assert standing(filled, SHOWN).version == 3
    assert rows(filled) == [("notebook-1", "title 1", 2)]


def test_a_new_version_may_have_other_columns(filled: EventStore) -> None:
    other = MetaData()
    wider = Table(
        "notebook_titles",
        other,
        Column("notebook", String, primary_key=True),
        Column("length", Integer, index=True),
    )

    def measure(tx: Connection, record: Recorded) -> None:
        if isinstance(record.event, NotebookOpened):
            tx.execute(insert(wider).values(notebook=record.stream, length=len(record.event.title)))

    rebuild(filled, Projection("titles", other, measure, version=2))
    with filled.database.read() as tx:
        assert tx.execute(select(wider)).all() == [("notebook-1", 7)]


def test_readers_see_the_old_rows_until_the_rebuild_is_done(shared_place: Place) -> None:
    here = shared_place.store(shared_place.database())
    with here.database.write() as tx:
        tables.create_all(tx)
    write(here, "1")
    run_once(here, SHOWN)
    other, seen = shared_place.database(), []

    def look(tx: Connection, record: Recorded) -> None:
        show(tx, record)
        with other.read() as elsewhere:
            seen.append([tuple(row) for row in elsewhere.execute(select(titles))])

    rebuild(here, replace(SHOWN, apply=look))
    assert seen == [[("notebook-1", "title 1", 2)]] * 3
    other.close()
    here.database.close()


def test_effects_are_left_out_up_to_where_the_live_one_had_come(filled: EventStore) -> None:
    """And what it had not come to has them once, whoever comes to it."""
    letters: list[int] = []
    projection = replace(SHOWN, effects=lambda _, record: letters.append(record.position))
    write(filled, "2")
    rebuild(filled, projection)
    assert letters == [4, 5, 6]
    write(filled, "3")
    run_once(filled, projection)
    assert letters == [4, 5, 6, 7, 8, 9]
    rebuild(filled, projection)
    assert letters == [4, 5, 6, 7, 8, 9]


def test_a_read_model_ahead_of_a_restored_log_is_made_anew(filled: EventStore) -> None:
    with filled.database.write() as tx:
        tx.execute(text("update bookmarks set position = 4 where name = 'titles'"))
    with pytest.raises(Refused, match=r"bookmark\.ahead_of_log"):
        Bookmark(filled.database, "titles").position()
    with pytest.raises(Refused, match=r"bookmark\.ahead_of_log"):
        run_once(filled, SHOWN)
    assert rebuild(filled, SHOWN) == 3
    assert run_once(filled, SHOWN) == 0


def test_an_erased_person_is_erased_from_what_is_made_anew(filled: EventStore) -> None:
    seen: list[Any] = []

    def texts(_: Connection, record: Recorded) -> None:
        if isinstance(record.event, NoteTaken):
            seen.append(record.event.note.text)

    filled.keys.destroy("jobcenter", "p-1")
    rebuild(filled, Projection("texts", MetaData(), texts))
    assert [repr(text_) for text_ in seen] == ["ERASED", "ERASED"]


def test_statements_are_redirected_whoever_composed_them_and_values_are_not(filled: EventStore) -> None:
    by_hand = text("insert into notebook_titles (notebook, title, notes) values (:notebook, :title, 0)")

    def write_by_hand(tx: Connection, record: Recorded) -> None:
        if record.version == 1:
            tx.execute(by_hand, {"notebook": record.stream, "title": "notebook_titles"})

    rebuild(filled, replace(SHOWN, apply=write_by_hand))
    assert rows(filled) == [("notebook-1", "notebook_titles", 0)]


@pytest.mark.parametrize("fault", ["a column named like the table", "a foreign key"])
def test_a_read_model_that_could_not_be_redirected_is_refused(filled: EventStore, fault: str) -> None:
    bad = MetaData()
    if fault.startswith("a column"):
        Table("files", bad, Column("files", String, primary_key=True))
    else:
        Table("first", bad, Column("id", Integer, primary_key=True))
        Table("second", bad, Column("id", Integer, ForeignKey("first.id"), primary_key=True))
    with pytest.raises(TypeError, match="read model"):
        rebuild(filled, Projection("bad", bad, show))


class GoingOn:
    """Somebody who does the same again and again, with a store of their own, until told to stop."""

    def __init__(self, where: Place, action: Callable[[EventStore], object], pause: float) -> None:
        self._where, self._action, self._pause = where, action, pause
        self._stop = threading.Event()
        self.failed: list[Exception] = []
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        store = self._where.store(self._where.database())
        try:
            while not self._stop.wait(self._pause):
                self._action(store)
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failed.append(error)
        finally:
            store.database.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def a_command(store: EventStore) -> None:
    name = f"live-{uuid4()}"
    store.agency("jobcenter").change(Notebook, name, lambda n: n.open("y"), command_id=name)


def test_commands_keep_coming_and_both_are_right_afterwards(shared_place: Place) -> None:
    """The live projection and the writers go on; the bench does the same over a million events."""
    store = shared_place.store(shared_place.database())
    with store.database.write() as tx:
        counts.metadata.create_all(tx)
    seed(store, 20)
    others = [GoingOn(shared_place, a_command, 0.01), GoingOn(shared_place, lambda own: run_once(own, COUNTED), 0.002)]
    for _ in range(3):
        assert rebuild(store, COUNTED) >= 2000
    for other in others:
        other.stop()
    while run_once(store, COUNTED):
        pass
    assert [other.failed for other in others] == [[], []]
    assert counts_of(store) == counts_in_the_log(store)
    assert len(counts_of(store)) > 20
    store.database.close()


KILLS = 5


@pytest.mark.parametrize("kind", ["file", pytest.param("postgresql", marks=pytest.mark.real_postgres)])
def test_a_rebuild_killed_again_and_again_ends_right(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    with place(kind, tmp_path, url) as found:
        store = found.store(found.database())
        with store.database.write() as tx:
            counts.metadata.create_all(tx)
        seed(store, 60)
        right = counts_of(store)
        with store.database.write() as tx:
            tx.execute(update(counts).values(events=0))
        reached = []
        command = [sys.executable, "-m", "tests.support.counted", found.url, str(found.folder)]
        for _ in range(KILLS):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout
                for _ in range(3):
                    process.stdout.readline()
                process.send_signal(signal.SIGKILL)
            reached.append(standing(store, COUNTED).rebuilt_to)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        assert counts_of(store) == right
        assert sorted(reached) == reached, "a rebuild lost what it had"
        assert reached[-1] > 0
        store.database.close()


@pytest.mark.real_postgres
def test_a_rebuilt_table_keeps_the_rights_of_the_old_one(postgres_url: str, tmp_path: Path) -> None:
    with place("postgresql", tmp_path, postgres_url) as found:
        database = Database(found.url)
        store = found.store(database)
        with database.write() as tx:
            tables.create_all(tx)
            tx.exec_driver_sql("create role reader_of_titles")
            tx.exec_driver_sql("grant select, update on notebook_titles to reader_of_titles")
        try:
            write(store, "1")
            rebuild(store, SHOWN)
            with database.read() as tx:
                granted = text("select has_table_privilege('reader_of_titles', 'notebook_titles', :p)")
                assert [tx.execute(granted, {"p": right}).scalar() for right in ("select", "update", "delete")] == [
                    True,
                    True,
                    False,
                ]
        finally:
            with database.write() as tx:
                tx.exec_driver_sql("drop owned by reader_of_titles")
                tx.exec_driver_sql("drop role reader_of_titles")
            database.close()
