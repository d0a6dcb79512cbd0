"""What the event store promises, wherever it lives."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.clock import SystemClock
from shared.domain import ERASED, Receipt
from shared.errors import Conflict, Invalid, Refused, Unavailable
from shared.eventstore import EventStore
from shared.eventstore.codec import Draft
from shared.eventstore.log import Append, Stream
from shared.eventstore.store import uuid7
from tests.support.notebook import MeetingNoted, Mood, Note, Notebook, NotebookOpened, NoteTaken
from tests.support.stores import Place, rolled_back

HERE = Stream("a", "notebook", "notebook-1")
SECRET = "she told nobody but us"


def take(*texts: str, person: str = "p-1") -> Any:
    return lambda notebook: notebook.take(person, *texts)


def draft(version: int) -> Draft:
    return Draft(version, "NotebookOpened", 1, '{"title":"x"}', '{"command":"c"}', uuid7(datetime.now(UTC)))


def raw_text(store: EventStore) -> str:
    with store.database.read() as tx:
        rows = tx.execute(text("select cast(data as text), cast(meta as text) from events")).all()
    return "".join("".join(row) for row in rows)


# --- appending and reading ----------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back_in_order(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    first = agency.change(Notebook, "1", lambda n: n.open("Ä"), command_id="c-1", actor="a-1", trace="00-t")
    second = agency.change(Notebook, "1", take("one", "two"), command_id="c-2")

    assert first == Receipt("notebook-1", 1, first.position)
    assert (second.version, second.position) == (3, first.position + 2)
    assert agency.load(Notebook, "1") == (Notebook("Ä", ("one", "two")), 3)
    records = agency.read(Notebook, "1")
    assert [record.version for record in records] == [1, 2, 3]
    assert (records[0].command_id, records[0].actor, records[0].trace) == ("c-1", "a-1", "00-t")
    assert (records[0].agency, records[0].category, records[0].id) == ("jobcenter", "notebook", "1")
    assert records[0].event == NotebookOpened(title="Ä")
    assert records == store.follow(0)


def test_nothing_has_happened_to_what_nobody_made(store: EventStore) -> None:
    assert store.agency("jobcenter").load(Notebook, "unknown") == (Notebook(), 0)
    assert store.follow(0) == []
    assert (store.position(), store.settled()) == (0, 0)


def test_everything_a_field_can_hold_comes_back(store: EventStore) -> None:
    noted = MeetingNoted(
        host_id="p-1",
        guest_id="p-2",
        host="Erika",
        guest="",
        notes=(Note(person_id="p-2", text="\u20ac 'quoted' \U0001f91d \\ %s ? :x", mood=Mood.HURRIED),),
        on=date(2026, 2, 28),
        at=datetime(2026, 2, 28, 12, 30, 1, 5, tzinfo=UTC),
    )
    store.agency("jobcenter").change(Notebook, "1", lambda _: [noted], command_id="c")
    assert store.follow(0)[0].event == noted


def test_many_events_of_one_decision_keep_their_order(store: EventStore) -> None:
    texts = tuple(str(number) for number in range(250))
    receipt = store.agency("jobcenter").change(Notebook, "1", take(*texts), command_id="c")
    records = store.follow(0)
    assert receipt.version == 250
    assert [record.version for record in records] == list(range(1, 251))
    assert [record.position for record in records] == sorted(record.position for record in records)
    assert store.agency("jobcenter").load(Notebook, "1")[0].texts == texts


def test_deciding_nothing_writes_nothing(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    opened = agency.change(Notebook, "1", lambda n: n.open("x"), command_id="c-1")
    assert agency.change(Notebook, "1", lambda _: [], command_id="c-2") == opened
    assert agency.change(Notebook, "2", lambda _: [], command_id="c-3") == Receipt("notebook-2", 0, 0)
    assert store.position() == opened.position


def test_a_refusal_writes_nothing(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, "1", lambda n: n.open("x"), command_id="c-1")
    with pytest.raises(Refused, match=r"notebook\.open_already"):
        agency.change(Notebook, "1", lambda n: n.open("y"), command_id="c-2")
    assert agency.load(Notebook, "1")[1] == 1


def test_the_log_is_read_page_by_page(store: EventStore) -> None:
    for number in range(7):
        store.agency(f"a-{number % 2}").change(Notebook, str(number), take("x", "y"), command_id="c")
    seen: list[int] = []
    while page := store.follow(seen[-1] if seen else 0, limit=3):
        assert len(page) <= 3
        seen += [record.position for record in page]
    assert len(seen) == 14
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("name", ["", "x" * 101, "a\x00b", "\ud800"])
def test_an_id_that_no_table_can_hold_is_refused(store: EventStore, name: str) -> None:
    with pytest.raises(Invalid):
        store.agency("jobcenter").change(Notebook, name, take("x"), command_id="c")


def test_a_command_needs_an_id_and_a_store_an_agency(store: EventStore) -> None:
    with pytest.raises(Invalid):
        store.agency("jobcenter").change(Notebook, "1", take("x"), command_id="")
    with pytest.raises(Invalid):
        store.agency("")


def test_ids_sort_by_the_time_they_were_made() -> None:
    early, late = uuid7(datetime(2026, 1, 1, tzinfo=UTC)), uuid7(datetime(2026, 1, 2, tzinfo=UTC))
    assert early < late
    assert early[14] == "7"


# --- commands that come twice, and at once ------------------------------------------------------------------------


def test_the_same_command_again_gets_the_first_receipt(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    first = agency.change(Notebook, "1", take("a", "b"), command_id="c-1")
    agency.change(Notebook, "1", take("c"), command_id="c-2")
    assert agency.change(Notebook, "1", take("a", "b"), command_id="c-1") == first
    assert agency.load(Notebook, "1")[1] == 3


def test_two_copies_of_a_command_at_once_happen_once(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    for round_ in range(5):
        together = threading.Barrier(4)

        def send(_: int, round_: int = round_, together: threading.Barrier = together) -> Receipt:
            together.wait()
            return agency.change(Notebook, f"n-{round_}", take("once"), command_id="the same")

        with ThreadPoolExecutor(4) as pool:
            receipts = set(pool.map(send, range(4)))
        assert len(receipts) == 1
        assert agency.load(Notebook, f"n-{round_}")[1] == 1


def test_different_commands_at_once_are_decided_one_after_the_other(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    together = threading.Barrier(3)

    def send(number: int) -> int:
        together.wait()
        return agency.change(Notebook, "1", take(f"from {number}"), command_id=f"c-{number}").version

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(send, range(3))) == [1, 2, 3]
    assert len(set(agency.load(Notebook, "1")[0].texts)) == 3


def test_who_is_always_overtaken_gets_a_conflict(store: EventStore) -> None:
    agency, seen = store.agency("jobcenter"), []

    def overtaken(notebook: Notebook) -> Any:
        seen.append(len(notebook.texts))
        agency.change(Notebook, "1", take("faster"), command_id=f"other-{len(seen)}")
        return notebook.take("p-1", "slower")

    with pytest.raises(Conflict):
        agency.change(Notebook, "1", overtaken, command_id="c")
    assert seen == [0, 1, 2, 3, 4]
    assert agency.load(Notebook, "1")[0].texts == ("faster",) * 5


def test_who_is_overtaken_once_decides_anew(store: EventStore) -> None:
    agency = store.agency("jobcenter")

    def overtaken(notebook: Notebook) -> Any:
        if not notebook.texts:
            agency.change(Notebook, "1", take("faster"), command_id="other")
        return notebook.take("p-1", f"after {len(notebook.texts)}")

    assert agency.change(Notebook, "1", overtaken, command_id="c").version == 2
    assert agency.load(Notebook, "1")[0].texts == ("faster", "after 1")


def test_all_events_of_a_decision_are_written_or_none(store: EventStore) -> None:
    now = datetime.now(UTC)
    with store.database.direct() as direct:
        assert store.log.append(direct, Append(HERE, 0, [draft(1), draft(2)], now))
        assert store.log.append(direct, Append(HERE, 1, [draft(2), draft(3)], now)) is None
        assert store.log.append(direct, Append(HERE, 0, [draft(3), draft(1)], now)) is None
        assert len(store.log.stream(direct, "a", "notebook-1")) == 2


def test_no_version_is_written_before_the_one_it_follows(store: EventStore) -> None:
    with store.database.direct() as direct:
        assert store.log.append(direct, Append(HERE, 1, [draft(2)], datetime.now(UTC))) is None
        many = [draft(2), draft(3)]
        assert store.log.append(direct, Append(HERE, 1, many, datetime.now(UTC))) is None
        assert store.log.position(direct) == 0


# --- within somebody else's transaction ---------------------------------------------------------------------------


def test_a_change_stands_or_falls_with_the_transaction_around_it(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    with rolled_back(store.database) as tx:
        agency.change(Notebook, "1", take("lost"), command_id="c", tx=tx)
    assert agency.load(Notebook, "1")[1] == 0
    with store.database.write() as tx:
        receipt = agency.change(Notebook, "1", take("kept"), command_id="c", tx=tx)
        again = agency.change(Notebook, "1", take("kept"), command_id="c", tx=tx)
        assert agency.load(Notebook, "1", tx)[1] == 1
    assert receipt == again
    assert agency.load(Notebook, "1")[0].texts == ("kept",)


def test_a_key_made_in_a_transaction_that_failed_is_not_remembered(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    with rolled_back(store.database) as tx:
        agency.change(Notebook, "1", take("lost", person="p-new"), command_id="c", tx=tx)
    agency.change(Notebook, "1", take("kept", person="p-new"), command_id="c")
    store.keys._cache.clear()
    assert agency.load(Notebook, "1")[0].texts == ("kept",)


@pytest.mark.real_postgres
def test_being_overtaken_does_not_spoil_the_transaction_around_it(postgres_url: str, tmp_path: Any) -> None:
    from tests.support.stores import place

    with place("postgresql", tmp_path, postgres_url) as found:
        store = found.store(found.database())
        agency = store.agency("jobcenter")

        def overtaken(notebook: Notebook) -> Any:
            if not notebook.texts:
                agency.change(Notebook, "1", take("faster"), command_id="other")
            return notebook.take("p-1", "mine")

        with store.database.write() as tx:
            tx.execute(text("insert into bookmarks (name, position) values ('beside', 1)"))
            assert agency.change(Notebook, "1", overtaken, command_id="c", tx=tx).version == 2
        assert agency.load(Notebook, "1")[0].texts == ("faster", "mine")
        with store.database.read() as tx:
            assert tx.execute(text("select count(*) from bookmarks")).scalar() == 1
        store.database.close()


# --- agencies -----------------------------------------------------------------------------------------------------


def test_an_agency_cannot_reach_the_stream_of_another(store: EventStore) -> None:
    ours, theirs = store.agency("jobcenter"), store.agency("health insurer")
    ours.change(Notebook, "1", take(SECRET), command_id="c")
    assert theirs.load(Notebook, "1") == (Notebook(), 0)
    assert theirs.read(Notebook, "1") == []
    theirs.change(Notebook, "1", take("theirs"), command_id="c")
    assert ours.load(Notebook, "1")[0].texts == (SECRET,)
    assert theirs.load(Notebook, "1")[0].texts == ("theirs",)


def test_no_event_is_without_an_agency(store: EventStore) -> None:
    with pytest.raises(DBAPIError), store.database.write() as tx:
        tx.execute(text(_insert("null")))


def _insert(agency: str) -> str:
    return (
        "insert into events"
        " (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)"
        f" values ({agency}, 'notebook-9', 1, 'notebook', 'NotebookOpened', 1, '{{\"title\":\"x\"}}',"
        " '{\"command\":\"c\"}', '018f0000-0000-7000-8000-000000000000', '2026-01-01T00:00:00Z')"
    )


# --- nothing is ever changed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["update events set data = '{}'", "delete from events"])
def test_events_are_never_changed_or_removed(store: EventStore, statement: str) -> None:
    store.agency("jobcenter").change(Notebook, "1", take("stays"), command_id="c")
    with pytest.raises(DBAPIError, match="events are never"), store.database.write() as tx:
        tx.execute(text(statement))
    assert store.agency("jobcenter").load(Notebook, "1")[0].texts == ("stays",)


# --- personal fields ----------------------------------------------------------------------------------------------


def test_personal_fields_are_sealed_in_the_table(store: EventStore) -> None:
    store.agency("jobcenter").change(Notebook, "1", take(SECRET), command_id="c")
    assert SECRET not in raw_text(store)
    assert '"p-1"' in raw_text(store)


def test_an_erased_person_cannot_be_read_any_more(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, "1", take(SECRET), command_id="c-1")
    agency.change(Notebook, "1", take("about another", person="p-2"), command_id="c-2")
    store.keys.destroy("jobcenter", "p-1")
    assert agency.load(Notebook, "1")[0].texts == (ERASED, "about another")
    assert isinstance(store.follow(0)[0].event, NoteTaken)
    assert store.follow(0)[0].event.note.text is ERASED  # type: ignore[attr-defined]


def test_of_an_event_about_two_people_the_other_half_stays(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    met = MeetingNoted(host_id="p-1", guest_id="p-2", host="Erika", guest="Max")
    agency.change(Notebook, "1", lambda _: [met], command_id="c")
    store.keys.destroy("jobcenter", "p-1")
    (record,) = agency.read(Notebook, "1")
    assert record.event == MeetingNoted(host_id="p-1", guest_id="p-2", host=ERASED, guest="Max")


def test_erasing_at_one_agency_leaves_the_other_alone(store: EventStore) -> None:
    for name in ("jobcenter", "health insurer"):
        store.agency(name).change(Notebook, "1", take(SECRET), command_id="c")
    store.keys.destroy("jobcenter", "p-1")
    assert store.agency("health insurer").load(Notebook, "1")[0].texts == (SECRET,)


def test_nothing_new_is_recorded_under_an_erased_id(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    store.keys.destroy("jobcenter", "p-1")
    with pytest.raises(Refused, match=r"person\.erased"):
        agency.change(Notebook, "1", take(SECRET), command_id="c")
    agency.change(Notebook, "1", lambda n: n.open("without personal fields"), command_id="c-2")
    assert agency.load(Notebook, "1")[1] == 1


def test_an_erased_field_may_be_written_on_as_erased(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    store.keys.destroy("jobcenter", "p-1")
    agency.change(Notebook, "1", lambda _: [NoteTaken(note=Note(person_id="p-1", text=ERASED))], command_id="c")
    assert agency.load(Notebook, "1")[0].texts == (ERASED,)


@pytest.mark.parametrize(
    "moved",
    [
        {"stream": "notebook-2"},
        {"agency": "health insurer"},
        {"version": 2},
        {"meta": ("p-1", "p-2")},
    ],
    ids=str,
)
def test_a_sealed_field_opens_nowhere_but_in_its_place(store: EventStore, moved: dict[str, Any]) -> None:
    for name in ("jobcenter", "health insurer"):
        agency = store.agency(name)
        agency.change(Notebook, "other", take("x", person="p-1"), command_id="c")
        agency.change(Notebook, "other", take("x", person="p-2"), command_id="c-2")
    store.agency("jobcenter").change(Notebook, "1", take(SECRET), command_id="c")
    with store.database.read() as tx:
        row = dict(tx.execute(text("select * from events where stream = 'notebook-1'")).mappings().one())
    for name in ("data", "meta"):
        row[name] = row[name] if isinstance(row[name], str) else orjson.dumps(row[name]).decode()
    row = {**row, "version": 1, "stream": "notebook-copy"} | {k: v for k, v in moved.items() if k != "meta"}
    if "version" in moved or "agency" in moved:
        row["stream"] = "notebook-1"
    if "meta" in moved:
        row["meta"] = row["meta"].replace(*moved["meta"])
        row["stream"] = "notebook-1"
        row["version"] = 2
    del row["position"]
    names = ", ".join(row)
    with store.database.write() as tx:
        tx.execute(text(f"insert into events ({names}) values ({', '.join(':' + name for name in row)})"), row)
    with pytest.raises(Invalid, match=r"sealed\.not_authentic"):
        store.follow(store.position() - 1)


def test_a_lost_table_of_keys_is_not_taken_for_an_erasure(store: EventStore) -> None:
    store.agency("jobcenter").change(Notebook, "1", take(SECRET), command_id="c")
    with store.database.write() as tx:
        tx.execute(text("delete from person_keys"))
    store.keys._cache.clear()
    with pytest.raises(Unavailable, match=r"person\.key_missing"):
        store.follow(0)


def test_erasure_is_seen_by_a_store_that_had_the_key(shared_place: Place) -> None:
    here, there = shared_place.database(), shared_place.database()
    reader, eraser = shared_place.store(here), shared_place.store(there)
    reader.agency("jobcenter").change(Notebook, "1", take(SECRET), command_id="c")
    eraser.keys.destroy("jobcenter", "p-1")
    reader.keys._cache.clear()
    assert reader.agency("jobcenter").load(Notebook, "1")[0].texts == (ERASED,)
    here.close()
    there.close()


# --- older and newer events ---------------------------------------------------------------------------------------


def test_an_older_event_is_read_as_one_of_today(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, "other", take("x"), command_id="c")
    _write(store, "NoteTaken", 1, {"person_id": "p-1", "words": "/words"})
    assert agency.read(Notebook, "old")[0].event == NoteTaken(note=Note(person_id="p-1", text=SECRET))
    store.keys.destroy("jobcenter", "p-1")
    assert agency.read(Notebook, "old")[0].event == NoteTaken(note=Note(person_id="p-1", text=ERASED))


def test_an_event_nobody_knows_stops_the_reader(store: EventStore) -> None:
    _write(store, "NeverDeclared", 1, {})
    with pytest.raises(Invalid, match=r"event\.unknown"):
        store.follow(0)


def test_an_event_from_a_newer_version_stops_the_reader(store: EventStore) -> None:
    _write(store, "NotebookOpened", 2, {"title": "x"})
    with pytest.raises(Invalid, match=r"event\.newer"):
        store.follow(0)


def _write(store: EventStore, type_: str, schema_version: int, data: dict[str, str]) -> None:
    """A row as an older or newer program would have written it; values that are pointers are sealed there."""
    from shared.canonical import canonical

    personal = {value: "p-1" for value in data.values() if value.startswith("/")}
    written: dict[str, Any] = dict(data)
    for pointer in personal:
        bound_to = canonical(["jobcenter", "notebook-old", 1, pointer, schema_version])
        sealed = store.keys.seal("jobcenter", "p-1", orjson.dumps(SECRET), bound_to)
        written[pointer[1:]] = {"$sealed": sealed, "v": 1}
    meta = orjson.dumps({"command": "c", "personal": personal}).decode()
    row = Draft(1, type_, schema_version, orjson.dumps(written).decode(), meta, uuid7(datetime.now(UTC)))
    with store.database.direct() as direct:
        stream = Stream("jobcenter", "notebook", "notebook-old")
        store.log.append(direct, Append(stream, 0, [row], datetime.now(UTC)))


# --- waking up ----------------------------------------------------------------------------------------------------


def test_a_reader_is_woken_by_an_append(store: EventStore) -> None:
    agency = store.agency("jobcenter")
    agency.change(Notebook, "0", take("makes the key"), command_id="c")
    after = store.settled()
    later = threading.Timer(0.15, lambda: agency.change(Notebook, "1", take("x"), command_id="c"))
    later.start()
    began = time.monotonic()
    assert store.wait(after, 5)
    assert time.monotonic() - began < 2
    later.join()
    assert store.wait(after, 0)
    assert len(store.follow(after)) == 1


def test_a_reader_that_nobody_wakes_gives_up_in_time(store: EventStore) -> None:
    began = time.monotonic()
    assert not store.wait(0, 0.2)
    assert 0.15 < time.monotonic() - began < 2


def test_a_reader_is_woken_after_the_transaction_around_a_change(store: EventStore) -> None:
    rung: list[int] = []
    store._bell.ring = lambda: rung.append(store.position())  # type: ignore[method-assign]
    with store.database.write() as tx:
        store.agency("jobcenter").change(Notebook, "1", take("x"), command_id="c", tx=tx)
        assert rung == []
    assert rung == [1]


def test_a_reader_sees_what_another_process_appended(shared_place: Place) -> None:
    here, there = shared_place.database(), shared_place.database()
    reader, writer = shared_place.store(here), shared_place.store(there)
    there.key = "as if in another process"
    assert not reader.wait(0, 0)
    writer.agency("jobcenter").change(Notebook, "1", take("x"), command_id="c")
    assert reader.wait(0, 2)
    assert [record.version for record in reader.follow(0)] == [1]
    here.close()
    there.close()


def test_the_clock_of_the_store_dates_the_events(shared_place: Place) -> None:
    class Fixed(SystemClock):
        def now(self) -> datetime:
            return datetime(2020, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)

    database = shared_place.database()
    store = shared_place.store(database, Fixed())
    store.agency("jobcenter").change(Notebook, "1", take("x"), command_id="c")
    assert store.follow(0)[0].recorded_at == datetime(2020, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)
    database.close()
