"""Read models show every event exactly once, whatever breaks, in the version that is in use, and forget a person."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, update

from shared.domain import ERASED, Recorded
from shared.errors import Unavailable
from shared.eventstore import (
    Bookmark,
    EventStore,
    Projection,
    catch_up,
    erase_person,
    rebuild,
    rebuilding,
    run_once,
    standing,
)
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


def test_a_newer_version_waits_until_it_was_rebuilt(filled: EventStore) -> None:
    run_once(filled, SHOWN)
    write(filled, "2")
    newer = replace(SHOWN, version=2)
    with pytest.raises(Unavailable, match=r"projection\.outdated"):
        run_once(filled, newer)
    with pytest.raises(Unavailable, match=r"projection\.outdated"):
        catch_up(filled, newer)
    assert standing(filled, newer).version == 1
    assert run_once(filled, SHOWN) == 3


def test_an_older_version_leaves_the_newer_rows_to_those_who_know_them(filled: EventStore) -> None:
    run_once(filled, SHOWN)
    newer = replace(SHOWN, version=2)
    rebuild(filled, newer)
    write(filled, "2")
    assert run_once(filled, SHOWN) == 0
    with pytest.raises(Unavailable, match=r"projection\.behind"):
        catch_up(filled, SHOWN, seconds=0.1)
    later = threading.Timer(0.1, run_once, (filled, newer))
    later.start()
    catch_up(filled, SHOWN)
    later.join()
    assert rows(filled)[1] == ("notebook-2", "title 2", 2)


def test_a_read_model_that_nobody_filled_is_of_the_version_that_begins(filled: EventStore) -> None:
    newer = replace(SHOWN, version=7)
    assert standing(filled, newer).version == 0
    assert run_once(filled, newer) == 3
    assert standing(filled, newer).version == 7


def test_an_event_has_its_effects_once(filled: EventStore) -> None:
    letters: list[int] = []
    with_effects = replace(SHOWN, effects=lambda _, record: letters.append(record.position))
    run_once(filled, with_effects)
    run_once(filled, with_effects)
    assert letters == [1, 2, 3]


TEXTS = MetaData()
note_texts = Table(
    "note_texts", TEXTS, Column("position", Integer, primary_key=True), Column("person", String), Column("text", String)
)


def keep_text(tx: Connection, record: Recorded) -> None:
    if isinstance(record.event, NoteTaken):
        note = record.event.note
        said = None if note.text == ERASED else note.text
        tx.execute(insert(note_texts).values(position=record.position, person=note.person_id, text=said))


def erase_text(tx: Connection, _agency: str, person_id: str) -> None:
    tx.execute(update(note_texts).where(note_texts.c.person == person_id).values(text=None))


WORDS = Projection("texts", TEXTS, keep_text, erase=erase_text)


def texts(store: EventStore) -> list[str | None]:
    with store.database.read() as tx:
        return list(tx.execute(select(note_texts.c.text).order_by(note_texts.c.position)).scalars())


@pytest.fixture
def worded(filled: EventStore) -> EventStore:
    with filled.database.write() as tx:
        TEXTS.create_all(tx)
    run_once(filled, WORDS)
    assert texts(filled) == ["a", "b"]
    return filled


def test_an_erasure_reaches_the_rows_at_once(worded: EventStore) -> None:
    erase_person(worded, [SHOWN, WORDS], "jobcenter", "p-1")
    assert texts(worded) == [None, None]
    erase_person(worded, [SHOWN, WORDS], "jobcenter", "p-1")
    run_once(worded, WORDS)
    assert texts(worded) == [None, None]


def test_whoever_read_before_an_erasure_writes_nothing_after_it(worded: EventStore, monkeypatch: Any) -> None:
    """The page was read and opened, then the person is erased, then the page is written."""
    worded.agency("jobcenter").change(Notebook, "2", lambda n: n.take("p-1", "late"), command_id="c")
    follow = worded.follow

    def and_erased_meanwhile(after: int, limit: int = 500) -> Any:
        page = follow(after, limit)
        monkeypatch.setattr(worded, "follow", follow)
        erase_person(worded, [WORDS], "jobcenter", "p-1")
        return page

    monkeypatch.setattr(worded, "follow", and_erased_meanwhile)
    assert run_once(worded, WORDS) == 1
    assert texts(worded) == [None, None, None]


def test_an_erasure_reaches_a_rebuild_under_way(worded: EventStore) -> None:
    def stops_before_the_last(tx: Connection, record: Recorded) -> None:
        if record.stream == "notebook-9":
            raise ZeroDivisionError
        keep_text(tx, record)

    rebuilding.PAGE, page = 2, rebuilding.PAGE
    try:
        worded.agency("jobcenter").change(Notebook, "9", lambda n: n.take("p-2", "c"), command_id="c")
        with pytest.raises(ZeroDivisionError):
            rebuild(worded, replace(WORDS, apply=stops_before_the_last))
        erase_person(worded, [WORDS], "jobcenter", "p-1")
        assert rebuild(worded, WORDS) < 4, "it went on where it had stopped"
    finally:
        rebuilding.PAGE = page
    assert texts(worded) == [None, None, "c"]
