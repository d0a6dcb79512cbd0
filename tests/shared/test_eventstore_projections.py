"""Read models show every event exactly once, whatever breaks, and can be made anew from the log."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text, update

from shared.domain import Recorded
from shared.errors import Refused, Unavailable
from shared.eventstore import Bookmark, EventStore, Projection, catch_up, rebuild, run_once
from tests.support.notebook import Notebook, NotebookOpened, NoteTaken
from tests.support.stores import Place, place, rolled_back

tables = MetaData()
titles = Table(
    "notebook_titles",
    tables,
    Column("notebook", String, primary_key=True),
    Column("title", String),
    Column("notes", Integer, nullable=False, default=0),
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
def filled(store: EventStore) -> EventStore:
    with store.database.write() as tx:
        tables.create_all(tx)
    write(store, "1")
    return store


def write(store: EventStore, name: str) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, name, lambda n: n.open(f"title {name}"), command_id="open")
    agency.change(Notebook, name, lambda n: n.take("p-1", "a", "b"), command_id="take")


def rows(store: EventStore) -> Any:
    with store.database.read() as tx:
        return [tuple(row) for row in tx.execute(select(titles).order_by(titles.c.notebook))]


def test_a_read_model_is_filled_and_then_has_caught_up(filled: EventStore) -> None:
    assert run_once(filled, SHOWN) == 3
    assert run_once(filled, SHOWN) == 0
    assert rows(filled) == [("notebook-1", "title 1", 2)]
    write(filled, "2")
    assert run_once(filled, SHOWN, limit=2) == 2
    assert run_once(filled, SHOWN, limit=2) == 1
    assert rows(filled)[1] == ("notebook-2", "title 2", 2)


def test_a_reader_that_must_know_everything_catches_up_first(filled: EventStore) -> None:
    catch_up(filled, SHOWN)
    for number in range(2, 5):
        write(filled, str(number))
    catch_up(filled, SHOWN)
    catch_up(filled, SHOWN)
    assert [row[2] for row in rows(filled)] == [2, 2, 2, 2]


@pytest.mark.real_postgres
def test_catching_up_waits_for_what_was_committed_behind_an_open_transaction(postgres_url: str, tmp_path: Path) -> None:
    """A withdrawal that was committed must count, even while an older transaction holds the order open."""
    with place("postgresql", tmp_path, postgres_url) as found:
        store = found.store(found.database())
        with store.database.write() as tx:
            tables.create_all(tx)
        with store.database.write() as slow:
            store.agency("jobcenter").change(Notebook, "slow", lambda n: n.open("x"), command_id="c", tx=slow)
            store.agency("jobcenter").change(Notebook, "quick", lambda n: n.open("y"), command_id="c")
            with pytest.raises(Unavailable, match=r"projection\.behind"):
                catch_up(store, SHOWN, seconds=0.1)
            later = threading.Thread(target=catch_up, args=(store, SHOWN))
            later.start()
            time.sleep(0.1)
        later.join()
        assert rows(store) == [("notebook-quick", "y", 0), ("notebook-slow", "x", 0)]
        store.database.close()


def test_a_page_that_fails_leaves_no_trace_and_comes_again(filled: EventStore) -> None:
    def fails_on_notes(tx: Connection, record: Recorded) -> None:
        show(tx, record)
        if isinstance(record.event, NoteTaken):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_once(filled, Projection("titles", tables, fails_on_notes))
    assert rows(filled) == []
    assert Bookmark(filled.database, "titles").position() == 0
    assert run_once(filled, SHOWN) == 3
    assert rows(filled) == [("notebook-1", "title 1", 2)]


def test_two_processes_with_the_same_projection_do_not_count_twice(shared_place: Place) -> None:
    stores = [shared_place.store(shared_place.database()) for _ in range(2)]
    with stores[0].database.write() as tx:
        tables.create_all(tx)
    for number in range(10):
        write(stores[0], str(number))
    together, failed = threading.Barrier(2), []

    def project(store: EventStore) -> None:
        together.wait()
        try:
            for _ in range(15):
                run_once(store, SHOWN, limit=2)
        except Exception as error:  # noqa: BLE001 - the test shows it
            failed.append(error)

    threads = [threading.Thread(target=project, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while run_once(stores[0], SHOWN):
        pass
    assert failed == []
    assert rows(stores[0]) == [(f"notebook-{number}", f"title {number}", 2) for number in range(10)]
    for store in stores:
        store.database.close()


def test_a_read_model_is_rebuilt_from_the_start(filled: EventStore) -> None:
    run_once(filled, SHOWN)
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


def test_a_rebuild_that_fails_leaves_the_old_rows(filled: EventStore) -> None:
    run_once(filled, SHOWN)

    def broken(tx: Connection, record: Recorded) -> None:
        show(tx, record)
        if record.version == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rebuild(filled, Projection("titles", tables, broken))
    assert rows(filled) == [("notebook-1", "title 1", 2)]
    assert run_once(filled, SHOWN) == 0
    assert rebuild(filled, SHOWN) == 3


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

    rebuild(here, Projection("titles", tables, look))
    assert seen == [[("notebook-1", "title 1", 2)]] * 3
    other.close()
    here.database.close()


def test_after_an_erasure_a_rebuilt_read_model_knows_nothing(filled: EventStore) -> None:
    seen: list[Any] = []

    def texts(_: Connection, record: Recorded) -> None:
        if isinstance(record.event, NoteTaken):
            seen.append(record.event.note.text)

    filled.keys.destroy("jobcenter", "p-1")
    rebuild(filled, Projection("texts", MetaData(), texts))
    assert [repr(text_) for text_ in seen] == ["ERASED", "ERASED"]


def test_a_bookmark_moves_with_its_transaction(store: EventStore) -> None:
    bookmark = Bookmark(store.database, "relay")
    assert bookmark.position() == 0
    write(store, "1")
    with rolled_back(store.database) as tx:
        bookmark.move(tx, 2)
    assert bookmark.position() == 0
    with store.database.write() as tx:
        bookmark.move(tx, 2)
        assert bookmark.position(tx) == 2
    assert Bookmark(store.database, "relay").position() == 2
    assert Bookmark(store.database, "another").position() == 0


def test_a_bookmark_ahead_of_the_log_stops_its_reader(filled: EventStore) -> None:
    """The log was restored from a backup and is shorter than what was read already."""
    with filled.database.write() as tx:
        tx.execute(text("insert into bookmarks (name, position) values ('titles', 4)"))
    with pytest.raises(Refused, match=r"bookmark\.ahead_of_log"):
        Bookmark(filled.database, "titles").position()
    with pytest.raises(Refused, match=r"bookmark\.ahead_of_log"):
        run_once(filled, SHOWN)
    assert rebuild(filled, SHOWN) == 3
    assert run_once(filled, SHOWN) == 0
