"""Whoever follows the log misses nothing and gets every stream in its order, however late others commit."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from shared.database import Database
from shared.domain import Recorded
from shared.errors import Conflict
from shared.eventstore import EventStore, create_all
from shared.eventstore.settling import SettledByLocks
from tests.support.notebook import Notebook
from tests.support.stores import Place, fresh_database, place, rolled_back

pytestmark = pytest.mark.real_postgres


@pytest.fixture
def pg(postgres_url: str, tmp_path: Path) -> Iterator[Place]:
    with place("postgresql", tmp_path, postgres_url) as found:
        yield found


@pytest.fixture
def store(pg: Place) -> Iterator[EventStore]:
    database = pg.database()
    made = pg.store(database)
    with database.write() as tx:
        for number in range(3):
            made.keys.seal("jobcenter", f"p-{number}", b"", b"", tx)
    yield made
    database.close()


def note(store: EventStore, name: str, tx: Connection | None = None, command_id: str = "c") -> int:
    change = store.agency("jobcenter").change
    return change(Notebook, name, lambda n: n.open("x"), command_id=command_id, tx=tx).position


def positions(records: list[Recorded]) -> list[int]:
    return [record.position for record in records]


def test_an_event_behind_an_open_transaction_waits_for_it(store: EventStore) -> None:
    with store.database.write() as slow:
        first = note(store, "slow", slow)
        second = note(store, "quick")
        assert store.follow(0) == []
        assert store.settled() < first
        assert not store.wait(0, 0)
    assert positions(store.follow(0)) == [first, second]
    assert store.settled() == second


def test_a_hole_that_was_rolled_back_is_passed(store: EventStore) -> None:
    with rolled_back(store.database) as slow:
        note(store, "slow", slow)
        second = note(store, "quick")
        assert store.follow(0) == []
    assert positions(store.follow(0)) == [second]


def test_what_stands_before_the_hole_is_delivered_at_once(store: EventStore) -> None:
    first = note(store, "1")
    with store.database.write() as slow:
        second = note(store, "slow", slow)
        third = note(store, "quick")
        assert positions(store.follow(0)) == [first]
        assert store.follow(first) == []
    assert positions(store.follow(first)) == [second, third]


def test_transactions_that_began_after_the_page_are_not_waited_for(store: EventStore) -> None:
    with store.database.write() as slow:
        first = note(store, "slow", slow)
        second = note(store, "quick")
        assert store.follow(0) == []
        later = store.database.write()
        tx = later.__enter__()
        third = note(store, "later", tx)
        slow.commit()
        assert positions(store.follow(0)) == [first, second]
        later.__exit__(None, None, None)
    assert positions(store.follow(second)) == [third]


def test_a_reader_far_ahead_of_what_this_process_knows_starts_there(store: EventStore, pg: Place) -> None:
    last = [note(store, str(number)) for number in range(10)][-2]
    other = pg.store(store.database)
    assert positions(other.follow(last)) == [last + 1]


def test_a_reader_that_asks_for_the_future_spoils_nothing_for_others(store: EventStore) -> None:
    assert store.follow(10**12) == []
    with store.database.write() as slow:
        first = note(store, "slow", slow)
        second = note(store, "quick")
        assert store.follow(0) == []
    assert positions(store.follow(0)) == [first, second]


def test_a_reader_who_is_overtaken_by_another_still_gets_its_events(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rolled_back(store.database) as failing:
        note(store, "1", failing)
    log = store.database.once(SettledByLocks)._log
    last, page = note(store, "2"), log.marked_page

    def overtaken(*arguments: Any) -> Any:
        rows = page(*arguments)
        store.settled()
        return rows

    monkeypatch.setattr(log, "marked_page", overtaken)
    assert positions(store.follow(0)) == [last]


def test_a_long_read_or_another_database_stalls_nobody(store: EventStore, postgres_url: str, tmp_path: Path) -> None:
    with store.database.read() as report:
        report.execute(text("select count(*) from events"))
        first = note(store, "1")
        with rolled_back(store.database) as failing:
            note(store, "2", failing)
        last = note(store, "3")
        with fresh_database(postgres_url) as url:
            elsewhere = Database(url)
            create_all(elsewhere)
            with elsewhere.write() as tx:
                note(Place(url, tmp_path).store(elsewhere), "1", tx)
                assert positions(store.follow(0)) == [first]
                assert positions(store.follow(first)) == [last]
            elsewhere.close()


def test_readers_of_a_busy_log_miss_nothing_and_keep_every_stream_in_order(store: EventStore, pg: Place) -> None:
    """Twelve writers with slow commits, rollbacks and writes before the append, as consumers of messages do."""
    writers, quiet, other = Writers(store), threading.Event(), pg.store(store.database)
    readers = [
        Reader(lambda after: positions_and_versions(store.follow(after)), quiet),
        Reader(lambda after: positions_and_versions(store.follow(after, limit=7)), quiet),
        Reader(lambda after: positions_and_versions(other.follow(after, limit=50)), quiet),
    ]
    naive = Reader(lambda after: _plain_bookmark(store, after), quiet)
    for reader in (*readers, naive):
        reader.start()
    committed = writers.run_until(600)
    quiet.set()
    for reader in (*readers, naive):
        reader.join()
    for reader in readers:
        if reader.failed is not None:
            raise reader.failed
        assert committed - set(reader.seen) == set()
        assert sorted(reader.seen) == reader.seen
        assert reader.out_of_order() == 0
    assert committed - set(naive.seen), "a plain bookmark would have done: the load was too light to prove anything"


class Writers:
    """Twelve threads, one transaction after the other."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._stop = threading.Event()
        self._committed: set[int] = set()

    def run_until(self, enough: int) -> set[int]:
        """The positions of (at least) that many changes that were committed."""
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        while len(self._committed) < enough and time.monotonic() < until:
            time.sleep(0.05)
        self._stop.set()
        for thread in threads:
            thread.join()
        assert len(self._committed) >= enough
        return self._committed

    def _write(self, number: int) -> None:
        chance = random.Random(number)
        for turn in count():
            if self._stop.is_set():
                return
            opening = rolled_back if chance.random() < 0.1 else Database.write
            try:
                with opening(self._store.database) as tx:
                    position = _slow_change(self._store, tx, chance, f"{number}-{turn}")
            except Conflict:
                continue
            if opening is Database.write:
                self._committed.add(position)


def _slow_change(store: EventStore, tx: Connection, chance: random.Random, command_id: str) -> int:
    if chance.random() < 0.3:
        tx.execute(text("insert into inbox values (:id, :id, 0)"), {"id": command_id})
        time.sleep(chance.random() * 0.01)
    name, person = str(chance.randrange(24)), f"p-{chance.randrange(3)}"
    receipt = store.agency("jobcenter").change(
        Notebook, name, lambda n: n.take(person, *["x"] * chance.choice([1, 1, 1, 3])), command_id=command_id, tx=tx
    )
    time.sleep(chance.random() * 0.02)
    return receipt.position


def positions_and_versions(records: list[Recorded]) -> list[tuple[int, str, int]]:
    return [(record.position, record.stream, record.version) for record in records]


def _plain_bookmark(store: EventStore, after: int) -> list[Any]:
    with store.database.read() as tx:
        statement = "select position, stream, version from events where position > :after order by position limit 500"
        return [tuple(row) for row in tx.execute(text(statement), {"after": after})]


class Reader(threading.Thread):
    """Follows until the writers are quiet and nothing more comes."""

    def __init__(self, follow: Callable[[int], list[Any]], quiet: threading.Event) -> None:
        super().__init__()
        self._follow = follow
        self._quiet = quiet
        self.rows: list[tuple[int, str, int]] = []
        self.failed: Exception | None = None

    @property
    def seen(self) -> list[int]:
        return [row[0] for row in self.rows]

    def run(self) -> None:
        try:
            while True:
                ending = self._quiet.is_set()
                page = self._follow(self.rows[-1][0] if self.rows else 0)
                self.rows += page
                if not page and ending:
                    return
                if not page:
                    time.sleep(0.003)
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failed = error

    def out_of_order(self) -> int:
        last: dict[str, int] = {}
        wrong = 0
        for _, stream, version in self.rows:
            wrong += version != last.get(stream, 0) + 1
            last[stream] = version
        return wrong
