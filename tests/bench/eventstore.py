"""How fast the event store is, beside the limit of the database and beside the library `eventsourcing`, in one run.

    python -m tests.bench.eventstore [--seconds 1] [--runs 3]

Everything is durable: PostgreSQL with fsync and synchronous_commit, SQLite in WAL with synchronous=FULL. The cases
take turns, medians count, and only ratios within one run mean anything: the rates depend on the machine of the day.
The peer is measured when it is installed (requirements/bench).
"""

import argparse
import contextlib
import importlib.util
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from shared.eventstore import AgencyStore, EventStore
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.servers import private_postgres
from tests.support.stores import Place, place

TEXT = "x" * 400
PEER = importlib.util.find_spec("eventsourcing") is not None
Case = Callable[[float], float]


@dataclass(frozen=True)
class Result:
    """The median rate of one case, and its ratio to the limit of its group."""

    group: str
    name: str
    rate: float
    ratio: float


def rate(operation: Callable[[], int], seconds: float, callers: int = 1) -> float:
    """How many things per second `operation` does, asked by that many threads."""
    done, end = [0] * callers, time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            done[number] += operation()

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


# --- our cases ----------------------------------------------------------------------------------------------------


def create(agency: AgencyStore) -> Callable[[], int]:
    """One event in a new stream."""

    def operation() -> int:
        agency.change(Notebook, uuid4().hex, lambda n: n.open(TEXT), command_id="c")
        return 1

    return operation


def create_sealed(agency: AgencyStore) -> Callable[[], int]:
    """The same with a personal field, sealed."""

    def operation() -> int:
        agency.change(Notebook, uuid4().hex, lambda n: n.take("p-1", TEXT), command_id="c")
        return 1

    return operation


def change_ten(agency: AgencyStore) -> Callable[[], int]:
    """One more event in a stream of about ten."""
    numbers = count()

    def operation() -> int:
        number = next(numbers)
        agency.change(Notebook, f"ten-{number // 10}", lambda _: [NotebookOpened(title=TEXT)], command_id=f"c-{number}")
        return 1

    return operation


def append_hundred(agency: AgencyStore) -> Callable[[], int]:
    """A hundred events in one decision; counts events."""
    events = [NotebookOpened(title=TEXT)] * 100

    def operation() -> int:
        agency.change(Notebook, uuid4().hex, lambda _: events, command_id="c")
        return 100

    return operation


def rebuild_hundred(agency: AgencyStore) -> Callable[[], int]:
    """Load an aggregate of a hundred events."""
    events = [NotebookOpened(title=TEXT)] * 100
    agency.change(Notebook, "hundred", lambda _: events, command_id="c")

    def operation() -> int:
        agency.load(Notebook, "hundred")
        return 1

    return operation


def follow(store: EventStore) -> Callable[[], int]:
    """Read the log from its start, as domain events; counts events."""
    for number in range(50):
        events = [NotebookOpened(title=TEXT)] * 100
        store.agency("bench").change(Notebook, f"log-{number}", lambda _, e=events: e, command_id="c")  # type: ignore[misc]

    def operation() -> int:
        seen, after = 0, 0
        while seen < 5000 and (page := store.follow(after, 2000)):
            seen, after = seen + len(page), page[-1].position
        return seen

    return operation


# --- limits -------------------------------------------------------------------------------------------------------


def raw_postgresql(url: str) -> Callable[[], Callable[[], int]]:
    """The same row by the bare driver: one prepared statement, one commit; a connection for each thread."""
    plain, local = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), threading.local()

    def operation() -> int:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(plain, autocommit=True)
        local.connection.execute(
            "insert into events"
            " (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)"
            " values ('raw', %s, 1, 'notebook', 'NotebookOpened', 1, %s, '{\"command\":\"c\"}', %s, now())",
            (uuid4().hex, f'{{"title":"{TEXT}"}}', uuid4()),
        )
        return 1

    return lambda: operation


def raw_sqlite(path: str) -> Callable[[], Callable[[], int]]:
    """The same row by the bare driver: one statement, one commit."""

    def made() -> Callable[[], int]:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.execute("pragma synchronous=full")

        def operation() -> int:
            connection.execute(
                "insert into events"
                " (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)"
                " values ('raw', ?, 1, 'notebook', 'NotebookOpened', 1, ?, '{\"command\":\"c\"}', ?, '2026-01-01')",
                (uuid4().hex, f'{{"title":"{TEXT}"}}', str(uuid4())),
            )
            return 1

        return operation

    return made


# --- the peer -----------------------------------------------------------------------------------------------------


def peer_environment(url: str) -> dict[str, str]:
    """The peer's settings for that database; a SQLite one gets a file beside ours."""
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": f"{where.database}.peer"}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(where.database),
        "POSTGRES_HOST": str(where.host),
        "POSTGRES_PORT": str(where.port or 5432),
        "POSTGRES_USER": str(where.username),
        "POSTGRES_PASSWORD": where.password or "unused",
        "POSTGRES_POOL_SIZE": "6",
        "POSTGRES_MAX_OVERFLOW": "10",
    }


# --- the run ------------------------------------------------------------------------------------------------------


def cases(found: Place, store: EventStore) -> dict[str, Case]:
    """All cases of one place; the first is the limit."""
    agency, sqlite = store.agency("bench"), store.database.dialect == "sqlite"
    raw = raw_sqlite(found.url.removeprefix("sqlite:///")) if sqlite else raw_postgresql(found.url)
    ours: dict[str, tuple[Callable[[], Callable[[], int]], int]] = {
        "limit: raw insert, 1 caller": (raw, 1),
        **({} if sqlite else {"limit: raw insert, 16 callers": (raw, 16)}),
        "create a stream, 1 event": (lambda: create(agency), 1),
        "create a stream, 1 event with a sealed field": (lambda: create_sealed(agency), 1),
        "create a stream, 1 event, 16 callers": (lambda: create(agency), 16),
        "change a stream of about 10 events": (lambda: change_ten(store.agency(uuid4().hex)), 1),
        "append 100 events at once (events)": (lambda: append_hundred(agency), 1),
        "rebuild an aggregate of 100 events": (lambda: rebuild_hundred(agency), 1),
        "follow the log (events)": (lambda: follow(store), 1),
    }
    if PEER:
        from tests.bench.eventsourcing_peer import Peer

        theirs = Peer(peer_environment(found.url), TEXT)
        ours["eventsourcing: create a stream, 1 event"] = (theirs.create, 1)
        ours["eventsourcing: create a stream, 1 event, 16 callers"] = (theirs.create, 1 if sqlite else 16)
        ours["eventsourcing: change a stream of about 10 events"] = (theirs.change, 1)
        ours["eventsourcing: rebuild an aggregate of 100 events"] = (theirs.rebuild, 1)
    made = {name: (factory(), callers) for name, (factory, callers) in ours.items()}
    return {name: _case(operation, callers) for name, (operation, callers) in made.items()}


def _case(operation: Callable[[], int], callers: int) -> Case:
    return lambda seconds: rate(operation, seconds, callers)


def measure(group: str, found: Place, seconds: float, runs: int) -> list[Result]:
    """Medians of `runs` rounds in which every case has its turn."""
    store = found.store(found.database())
    taken: dict[str, list[float]] = {}
    made = cases(found, store)
    for _ in range(runs):
        for name, case in made.items():
            taken.setdefault(name, []).append(case(seconds))
    store.database.close()
    medians = {name: statistics.median(rates) for name, rates in taken.items()}
    limit = next(iter(medians.values()))
    return [Result(group, name, value, value / limit) for name, value in medians.items()]


@contextlib.contextmanager
def places(folder: Path) -> Iterator[list[tuple[str, Place]]]:
    """A SQLite file and a durable PostgreSQL (the one of HANDSCHLAG_BENCH_POSTGRES, else a private one)."""
    with contextlib.ExitStack() as stack:
        named = os.environ.get("HANDSCHLAG_BENCH_POSTGRES", "")
        server = named or stack.enter_context(private_postgres(durable=True)).url
        (folder / "pg").mkdir()
        yield [
            ("SQLite", stack.enter_context(place("file", folder))),
            ("PostgreSQL", stack.enter_context(place("postgresql", folder / "pg", server))),
        ]


def run(seconds: float = 1.0, runs: int = 3) -> list[Result]:
    """The whole measurement."""
    with tempfile.TemporaryDirectory() as folder, places(Path(folder)) as found:
        return [result for group, where in found for result in measure(group, where, seconds, runs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a case runs each time")
    parser.add_argument("--runs", type=int, default=3, help="rounds, of which the median counts")
    chosen = parser.parse_args()
    print("| | case | /s | × raw insert |\n| --- | --- | ---: | ---: |")
    for result in run(chosen.seconds, chosen.runs):
        print(f"| {result.group} | {result.name} | {result.rate:,.0f} | {result.ratio:.2f} |")


if __name__ == "__main__":
    main()
