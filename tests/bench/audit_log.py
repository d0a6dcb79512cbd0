"""How fast the audit log is: appends with many waiting, latency at a steady pace, proofs, the tree alone.

    python -m tests.bench.audit_log [--url postgresql://…] [--seconds 5] [--writers 64] [--entries 20000]

Without an address it takes a SQLite file. Where `pymerkle` is installed (requirements/bench.in), its trees
are measured beside ours in the same run.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import tables
from services.audit.sequencer import AuditLog
from shared.audit import verify_receipt
from shared.clock import SystemClock
from shared.database import Database
from shared.merkle import Frontier, leaf_hash
from tests.support.receipts import intent

AGENCY = "bench"


@contextmanager
def running(url: str | None) -> Iterator[AuditLog]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url or f"sqlite:///{folder}/audit.db")
        tables.create(database)
        signer = Ed25519PrivateKey.generate()
        log = AuditLog(database, signer, "bench.example", Path(folder) / "heads", SystemClock())
        log.start()
        try:
            yield log
        finally:
            log.stop()
            database.close()


def append(log: AuditLog, key: str) -> float:
    leaf, openings = intent()
    started = time.perf_counter()
    entry = log.append(AGENCY, leaf, key=key, openings=openings, person="p-1", timeout=30)
    verify_receipt(entry.receipt_text, entry.leaf_bytes, log.verifier_key(entry.origin))
    return time.perf_counter() - started


def with_many_waiting(log: AuditLog, writers: int, seconds: float) -> dict[str, float]:
    ends, times = time.monotonic() + seconds, list[float]()

    def write(writer: int) -> None:
        number = 0
        while time.monotonic() < ends:
            times.append(append(log, f"many-{writer}-{number}"))
            number += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"appends_per_second": len(times) / (time.perf_counter() - started), **quantiles(times)}


def at_a_steady_pace(log: AuditLog, rate: int, seconds: float) -> dict[str, float]:
    times, threads = list[float](), list[threading.Thread]()
    for number in range(int(rate * seconds)):
        thread = threading.Thread(target=lambda n=number: times.append(append(log, f"pace-{n}")))
        thread.start()
        threads.append(thread)
        time.sleep(1 / rate)
    for thread in threads:
        thread.join()
    return quantiles(times)


def proofs(log: AuditLog, count: int = 200) -> dict[str, float]:
    size = log.entries(AGENCY, after=-1, limit=10**9)[-1].idx + 1
    origin = log.origins(AGENCY)[-1]
    places = [step * size // count for step in range(count)]
    inclusion = [timed(lambda place=place: log.receipt(AGENCY, origin, place)) for place in places]
    consistency = [timed(lambda old=old: log.consistency(AGENCY, old, size)) for old in places[1:]]
    return {
        "entries": size,
        "receipt_ms": statistics.median(inclusion) * 1000,
        "consistency_ms": statistics.median(consistency) * 1000,
    }


def tree_alone(entries: int) -> dict[str, float]:
    """Hash and append one by one, as a comparison wants it."""
    data = [number.to_bytes(32, "big") for number in range(entries)]

    def ours() -> None:
        tree = Frontier()
        for each in data:
            tree, _ = tree.extended([leaf_hash(each)])

    found = {"ours_per_second": entries / timed(ours)}
    try:
        from pymerkle import InmemoryTree, SqliteTree
    except ImportError:
        return found
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in (("memory", InmemoryTree()), ("sqlite", SqliteTree(f"{folder}/rival.db"))):
            some = data[: entries // 20]
            took = timed(lambda tree=tree, some=some: [tree.append_entry(each) for each in some])
            found[f"pymerkle_{name}_per_second"] = len(some) / took
    return found


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def quantiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--entries", type=int, default=20_000)
    chosen = parser.parse_args()
    with running(chosen.url) as log:
        measured = {
            f"{chosen.rate} a second": at_a_steady_pace(log, chosen.rate, chosen.seconds),
            f"{chosen.writers} waiting": with_many_waiting(log, chosen.writers, chosen.seconds),
            "proofs": proofs(log),
            "tree alone": tree_alone(chosen.entries),
        }
    rounded = {name: {key: round(value, 2) for key, value in each.items()} for name, each in measured.items()}
    print(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    main()
