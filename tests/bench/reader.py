"""How long after its commit an event is read, while writers commit late and roll back; and whether any is missed.

    python -m tests.bench.reader [--writers 12] [--seconds 20] [--json FILE]

PostgreSQL with fsync. Each writer appends within a transaction that commits up to 20 ms later; one in ten is rolled
back, and three in ten wrote something else before. The reader follows the log from the moment it is told. Goal: none
lost, none out of the order of its stream, and p99 below twice the longest writing transaction and 10 ms. The limit is
that longest transaction: what stands behind an open one cannot be settled before it ends.
"""

import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from shared.errors import Conflict
from shared.eventstore import EventStore
from tests.bench.servers import durable_postgres
from tests.bench.table import Row, latencies, options, report
from tests.support.notebook import Notebook
from tests.support.stores import Place, place, rolled_back

processes = multiprocessing.get_context("spawn")
PROCESSES, STREAMS = 3, 6
LATEST, EARLY, ROLLED_BACK = 0.02, 0.3, 0.1
other = sa.Table("something_else", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


@dataclass
class Written:
    """When each position was committed, and how long the longest transaction took, rolled back or not."""

    committed: dict[int, float] = field(default_factory=dict)
    longest: float = 0.0


def write(store: EventStore, seed: int, stop: Event, written: Written) -> None:
    chance, agency = random.Random(seed), store.agency("bench")
    while not stop.is_set():
        name, undone, began = f"n-{chance.randrange(STREAMS)}", chance.random() < ROLLED_BACK, time.time()
        try:
            with rolled_back(store.database) if undone else store.database.write() as tx:
                if chance.random() < EARLY:
                    tx.execute(sa.insert(other))
                    time.sleep(chance.random() * LATEST / 2)
                take = agency.change(Notebook, name, lambda n: n.take("p", "x" * 200), command_id=uuid4().hex, tx=tx)
                time.sleep(chance.random() * LATEST)
        except Conflict:
            undone = True
        ended = time.time()
        written.longest = max(written.longest, ended - began)
        if not undone:
            written.committed[take.position] = ended


def writers(where: Place, first: int, count: int, stop: Event, told: Connection) -> None:
    """One process with some of them; sends what they wrote."""
    database = where.database()
    store, written = where.store(database), [Written() for _ in range(count)]
    threads = [
        threading.Thread(target=write, args=(store, first + number, stop, each)) for number, each in enumerate(written)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.send(written)
    database.close()


def measure(where: Place, count: int, seconds: float) -> list[Row]:
    database = where.database()
    store, stop = where.store(database), processes.Event()
    with database.write() as tx:
        other.create(tx)
        store.keys.seal("bench", "p", b"", b"", tx)
    pipes = [processes.Pipe(duplex=False) for _ in range(PROCESSES)]
    shares = [count // PROCESSES + (number < count % PROCESSES) for number in range(PROCESSES)]
    started = [
        processes.Process(target=writers, args=(where, 100 * number, shares[number], stop, there))
        for number, (_, there) in enumerate(pipes)
    ]
    for process in started:
        process.start()
    seen: dict[int, float] = {}
    reached: Counter[str] = Counter()
    misordered, mark, ends = 0, 0, time.time() + seconds
    written: list[Written] = []
    while len(written) < count or len(seen) < sum(len(each.committed) for each in written):
        if time.time() > ends:
            stop.set()
            written += [each for here, _ in pipes if here.poll() for each in here.recv()]
            if time.time() > ends + 30:
                break
        store.wait(mark, 0.5)
        for record in store.follow(mark, 500):
            mark, seen[record.position] = record.position, time.time()
            misordered += record.version != reached[record.stream] + 1
            reached[record.stream] = record.version
    for process in started:
        process.join()
    database.close()
    committed = {position: moment for each in written for position, moment in each.committed.items()}
    delays = [1000 * max(seen[position] - moment, 0) for position, moment in committed.items() if position in seen]
    longest = 1000 * max(each.longest for each in written)
    lost = len(committed) - len(delays)
    case = f"commit → read, {count} writers, {len(committed):,} events, {lost} lost, {misordered} out of order"
    goal = f"goal: below {2 * longest + 10:.0f} ms"
    return latencies("reader", case, delays, limit=longest, notes=("", goal))


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long they write")
    parser.add_argument("--writers", type=int, default=12)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = stack.enter_context(place("postgresql", folder, stack.enter_context(durable_postgres())))
        report(measure(where, chosen.writers, chosen.seconds), chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
