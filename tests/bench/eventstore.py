"""How fast the event store is, beside the limit of the database and beside the library `eventsourcing`, in one run.

    python -m tests.bench.eventstore [--seconds 1] [--runs 3] [--json FILE] [--grown 1000000]

Through the public interface, with aggregate and serialisation. Everything is durable: PostgreSQL with fsync and
synchronous_commit, SQLite in WAL with synchronous=FULL. The limits are pgbench with one connection and the bare
driver of SQLite, writing the same rows; where many callers append, their limit is still that of one connection, as
in the goals. The limit of an ordered read is the bare driver with the JSON parsed and nothing made of it. The peer is
measured when it is installed (requirements/bench). At the end a log of `--grown` events is held against one of 10,000,
and read from end to end by a reader whose memory is watched.
"""

import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.eventstore import AgencyStore, EventStore
from tests.bench import growth, limits
from tests.bench.entries import BODY, DATA, Entry, EntrySealed, EntryWritten
from tests.bench.servers import durable_postgres
from tests.bench.table import Row, interleaved, options_of_turns, rate, report_groups
from tests.support.stores import Place, place

TEXT = "x" * 400
LOGGED, PAGE = 5000, 1000
Operation = Callable[[], int]


# --- our cases ----------------------------------------------------------------------------------------------------


def create(agency: AgencyStore) -> Operation:
    """One event in a new stream."""

    def operation() -> int:
        agency.create(Entry, uuid4().hex, lambda _: [EntryWritten(body=BODY)], command_id="c")
        return 1

    return operation


def create_sealed(agency: AgencyStore) -> Operation:
    """The same with a personal field."""

    def operation() -> int:
        agency.create(Entry, uuid4().hex, lambda _: [EntrySealed(person_id="p-1", title=TEXT)], command_id="c")
        return 1

    return operation


def change_ten(store: EventStore) -> Operation:
    """Load, decide and append to a stream of ten events at most."""
    numbers, agency = count(), store.agency(uuid4().hex)

    def operation() -> int:
        number = next(numbers)
        change = agency.create if number % 10 == 0 else agency.change
        change(Entry, f"ten-{number // 10}", lambda _: [EntryWritten(body=BODY)], command_id=f"c-{number}")
        return 1

    return operation


def append_hundred(agency: AgencyStore) -> Operation:
    """A hundred events in one decision; counts events."""
    events = [EntryWritten(body=BODY)] * 100

    def operation() -> int:
        agency.create(Entry, uuid4().hex, lambda _: events, command_id="c")
        return 100

    return operation


def rebuild(agency: AgencyStore) -> Operation:
    """Load an aggregate of a hundred events."""
    name = uuid4().hex
    agency.create(Entry, name, lambda _: [EntryWritten(body=BODY)] * 100, command_id="c")

    def operation() -> int:
        agency.load(Entry, name)
        return 1

    return operation


def logged(store: EventStore, made: Callable[[], EntryWritten | EntrySealed]) -> int:
    """Events one behind the other in the log; the position before the first of them."""
    agency, start = store.agency("log"), store.position()
    for number in range(LOGGED // 100):
        agency.create(Entry, f"{start}-{number}", lambda _: [made() for _ in range(100)], command_id="c")
    return start


def follow(store: EventStore, start: int) -> Operation:
    """Read settled events in order, as domain events; counts events."""

    def operation() -> int:
        seen, after = 0, start
        while seen < LOGGED and (page := store.follow(after, PAGE)):
            seen, after = seen + len(page), page[-1].position
        return seen

    return operation


# --- the run ------------------------------------------------------------------------------------------------------

CASES: dict[str, tuple[str, str]] = {
    "create, 1 caller": ("one row", "create, 1 caller"),
    "create, 16 callers": ("one row", "create, 16 callers"),
    "create, 64 callers": ("one row", "create, 16 callers"),
    "create, sealed field, 1 caller": ("one row", ""),
    "create, sealed field, 16 callers": ("one row", ""),
    "change a stream of 10": ("", "change a stream of 10"),
    "100 events at once (events)": ("hundred rows", "100 events at once (events)"),
    "rebuild of 100 events": ("", "rebuild of 100 events"),
    "ordered read (events)": ("rows and JSON", "ordered read (events)"),
    "ordered read, sealed field (events)": ("rows and JSON", ""),
}
"""Our case: the limit and the peer's case it is compared with."""


def our_cases(store: EventStore, plain: int, seconds: float) -> dict[str, Callable[[], float]]:
    agency = store.agency("bench")
    agency.create(Entry, uuid4().hex, lambda _: [EntrySealed(person_id="p-1", title=TEXT)], command_id="c")
    made: dict[str, tuple[Operation, int]] = {
        **{f"create, {_callers(number)}": (create(agency), number) for number in (1, 16, 64)},
        **{f"create, sealed field, {_callers(number)}": (create_sealed(agency), number) for number in (1, 16)},
        "change a stream of 10": (change_ten(store), 1),
        "100 events at once (events)": (append_hundred(agency), 1),
        "rebuild of 100 events": (rebuild(agency), 1),
        "ordered read (events)": (follow(store, plain), 1),
        "ordered read, sealed field (events)": (
            follow(store, logged(store, lambda: EntrySealed(person_id="p-1", title=TEXT))),
            1,
        ),
    }
    return {name: _rated(operation, seconds, callers) for name, (operation, callers) in made.items()}


def peer_cases(url: str, seconds: float) -> dict[str, Callable[[], float]]:
    if importlib.util.find_spec("eventsourcing") is None:
        return {}
    from tests.bench.eventsourcing_peer import Peer

    peer, many = Peer(url, BODY), 1 if url.startswith("sqlite") else 16
    made: dict[str, tuple[Operation, int]] = {
        "create, 1 caller": (peer.create(), 1),
        "create, 16 callers": (peer.create(), many),
        "change a stream of 10": (peer.change(), 1),
        "100 events at once (events)": (peer.append_hundred(), 1),
        "rebuild of 100 events": (peer.rebuild(), 1),
        "ordered read (events)": (peer.follow(LOGGED, PAGE), 1),
    }
    return {name: _rated(operation, seconds, callers) for name, (operation, callers) in made.items()}


def limit_cases(found: Place, folder: Path, plain: int, seconds: float) -> dict[str, Callable[[], float]]:
    pages = {"rows and JSON": _rated(limits.pages(found.url, plain, LOGGED, PAGE), seconds, 1)}
    if found.url.startswith("sqlite"):
        insert = limits.sqlite_insert(found.url.removeprefix("sqlite:///"), DATA)
        return {**pages, "one row": _rated(insert, seconds, 1)}
    made = {
        "one row": limits.pgbench(found.url, folder, DATA),
        "one row, 16 connections": limits.pgbench(found.url, folder, DATA, connections=16),
        "hundred rows": limits.pgbench(found.url, folder, DATA, rows=100),
    }
    return {**pages, **{name: lambda case=case: case(seconds) for name, case in made.items()}}


def measure(group: str, found: Place, folder: Path, seconds: float, runs: int) -> list[Row]:
    """All cases of one database in turns."""
    database = found.database()
    store = found.store(database)
    plain = logged(store, lambda: EntryWritten(body=BODY))
    parts: dict[str, Any] = {
        "limit": limit_cases(found, folder, plain, seconds),
        "ours": our_cases(store, plain, seconds),
        "peer": peer_cases(found.url, seconds),
    }
    turns = {f"{part}: {name}": case for part, cases in parts.items() for name, case in cases.items()}
    medians = interleaved(turns, runs)
    database.close()
    rows = [
        Row(group, case, medians[f"ours: {case}"], medians.get(f"peer: {peer}"), medians.get(f"limit: {limit}"))
        for case, (limit, peer) in CASES.items()
    ]
    named = medians.get("limit: one row, 16 connections")
    return rows if named is None else [*rows, Row(group, "(pgbench, 16 connections)", named)]


def _rated(operation: Operation, seconds: float, callers: int) -> Callable[[], float]:
    return lambda: rate(operation, seconds, callers)


def _callers(number: int) -> str:
    return f"{number} caller{'s' if number > 1 else ''}"


def run(seconds: float, runs: int, grown: int) -> Iterator[list[Row]]:
    """The whole measurement, group by group."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(durable_postgres({"shared_buffers": "512MB", "max_wal_size": "4GB"}))
        for group, kind in (("SQLite", "file"), ("PostgreSQL", "postgresql")):
            (folder / kind).mkdir()
            with place(kind, folder / kind, url) as found:
                yield measure(group, found, folder, seconds, runs)
        if grown:
            yield growth.measure(url, folder, grown, seconds, runs)


def main() -> int:
    parser = options_of_turns(__doc__)
    parser.add_argument(
        "--grown", type=int, default=1_000_000, metavar="EVENTS", help="compare with a log of so many; 0: do not"
    )
    chosen = parser.parse_args()
    report_groups(run(chosen.seconds, chosen.runs, chosen.grown), chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
