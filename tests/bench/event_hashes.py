"""What the hashes of events cost: hashing and logging a page, and holding a store against the log.

    python -m tests.bench.event_hashes [--events 20000] [--url postgresql://…/empty_database] [--json FILE]

Beside each rate stands that of appending the same events within one transaction, in the same run.
"""

import sys
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
from tests.bench.table import Row, options, report
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


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--url", help="an empty database; SQLite without")
    chosen = parser.parse_args()
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
        assert not comparison.compared.findings
    append = chosen.events / appended
    rows = [
        *(
            Row("hashes", f"{name}, {database.dialect}", chosen.events / taken, None, append, "/s", "limit: append")
            for name, taken in (("hash and log events", hashed), ("compare events with the log", compared))
        ),
        Row("hashes", "kept for an event", kept / chosen.events, unit="bytes"),
        Row("hashes", "entries of the log for an event", entries / chosen.events, unit="bytes"),
    ]
    report(rows, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
