"""How long a person waits for their copy and their ledger, with ten years of entries: over HTTP, in one process.

    python -m tests.bench.access [--entries 10000] [--json FILE]

The person has so many file entries and so many disclosures asked for. "copy" is the whole access copy, page by page,
until the last record (goal: 10,000 entries in 30 s, with progress); its limit is the raw work beneath it, reading
the same events from the store and opening their sealed fields in one go. "ledger" is one page of the newest 50, and of
200, as the citizen sees it (goal: 500 ms); its limit is `GET /healthz` on the same gateway in the same run.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.cases.domain.file_entry import FileEntry, RecordEntry
from services.cases.domain.person import Person, RegisterPerson
from services.command.demo.world import AGENCY, PARTNERS, provide_world
from services.command.platform import prepare
from services.exchange.domain.disclosure import Disclosure, RequestDisclosure, Ruling
from shared.config import Settings
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.eventstore import AgencyStore, EventStore
from tests.bench.table import Row, latencies, options, percentile, report
from tests.journeys.acting import Office, new_key
from tests.support.platform import Platform, embedded

TEXT = "Gespräch über den nächsten Schritt, die Unterlagen und den Termin in der kommenden Woche. " * 4
CHECKED = {
    "outcome": "granted",
    "identity_verified": True,
    "access_exception_83": False,
    "decided_by": "demo-fachkraft",
}
PENSION = next(iter(PARTNERS))
REFUSED = Ruling(
    sent=(),
    categories=(),
    obligations=(),
    rule_set="0" * 64,
    day="2026-03-02",
    origin="bench",
    index=1,
    leaf="{}",
    receipt="",
    consents=(),
    explanation="",
)
ASKED = 100


def store_of(settings: Settings, service: str) -> tuple[Database, AgencyStore]:
    database = Database(settings.database_url(service))
    keys = PersonKeys(database, FileCustody(settings.keys / f"{service}-persons.json"), settings.clock())
    return database, EventStore(database, keys, settings.clock(), service=service).agency(AGENCY)


def fill(settings: Settings, person_id: str, entries: int) -> None:
    """A person with so many entries and so many disclosures, written as the services write them."""
    database, store = store_of(settings, "cases")
    born = RegisterPerson(person_id=person_id, name="Messperson", birth_date=date(1980, 5, 5))
    store.change(Person, person_id, lambda person: person.register(born), command_id=new_key())
    for number in told(range(entries), "entries written"):
        wanted = RecordEntry(entry_id=str(uuid4()), person_id=person_id, category="contact_log", content=TEXT)
        day = date(2016 + number % 10, 1 + number % 12, 1 + number % 28)
        store.change(
            FileEntry, wanted.entry_id, lambda entry, w=wanted, d=day: entry.record(w, d), command_id=new_key()
        )
    database.close()
    database, store = store_of(settings, "exchange")
    now = settings.clock().now()
    for _ in told(range(entries), "disclosures written"):
        asked = RequestDisclosure(
            disclosure_id=str(uuid4()),
            person_id=person_id,
            partner_id=PENSION,
            categories=("master_data",),
            purpose="recipient_statutory_task",
            decided_by="demo-fachkraft",
        )
        key = asked.disclosure_id
        store.change(Disclosure, key, lambda known, a=asked: known.request(a, now), command_id=new_key())
        store.change(Disclosure, key, lambda known: known.deny(REFUSED), command_id=new_key())
    database.close()


def told(items: range, what: str) -> Iterator[int]:
    for number in items:
        if number % 2000 == 0:
            print(f"{number} of {len(items)} {what}", file=sys.stderr, flush=True)
        yield number


def copy_seconds(office: Office, person_id: str) -> tuple[float, int]:
    """From the question for the first page to the last record; and how many records came."""
    request = office.worker.post("/rights", {"person_id": person_id, "right": "access"}, new_key())["request_id"]
    office.worker.post(f"/rights/{request}/answer", CHECKED, new_key())
    began, count, after = time.perf_counter(), 0, ""
    while after is not None:
        page = office.worker.get(f"/rights/{request}/copy", after=after, limit=500)
        count, after = count + len(page["content"]["records"]), page["next"]
        print(f"{page['part']}: {page['done']} of {page['total']}", file=sys.stderr, flush=True)
    return time.perf_counter() - began, count


def raw_seconds(settings: Settings) -> float:
    """Reading and opening all events of the file, without anything else."""
    database = Database(settings.database_url("cases"))
    keys = PersonKeys(database, FileCustody(settings.keys / "cases-persons.json"), settings.clock())
    store = EventStore(database, keys, settings.clock(), service="cases")
    began, reached = time.perf_counter(), 0
    while records := store.follow(reached, 500):
        reached = records[-1].position
    taken = time.perf_counter() - began
    database.close()
    return taken


def measure(platform: Platform, person_id: str, entries: int) -> list[Row]:
    office = Office(platform).open()
    office.worker.get("/ledger", person_id=person_id, limit=1)
    whole, records = copy_seconds(office, person_id)
    assert records >= entries, f"only {records} records came"
    raw, turns = raw_seconds(platform.settings), range(ASKED)
    pages = {
        size: [milliseconds(lambda n=size: office.worker.get("/ledger", person_id=person_id, limit=n)) for _ in turns]
        for size in (50, 200)
    }
    client = platform.client()
    bare = percentile([milliseconds(lambda: client.send("GET", "/healthz")) for _ in turns], 0.5)
    copy = Row("access", f"copy of {records:,} records", whole, None, raw, "s", "goal: 30 s")
    ledger = [
        row
        for size, taken in pages.items()
        for row in latencies("access", f"ledger, newest {size}", taken, limit=bare, notes=("", "goal: 500 ms"))
    ]
    return [copy, *ledger]


def milliseconds(action: Any) -> float:
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state, person_id = Path(folder), str(uuid4())
        settings = Settings(state=state, keys=state / "keys", database="sqlite://")
        prepare(settings)
        provide_world(state)
        fill(settings, person_id, chosen.entries)
        with embedded(state, HANDSCHLAG_SPANS="", HANDSCHLAG_LOG_LEVEL="warning") as platform:
            report(measure(platform, person_id, chosen.entries), chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
