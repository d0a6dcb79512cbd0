"""A log, a counter and bookmarks from different times are noticed before they do harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from shared.errors import Refused, Unavailable
from shared.eventstore import Bookmark, EventStore
from shared.eventstore.restored import _CHECKED
from shared.migrate import migrate
from tests.support.notebook import Notebook
from tests.support.stores import Place, fresh_database


@pytest.fixture
def restored(postgres_url: str, tmp_path: Path) -> Iterator[EventStore]:
    """Five events; the counter is that of an older backup."""
    with fresh_database(postgres_url) as url:
        migrate("consent", url)
        store = Place(url, tmp_path).store(Place(url, tmp_path).database())
        for number in range(5):
            note(store, str(number))
        store.settled()
        with store.database.direct() as direct:
            direct.rows("select setval(pg_get_serial_sequence('events', 'position'), 2)")
        store.database.close()
        yield store
        store.database.close()


def note(store: EventStore, name: str) -> int:
    return store.agency("jobcenter").create(Notebook, name, lambda n: n.open("x"), command_id="c").position


@pytest.mark.real_postgres
def test_nothing_is_appended_where_readers_have_passed_long_ago(restored: EventStore) -> None:
    with pytest.raises(Unavailable, match=r"log\.counter_behind.*handschlag migrate"):
        note(restored, "lost")
    with pytest.raises(Unavailable, match=r"log\.counter_behind"), restored.database.write() as tx:
        restored.agency("jobcenter").change(Notebook, "6", lambda n: n.open("x"), command_id="c", tx=tx)
    assert restored.position() == 5


@pytest.mark.real_postgres
def test_a_position_that_is_taken_is_not_taken_for_a_conflict(restored: EventStore) -> None:
    """As where the counter was set back under a connection that had asked before."""
    for texts in (["x"], ["x", "y"]):
        with restored.database.write() as tx:
            tx.info[_CHECKED] = True
            with pytest.raises(Unavailable, match=r"log\.counter_behind"):
                _take(restored, texts, tx)


def _take(store: EventStore, texts: list[str], tx: Connection) -> None:
    store.agency("jobcenter").change(Notebook, "6", lambda n: n.take("p", *texts), command_id="c", tx=tx)


@pytest.mark.real_postgres
@pytest.mark.parametrize("seen", ["settled", "bookmarks"])
def test_the_migration_moves_the_counter_beyond_all_that_was_seen(restored: EventStore, seen: str) -> None:
    with restored.database.write() as tx:
        if seen == "settled":
            tx.execute(text("update settled set position = 9"))
        else:
            tx.execute(text("insert into bookmarks (name, position) values ('relay', 9)"))
    migrate("consent", restored.database.url.render_as_string(hide_password=False))
    assert note(restored, "6") == 10
    assert [record.position for record in restored.follow(5)] == [10]
    migrate("consent", restored.database.url.render_as_string(hide_password=False))
    assert note(restored, "7") == 11


def test_a_bookmark_behind_the_end_of_the_log_is_refused(store: EventStore) -> None:
    position = note(store, "1")
    with store.database.write() as tx:
        Bookmark(store.database, "relay").move(tx, position + 1)
    with pytest.raises(Refused, match=r"bookmark\.ahead_of_log.*rebuild from the start"):
        Bookmark(store.database, "relay").position()


def test_a_bookmark_of_another_log_is_refused_although_this_one_has_grown_beyond_it(store: EventStore) -> None:
    positions = [note(store, str(number)) for number in range(3)]
    bookmark = Bookmark(store.database, "relay")
    with store.database.write() as tx:
        bookmark.move(tx, positions[1])
        assert bookmark.locked(tx) == positions[1]
    assert bookmark.position() == positions[1]
    with store.database.write() as tx:
        tx.execute(text("update bookmarks set event_id = '018f0000-0000-7000-8000-000000000000'"))
    with pytest.raises(Refused, match=r"bookmark\.other_log"):
        bookmark.position()
    with store.database.write() as tx:
        bookmark.move(tx, 0)
    assert bookmark.position() == 0
