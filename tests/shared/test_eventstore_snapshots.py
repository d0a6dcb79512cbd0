"""A snapshot saves the replay of many events, and changes nothing else: not the state, not a repeat, not an erasure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from sqlalchemy import text

from shared.domain import ERASED, Erased, Event, Personal, event, value
from shared.errors import Invalid
from shared.eventstore import EventStore
from shared.eventstore.snapshots import every
from tests.support.stores import rolled_back

SECRET = "she told nobody but us"


@event(version=1)
class GuestWritten(Event):
    person_id: str
    text: Personal[str]


@value
class Page:
    person_id: str
    text: Personal[str]


@dataclass(frozen=True)
class GuestBook:
    """Keeps its last two pages."""

    snapshot_every: ClassVar[int] = 5
    count: int = 0
    pages: tuple[Page, ...] = ()

    def apply(self, written: GuestWritten) -> "GuestBook":
        page = Page(person_id=written.person_id, text=written.text)
        return replace(self, count=self.count + 1, pages=(*self.pages[-1:], page))


class Slow(GuestBook):
    snapshot_every = 0


def write(store: EventStore, count: int, *, first: int = 0, person: str = "p-1", tx: Any = None) -> Any:
    receipts = [
        store.agency("jobcenter").change(
            GuestBook,
            "1",
            lambda _, number=number: [GuestWritten(person_id=person, text=f"{SECRET} {number}")],
            command_id=f"c-{number}",
            tx=tx,
        )
        for number in range(first, first + count)
    ]
    return receipts[-1] if receipts else None


def kept(store: EventStore) -> list[tuple[int, str]]:
    with store.database.read() as tx:
        statement = "select version, cast(data as text) from snapshots order by version"
        return [tuple(row) for row in tx.execute(text(statement))]


def load(store: EventStore) -> tuple[GuestBook, int]:
    return store.agency("jobcenter").load(GuestBook, "1")


def replayed(store: EventStore) -> GuestBook:
    state = GuestBook()
    for record in store.agency("jobcenter").read(GuestBook, "1"):
        state = state.apply(record.event)  # type: ignore[arg-type]
    return state


def test_one_is_kept_every_so_many_events_and_the_latest_counts(store: EventStore) -> None:
    seen = []
    for number in range(17):
        write(store, 1, first=number)
        seen.append([version for version, _ in kept(store)])
        assert load(store) == (replayed(store), number + 1)
    assert [versions[0] if versions else 0 for versions in seen] == [0] * 4 + [5] * 5 + [10] * 5 + [15] * 3


def test_only_what_came_after_it_is_read(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, 7)
    read, past = [], store.log.past

    def spied(*arguments: Any) -> Any:
        read.append(len(rows := past(*arguments)))
        return rows

    monkeypatch.setattr(store.log, "past", spied)
    assert load(store)[1] == 7
    assert read == [2]


def test_a_command_that_comes_again_is_recognised_through_it(store: EventStore) -> None:
    receipts = [write(store, 1, first=number) for number in range(12)]
    for number in range(6, 12):
        assert write(store, 1, first=number) == receipts[number]
    assert load(store)[1] == 12
    nothing = store.agency("jobcenter").change(GuestBook, "1", lambda _: [], command_id="c-x")
    assert nothing == receipts[-1]


def test_personal_fields_stay_sealed_in_it(store: EventStore) -> None:
    write(store, 5)
    ((_, data),) = kept(store)
    assert SECRET not in data
    assert load(store)[0].pages[-1].text == f"{SECRET} 4"


def test_it_goes_with_the_key_of_a_person_in_it(store: EventStore) -> None:
    write(store, 4)
    write(store, 1, first=4, person="p-2")
    assert kept(store)
    store.keys.destroy("jobcenter", "p-1")
    assert kept(store) == []
    assert [page.text for page in load(store)[0].pages] == [ERASED, f"{SECRET} 4"]
    write(store, 1, first=5, person="p-2")
    assert [version for version, _ in kept(store)] == [6]
    assert load(store)[0] == replayed(store)


def test_an_erasure_that_failed_leaves_it(store: EventStore) -> None:
    write(store, 5)
    with rolled_back(store.database) as tx:
        store.keys.destroy("jobcenter", "p-1", tx)
    store.keys._cache.clear()
    assert kept(store)
    store.keys.destroy("health insurer", "p-1")
    store.keys.destroy("jobcenter", "p-3")
    assert kept(store)


def test_one_that_was_kept_while_the_person_was_erased_is_not_used(store: EventStore) -> None:
    write(store, 5)
    with store.database.read() as tx:
        row = dict(tx.execute(text("select * from snapshots")).mappings().one())
    store.keys.destroy("jobcenter", "p-1")
    for name in ("data", "commands", "personal", "persons"):
        row[name] = row[name] if isinstance(row[name], str) else orjson.dumps(row[name]).decode()
    with store.database.write() as tx:
        columns = ", ".join(row)
        tx.execute(text(f"insert into snapshots ({columns}) values ({', '.join(':' + name for name in row)})"), row)
    assert [page.text for page in load(store)[0].pages] == [ERASED, ERASED]


def test_another_version_of_the_aggregate_does_not_read_it(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, 6)
    with store.database.write() as tx:
        tx.execute(text("update snapshots set data = '{}'"))
    monkeypatch.setattr(GuestBook, "snapshot_version", 2, raising=False)
    assert load(store) == (replayed(store), 6)
    write(store, 1, first=6)
    assert len(kept(store)) == 2


def test_it_stands_or_falls_with_the_transaction_around_the_change(store: EventStore) -> None:
    write(store, 4)
    with rolled_back(store.database) as tx:
        write(store, 1, first=4, tx=tx)
    assert kept(store) == []
    with store.database.write() as tx:
        write(store, 2, first=4, tx=tx)
    assert [version for version, _ in kept(store)] == [5]


def test_a_field_moved_from_one_snapshot_to_another_does_not_open(store: EventStore) -> None:
    write(store, 5)
    with store.database.write() as tx:
        tx.execute(text("update snapshots set version = 4"))
    with pytest.raises(Invalid, match=r"sealed\.not_authentic"):
        load(store)


def test_an_aggregate_that_would_keep_personal_data_in_clear_has_no_snapshots(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Loose:
        snapshot_every: ClassVar[int] = 5
        texts: tuple[str | Erased, ...] = ()

    with pytest.raises(TypeError, match=r"Loose\.texts"):
        every(Loose)
    assert every(GuestBook) == 5
    assert every(Slow) == 0
