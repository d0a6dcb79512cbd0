"""A read model is rebuilt over a million events while commands keep coming; afterwards both have to be right.

    python -m tests.bench.projections [--events 1000000] [--commands 50] [--json FILE]

On PostgreSQL with fsync. Three processes: one sends so many commands a second to streams of their own, one keeps the
live read model going, one rebuilds it. The table says how fast the rebuild was beside an empty read of the same log,
and what a command cost meanwhile beside what it costs alone. The exit code is 1 when one of the two is not right.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Self
from uuid import uuid4

from sqlalchemy import text

from shared.eventstore import EventStore, rebuild, run_once
from tests.bench.servers import durable_postgres
from tests.bench.table import Row, latencies, options, progress, report
from tests.support.counted import COUNTED, counts, counts_in_the_log, counts_of
from tests.support.notebook import Notebook
from tests.support.stores import Place, place

SEEDED = """
insert into events (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)
select 'bench', 'notebook-seed-' || number / 100, number % 100 + 1, 'notebook', 'NotebookOpened', 1,
json_build_object('title', repeat('x', 400)), '{"command":"c"}', gen_random_uuid(), now()
from generate_series(0, :last) as number
"""
processes = multiprocessing.get_context("spawn")


def send_commands(where: Place, per_second: float, stop: Event, told: Connection) -> None:
    """A new stream at each beat of the clock; how long each took, in milliseconds, from the moment it was due."""
    store = where.store(where.database())
    agency, taken, due = store.agency("bench"), [], time.perf_counter()
    while not stop.is_set():
        due += 1 / per_second
        time.sleep(max(due - time.perf_counter(), 0))
        name = str(uuid4())
        agency.change(Notebook, name, lambda n: n.open("x" * 400), command_id=name)
        taken.append((time.perf_counter() - due) * 1000)
    told.send(taken)
    store.database.close()


def keep_going(where: Place, stop: Event) -> None:
    """The live read model."""
    store = where.store(where.database())
    while not stop.is_set():
        if not run_once(store, COUNTED):
            time.sleep(0.02)
    store.database.close()


class Meanwhile:
    """Commands and the live read model, in processes of their own, for as long as the block lasts."""

    def __init__(self, where: Place, per_second: float) -> None:
        self._stop = processes.Event()
        self._here, there = processes.Pipe(duplex=False)
        self._others = [
            processes.Process(target=send_commands, args=(where, per_second, self._stop, there)),
            processes.Process(target=keep_going, args=(where, self._stop)),
        ]

    def __enter__(self) -> Self:
        for other in self._others:
            other.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.taken: list[float] = self._here.recv()
        for other in self._others:
            other.join()


def empty_read(store: EventStore) -> float:
    """Events per second when nothing is done with them."""
    began, after, count = time.perf_counter(), 0, 0
    while page := store.follow(after, 500):
        after, count = page[-1].position, count + len(page)
    return count / (time.perf_counter() - began)


def measure(where: Place, events: int, per_second: float) -> tuple[list[Row], bool]:
    """The rows, and whether the read model says what the log says."""
    store = where.store(where.database())
    with store.database.write() as tx:
        counts.metadata.create_all(tx)
        tx.execute(text(SEEDED), {"last": events - 1})
    while count := run_once(store, COUNTED):
        progress(f"first filling: {count}")
    with Meanwhile(where, per_second) as alone:
        time.sleep(10)
    reading = empty_read(store)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with Meanwhile(where, per_second) as beside:
        read = rebuild(store, COUNTED, lambda position, end: progress(f"{position} of {end}"))
        taken = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    while run_once(store, COUNTED):
        pass
    progress("")
    right = counts_of(store) == counts_in_the_log(store)
    store.database.close()
    group, without = "projections", "peer: no rebuild"
    rows = [
        Row(
            group,
            f"rebuild beside the live one, {events:,} events",
            read / taken,
            None,
            reading,
            note="limit: read only",
        ),
        *latencies(group, "command meanwhile", beside.taken, peer=alone.taken, notes=(without, without)),
        Row(group, "memory the rebuild needed more", grown, unit="MB"),
    ]
    return rows, right


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="in the log before it begins")
    parser.add_argument("--commands", type=float, default=50, help="a second, meanwhile")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = stack.enter_context(place("postgresql", folder, stack.enter_context(durable_postgres())))
        rows, right = measure(where, chosen.events, chosen.commands)
    report(rows, chosen.json)
    print("\nthe read model says what the log says" if right else "\nTHE READ MODEL IS WRONG")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
