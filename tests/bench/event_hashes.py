"""What the hashes of events cost: hashing and logging a page, and holding a store against the log.

    python -m tests.bench.event_hashes [--events 20000] [--url postgresql://…/empty_database]

Beside each rate stands that of appending the same events within one transaction, in the same run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select

from services.audit import tables
from services.audit.event_log import Comparison, log_batch
from services.audit.sequencer import AuditLog
from services.exchange.domain.agency import Agency, AgencyRegistered, Kind
from shared.clock import SystemClock
from shared.database import Database
from shared.event_hashes import hash_once
from shared.eventstore import EventStore, create_all
from tests.support.stores import Place

AGENCY = "bench"


@dataclass
class Service:
    """As much of a service as hashing needs."""

    name: str
    database: Database
    store: EventStore


def timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def filled(service: Service, events: int) -> float:
    """Seconds."""
    made = AgencyRegistered(name="Jobcenter Musterstadt", kind=Kind(body="jobcenter", domain="sgb_ii"))
    streams = service.store.agency(AGENCY)

    def append() -> None:
        with service.database.write() as tx:
            for number in range(events):
                streams.change(Agency, f"agency-{number}", lambda _: [made], command_id="bench", tx=tx)

    return timed(append)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--url", help="An empty database; SQLite without.")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.url or f"sqlite:///{folder}/events.db"
        place = Place(url, Path(folder))
        database = place.database()
        create_all(database)
        service = Service("exchange", database, place.store(database))
        appended = filled(service, chosen.events)
        audit = Database(f"sqlite:///{folder}/audit.db")
        tables.create(audit)
        log = AuditLog(audit, Ed25519PrivateKey.generate(), "bench.example", Path(folder) / "heads", SystemClock())
        log.start()

        def hash_all() -> None:
            while hash_once(service, lambda batches: [log_batch(log, each, each.key.hex()) for each in batches]):
                pass

        hashed = timed(hash_all)
        comparison = Comparison(log, "exchange", service.store.rows, datetime(2000, 1, 1, tzinfo=UTC))
        compared = timed(comparison.run)
        log.stop()
        with audit.read() as tx:
            kept = tx.scalar(select(func.sum(func.length(tables.opening.c.value)))) or 0
            entries = tx.scalar(select(func.sum(func.length(tables.entry.c.bytes)))) or 0
        print(f"{database.dialect}, {chosen.events} events, {len(comparison.compared.findings)} findings")
        for name, seconds in (("append", appended), ("hash and log", hashed), ("compare", compared)):
            print(f"{name:14}{chosen.events / seconds:10.0f}/s{appended / seconds:8.2f} of append")
        print(
            f"beside an event: {kept / chosen.events:.0f} bytes of list, {entries / chosen.events:.1f} bytes of entries"
        )


if __name__ == "__main__":
    main()
