"""The audit log beside the raw insert and beside `pymerkle`, in memory and on SQLite, and how it grows.

    python -m tests.bench.audit_log [--url postgresql://…] [--writers 64] [--rate 50] [--up-to 1000000] [--json FILE]

Without an address it takes a SQLite file. An append counts when its receipt has been verified. For the growth a log
is seeded in bulk (rows as the sequencer writes them), signed, and then asked through the public functions;
`--up-to 10000000` needs some ten minutes and about eight gigabytes. `pymerkle` is in requirements/bench.txt.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymerkle import InmemoryTree, SqliteTree
from sqlalchemy import insert

from services.audit import tables
from services.audit.search import Search, Wanted
from services.audit.sequencer import AuditLog
from services.command.log import log as command
from shared.clock import SystemClock
from shared.database import Database
from shared.merkle import Frontier, leaf_hash
from tests.bench.audit_seed import AGENCY, PERSON, RARE_PURPOSE, dump_of, seed
from tests.bench.table import Row, interleaved, options_of_turns, progress, rate, report
from tests.support.receipts import intent

PREFIX = "bench.example"
SMALLEST = 10_000
DUMPED = 1_000_000
ASKED = 200


@contextmanager
def running(url: str | None, seeded: int = 0) -> Iterator[tuple[AuditLog, Database]]:
    """A log with `seeded` entries that signs, in a database that is emptied first."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url or f"sqlite:///{folder}/audit.db")
        with database.write() as tx:
            tables.metadata.drop_all(tx)
            tables.install(tx)
        if seeded:
            seed(database, PREFIX, seeded, lambda done: progress(f"seeding {done:,} of {seeded:,}"))
        log = AuditLog(database, Ed25519PrivateKey.generate(), PREFIX, Path(folder) / "heads", SystemClock())
        log.start()
        try:
            yield log, database
        finally:
            log.stop()
            database.close()


_keys = count()


def append(log: AuditLog) -> float:
    """Seconds until the receipt was verified, which `append` does with the function that auditors use."""
    leaf, openings = intent()
    return timed(lambda: log.append(AGENCY, leaf, key=f"k-{next(_keys)}", openings=openings, person="p-1", timeout=30))


def appended(log: AuditLog) -> int:
    append(log)
    return 1


def at_a_steady_pace(log: AuditLog, a_second: int, seconds: float) -> list[float]:
    times, threads = list[float](), list[threading.Thread]()
    for _ in range(int(a_second * seconds)):
        thread = threading.Thread(target=lambda: times.append(append(log)))
        thread.start()
        threads.append(thread)
        time.sleep(1 / a_second)
    for thread in threads:
        thread.join()
    return times


def raw_insert(database: Database) -> int:
    """One row of the size of an entry in a commit of its own."""
    row = {"log": "raw", "idx": next(_keys), "bytes": b"x" * 900, "kind": "raw", "at": ""}
    with database.write() as tx:
        tx.execute(insert(tables.entry).values(**row))
    return 1


def in_batches(data: list[bytes]) -> float:
    """Our tree as the sequencer drives it: leaves are hashed and appended, 64 at a time."""
    tree = Frontier()
    started = time.perf_counter()
    for start in range(0, len(data), 64):
        tree, _ = tree.extended(map(leaf_hash, data[start : start + 64]))
    return len(data) / (time.perf_counter() - started)


def one_by_one(tree: Any, data: list[bytes]) -> float:
    return len(data) / timed(lambda: [tree.append_entry(each) for each in data])


def speed(log: AuditLog, database: Database, chosen: argparse.Namespace) -> list[Row]:
    writers, seconds = chosen.writers, chosen.seconds
    data = [number.to_bytes(32, "big") for number in range(50_000)]
    with tempfile.TemporaryDirectory() as folder:
        names = count()
        cases = {
            "raw": lambda: rate(partial(raw_insert, database), seconds),
            "one": lambda: rate(partial(appended, log), seconds),
            "many": lambda: rate(partial(appended, log), seconds, writers),
            "pymerkle sqlite": lambda: one_by_one(SqliteTree(f"{folder}/{next(names)}.db"), data[:1000]),
            "tree": lambda: in_batches(data),
            "pymerkle memory": lambda: one_by_one(InmemoryTree(), data),
        }
        found = interleaved(cases, chosen.runs)
    paced = statistics.quantiles(at_a_steady_pace(log, chosen.rate, 3 * seconds), n=100)
    return [
        Row("audit log", "append, 1 caller", found["one"], found["pymerkle sqlite"], found["raw"]),
        Row("audit log", f"append, {writers} callers", found["many"], found["pymerkle sqlite"], found["raw"]),
        Row("audit log", "tree in memory", found["tree"], found["pymerkle memory"], note="leaf and nodes"),
        Row("audit log", f"append, p50 at {chosen.rate}/s", paced[49] * 1000, unit="ms"),
        Row("audit log", f"append, p99 at {chosen.rate}/s", paced[98] * 1000, unit="ms"),
    ]


def growth(url: str | None, up_to: int) -> list[Row]:
    """What one append, proof and search cost in logs of ten times the size each; the peer is the smallest log."""
    rows, smallest = list[Row](), dict[str, float]()
    size = SMALLEST
    while size <= up_to:
        with running(url, size) as (log, database):
            found = costs(log, database, size)
        smallest = smallest or found
        for case, took in found.items():
            rows.append(Row("audit log, growth", f"{case}, {size:,} entries", took, smallest[case], unit="ms"))
        size *= 10
    return rows


def costs(log: AuditLog, database: Database, size: int) -> dict[str, float]:
    """Medians in milliseconds."""
    origin = log.origins(AGENCY)[-1]
    places = [step * size // ASKED for step in range(1, ASKED)]
    search = Search(AGENCY, database)
    asked: dict[str, Callable[[int], object]] = {
        "append": lambda _: append(log),
        "receipt": lambda place: log.receipt(AGENCY, origin, place),
        "consistency": lambda place: log.consistency(AGENCY, place, size),
        "search by purpose": lambda _: search.page(Wanted(purpose=RARE_PURPOSE)),
        "search by person": lambda _: search.page(Wanted(person_id=PERSON)),
    }
    return {case: statistics.median(timed(partial(ask, at)) * 1000 for at in places) for case, ask in asked.items()}


def dump_check(entries: int) -> list[Row]:
    """`handschlag log verify dump` over a whole log; the limit is to hash its leaves and nodes and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump"
        key = dump_of(path, entries, lambda done: progress(f"writing {done:,} of {entries:,}"))
        progress("")
        leaf = json.loads(path.open("rb").readlines(2000)[1])["leaf"].encode()
        hashing = timed(lambda: [sha256(b"\x00" + leaf) for _ in range(entries)] and None)
        hashing += timed(lambda: [sha256(b"\x01" + leaf[:64]) for _ in range(entries)] and None)
        answers = list[Result]()
        took = timed(lambda: answers.append(CliRunner().invoke(command, ["verify", "dump", str(path), "--key", key])))
    if answers[0].exit_code:
        raise RuntimeError(answers[0].output)
    return [Row("audit log", f"check a dump of {entries:,}", took * 1000, None, hashing * 1000, unit="ms")]


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    parser = options_of_turns(__doc__, seconds=2, runs=3)
    parser.add_argument("--url", help="a database of PostgreSQL; its tables of the log are emptied")
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--rate", type=int, default=50, help="appends a second for the latency")
    parser.add_argument("--up-to", type=int, default=1_000_000, help="entries of the largest log")
    parser.add_argument("--dump", type=int, default=DUMPED, help="entries of the dump that is checked")
    chosen = parser.parse_args()
    with running(chosen.url) as (log, database):
        rows = speed(log, database, chosen)
    rows += dump_check(chosen.dump)
    rows += growth(chosen.url, chosen.up_to)
    report(rows, chosen.json)


if __name__ == "__main__":
    main()
