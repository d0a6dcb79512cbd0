"""Appends of many callers share one commit, and each caller still gets the answer that is his."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from shared.database import Database
from shared.direct import Direct, unavailable
from shared.domain import Receipt, Recorded
from shared.errors import Conflict, Refused, Unavailable
from shared.eventstore import EventStore
from shared.eventstore.codec import Draft
from shared.eventstore.log import Append, Log, Stream
from shared.eventstore.store import uuid7
from tests.support.cable import Cable
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.stores import Place, place

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Gate:
    """Holds the writers up until it is opened, and notes how many appends each statement carried."""

    def __init__(self, store: EventStore) -> None:
        self._real = store.appender._log
        self._appender = store.appender
        self.sizes: list[int] = []
        self.opened = threading.Event()
        store.appender._log = self  # type: ignore[assignment]

    def append_all(self, direct: Direct, appends: list[Append]) -> Any:
        self.opened.wait(10)
        self.sizes.append(len(appends))
        return self._real.append_all(direct, appends)

    def open_when(self, waiting: int) -> None:
        until = time.monotonic() + 10
        while len(self._appender._commits._waiting) < waiting:
            assert time.monotonic() < until
            time.sleep(0.001)
        self.opened.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def whole_log(store: EventStore) -> list[Recorded]:
    found: list[Recorded] = []
    while page := store.follow(found[-1].position if found else 0):
        found += page
    return found


def writers(store: EventStore) -> int:
    return 1 if store.database.dialect == "sqlite" else 2


def append(version: int, *, stream: str = "1", expected: int = 0, events: int = 1) -> Append:
    drafts = [
        Draft(number, "NotebookOpened", 1, '{"title":"x"}', '{"command":"c"}', uuid7(NOW))
        for number in range(version, version + events)
    ]
    return Append(Stream("a", "notebook", f"notebook-{stream}"), expected, drafts, NOW)


def answers(found: list[Future[Any]]) -> list[Any]:
    return [type(each.exception()) if each.exception() else each.result() for each in found]


def held_up(store: EventStore, pool: ThreadPoolExecutor, appends: list[Append]) -> tuple[list[Any], list[int]]:
    """What each is answered when all but the first ones had to wait, and how many each statement carried."""
    gate = Gate(store)
    busy = [pool.submit(store.appender.append, append(1, stream=f"busy-{n}")) for n in range(writers(store))]
    until = time.monotonic() + 10
    while store.appender._commits._free and time.monotonic() < until:
        time.sleep(0.001)
    found = [pool.submit(store.appender.append, one) for one in appends]
    gate.open_when(len(appends))
    told = answers(found)
    answers(busy)
    return told, gate.sizes


def test_those_who_wait_share_one_statement(store: EventStore, threads: ThreadPoolExecutor) -> None:
    told, sizes = held_up(store, threads, [append(1, stream=str(number)) for number in range(20)])
    assert all(isinstance(position, int) for position in told)
    assert len(set(told)) == 20
    assert sorted(sizes) == [1] * writers(store) + [20]
    assert len(store.follow(0)) == 20 + writers(store)


def test_each_of_them_gets_the_answer_that_is_his(store: EventStore, threads: ThreadPoolExecutor) -> None:
    """A conflict, a missing predecessor and decisions of several events between those that succeed."""
    store.appender.append(append(1, stream="there"))
    single = [append(1, stream="new"), append(1, stream="there"), append(3, stream="there", expected=2)]
    told, _ = held_up(store, threads, [*single, append(2, stream="there", expected=1)])
    assert [isinstance(position, int) for position in told] == [True, False, False, True]
    several = [append(1, stream="many", events=3), append(2, stream="there", expected=1, events=2)]
    told, _ = held_up(
        store, threads, [*several, append(1, stream="z"), append(3, stream="there", expected=2, events=2)]
    )
    assert [isinstance(position, int) for position in told] == [True, False, True, True]
    with store.database.direct() as direct:
        lengths = [len(store.log.stream(direct, "a", f"notebook-{name}")) for name in ("there", "many", "new", "z")]
    assert lengths == [4, 3, 1, 1]


def test_of_two_who_write_at_the_same_place_one_succeeds(store: EventStore, threads: ThreadPoolExecutor) -> None:
    told, _ = held_up(store, threads, [append(1, stream="same") for _ in range(5)])
    assert [isinstance(position, int) for position in told].count(True) == 1


def test_what_the_database_refuses_is_told_to_whom_it_concerns(store: EventStore, threads: ThreadPoolExecutor) -> None:
    told, _ = held_up(store, threads, [append(1, stream="a"), append(0, stream="b"), append(1, stream="c")])
    assert isinstance(told[0], int)
    assert isinstance(told[2], int)
    assert issubclass(told[1], Exception)
    assert not issubclass(told[1], Unavailable)


def test_when_the_commit_breaks_nobody_is_told_that_it_was_made(
    store: EventStore, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise unavailable()

    monkeypatch.setattr(store.appender._log, "append_all", breaks)
    told, _ = held_up(store, threads, [append(1, stream=str(number)) for number in range(3)])
    assert told == [Unavailable] * 3
    assert store.position() == 0


def test_many_at_once_lose_nothing_and_conflicts_are_decided_anew(store: EventStore) -> None:
    """Forty callers on ten notebooks, some by one event and some by three."""
    agency = store.agency("jobcenter")
    agency.change(Notebook, "key", lambda n: n.take("p-1", "made"), command_id="c")

    def once(name: str, texts: list[str]) -> Receipt:
        while True:
            with contextlib.suppress(Conflict):
                return agency.change(Notebook, name, lambda n: n.take("p-1", *texts), command_id=texts[0])

    def work(caller: int) -> list[Receipt]:
        chance = random.Random(caller)
        return [
            once(str(chance.randrange(10)), [f"{caller}-{turn}-{number}" for number in range(chance.choice([1, 3]))])
            for turn in range(6)
        ]

    with ThreadPoolExecutor(40) as pool:
        receipts = [receipt for found in pool.map(work, range(40)) for receipt in found]
    written = {record.command_id for record in whole_log(store)} - {"c"}
    assert len(written) == len(receipts) == 240
    assert len({receipt.position for receipt in receipts}) == 240


# --- creating -----------------------------------------------------------------------------------------------------


def test_a_creating_command_reads_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.log, "past", None)
    receipt = store.agency("jobcenter").create(Notebook, "1", lambda n: n.open("x"), command_id="c")
    assert receipt == Receipt("notebook-1", 1, receipt.position)


def test_a_creating_command_that_comes_twice_gets_its_first_receipt(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    first = agency.create(Notebook, "1", lambda n: n.open("x"), command_id="c")
    agency.change(Notebook, "1", lambda n: n.take("p-1", "y"), command_id="d")
    assert agency.create(Notebook, "1", lambda n: n.open("x"), command_id="c") == first
    with store.database.write() as tx:
        assert agency.create(Notebook, "1", lambda n: n.open("x"), command_id="c", tx=tx) == first
        fresh = agency.create(Notebook, "2", lambda n: n.open("x"), command_id="c", tx=tx)
        assert agency.create(Notebook, "2", lambda n: n.open("x"), command_id="c", tx=tx) == fresh
    assert agency.load(Notebook, "1")[1] == 2


def test_where_something_stands_already_a_creating_command_is_decided_on_that(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    agency.create(Notebook, "1", lambda n: n.open("x"), command_id="c")
    with pytest.raises(Refused, match=r"notebook\.open_already"):
        agency.create(Notebook, "1", lambda n: n.open("x"), command_id="d")
    assert agency.create(Notebook, "1", lambda n: n.take("p-1", n.title), command_id="e").version == 2
    assert agency.load(Notebook, "1")[0].texts == ("x",)
    assert agency.create(Notebook, "3", lambda _: [], command_id="f") == Receipt("notebook-3", 0, 0)


# --- a connection that is cut -------------------------------------------------------------------------------------


@pytest.mark.real_postgres
def test_a_command_whose_answer_was_lost_happens_once(postgres_url: str, tmp_path: Path) -> None:
    """The commit was made, the connection broke before anybody heard of it."""
    with place("postgresql", tmp_path, postgres_url) as found:
        store = found.store(found.database())
        real, lost = Log.append_all, []

        def answer_is_lost(log: Log, direct: Direct, appends: Any) -> Any:
            positions = real(log, direct, appends)
            if not lost:
                lost.append(positions)
                raise unavailable()
            return positions

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Log, "append_all", answer_is_lost)
            created = store.agency("a").create(Notebook, "1", lambda n: n.open("x"), command_id="c")
            lost.clear()
            changed = store.agency("a").change(Notebook, "1", lambda n: n.take("p", "x", "y"), command_id="d")
        assert (created.version, changed.version) == (1, 3)
        assert len(store.follow(0)) == 3
        store.database.close()


@pytest.mark.real_postgres
def test_a_connection_that_is_cut_again_and_again_costs_no_command(postgres_url: str, tmp_path: Path) -> None:
    with place("postgresql", tmp_path, postgres_url) as found:
        where = make_url(found.url)
        cable = Cable(str(where.host), int(where.port or 5432))
        through = where.set(host="127.0.0.1", port=cable.port).render_as_string(hide_password=False)
        store = Place(through, tmp_path).store(Database(through))
        given: list[tuple[str, Receipt]] = []
        stop = threading.Event()
        callers = [threading.Thread(target=_persist, args=(store, number, stop, given)) for number in range(8)]
        for caller in callers:
            caller.start()
        chance = random.Random(2026)
        for _ in range(25):
            time.sleep(chance.random() * 0.05)
            cable.cut()
            cable.mend()
        stop.set()
        for caller in callers:
            caller.join()
        store.database.close()
        direct = found.store(found.database())
        records = {(record.stream, record.version): record for record in whole_log(direct)}
        commands = [record.command_id for record in records.values()]
        assert len(set(commands)) == len(commands) == len(given)
        for command_id, receipt in given:
            assert records[receipt.stream, receipt.version].command_id == command_id
            assert records[receipt.stream, receipt.version].position == receipt.position
        direct.database.close()
        cable.cut()


def _persist(store: EventStore, caller: int, stop: threading.Event, given: list[tuple[str, Receipt]]) -> None:
    """One command after the other, each sent until it is answered, as a client does."""
    agency, turn = store.agency("a"), 0
    while not stop.is_set():
        turn += 1
        command_id, name = f"{caller}-{turn}", f"{caller}-{turn // 5}"
        send = agency.create if turn % 5 == 0 else agency.change
        given.append((command_id, _until_answered(send, name, command_id)))


def _until_answered(send: Any, name: str, command_id: str) -> Receipt:
    while True:
        try:
            receipt: Receipt = send(Notebook, name, lambda _: [NotebookOpened(title="x")], command_id=command_id)
        except Unavailable:
            time.sleep(0.005)
        else:
            return receipt
