"""What an append and a read cost when the log has grown: a small and a large log side by side, in turns.

Both are filled in bulk by the server. "ours" is the large log, "peer" the small one: a ratio of 1 is a flat cost.
"""

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from shared.database import Database
from shared.eventstore import EventStore
from tests.bench.entries import BODY, DATA, Entry, EntryWritten
from tests.bench.table import Row, interleaved, progress, rate
from tests.support.stores import Place, place

SMALL = 10_000
STREAM = 10
_SEED = (
    "insert into events (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)"
    " select 'bench', 'entry-' || md5((number / {stream})::text), 1 + number % {stream}, 'entry', 'EntryWritten', 1,"
    " '{data}', json_build_object('command', 'c-' || number), gen_random_uuid(), now()"
    " from generate_series({first}, {last}) as number"
)


def seed(database: Database, events: int, step: int = 200_000) -> None:
    """That many events in streams of ten, whose names lie as far apart as random ones."""
    for first in range(0, events, step):
        last = min(events, first + step) - 1
        with database.direct() as direct:
            direct.write(_SEED.format(stream=STREAM, data=DATA, first=first, last=last).replace("%", "%%"))
        progress(f"seeding: {last + 1:,} of {events:,} events")
    with database.direct() as direct:
        direct.write("vacuum analyze events")
        direct.write("checkpoint")


def measure(url: str, folder: Path, events: int, seconds: float, runs: int) -> list[Row]:
    """Append, load and read at both sizes; then the memory of a reader of the whole large log."""
    with contextlib.ExitStack() as stack:
        stores = {size: _filled(stack, url, folder, size) for size in (SMALL, events)}
        turns = {
            f"{name}, {size}": case
            for size, store in stores.items()
            for name, case in _cases(store, size, seconds).items()
        }
        medians = interleaved(turns, runs)
        names = [key.rpartition(",")[0] for key in turns][: len(turns) // 2]
        title = f"{SMALL:,} → {events:,} events"
        rows = [Row(title, name, medians[f"{name}, {events}"], medians[f"{name}, {SMALL}"]) for name in names]
        return [*rows, _memory(stores[events], events)]


def _filled(stack: contextlib.ExitStack, url: str, folder: Path, size: int) -> EventStore:
    (folder / str(size)).mkdir()
    found: Place = stack.enter_context(place("postgresql", folder / str(size), url))
    database = stack.enter_context(contextlib.closing(found.database()))
    seed(database, size)
    return found.store(database)


def _cases(store: EventStore, size: int, seconds: float) -> dict[str, Callable[[], float]]:
    agency, chance = store.agency("bench"), random.Random(1)

    def append() -> int:
        agency.create(Entry, uuid4().hex, lambda _: [EntryWritten(body=BODY)], command_id="c")
        return 1

    def read() -> int:
        return len(store.follow(chance.randrange(size - 1000), 1000))

    names = _names(store.database, size)

    def load() -> int:
        agency.load(Entry, chance.choice(names))
        return 1

    cases = {"append": append, "load a stream of 10": load, "ordered read anywhere (events)": read}
    return {name: lambda case=case: rate(case, seconds) for name, case in cases.items()}


def _names(database: Database, size: int) -> list[str]:
    with database.direct() as direct:
        wanted = "select distinct stream from events where position %% (%s / 1000) < 5 limit 500"
        return [str(row[0]).removeprefix("entry-") for row in direct.rows(wanted, (max(size, 1000),))]


def _memory(store: EventStore, events: int) -> Row:
    """How much more memory this process has after it read a tenth of the log, and after all of it."""
    marks, seen, after = [], 0, 0
    while seen < events and (page := store.follow(after, 1000)):
        seen, after = seen + len(page), page[-1].position
        if seen >= events * (len(marks) * 9 + 1) / 10:
            marks.append(_resident_megabytes())
    return Row("memory", f"after {events:,} events, beside {events // 10:,}", marks[-1], marks[0], unit="MB")


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
