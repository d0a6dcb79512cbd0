"""A message is handled once, however late it comes again, and its note is dropped with the day it was made on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from shared.database import Database
from shared.eventstore import EventStore, ddl_0002
from shared.eventstore.inbox import (
    KEPT,
    SLOTS,
    UNDATED,
    Arrival,
    day_of,
    first_time,
    first_times,
    forget,
    heard_long_ago,
    heard_up_to,
    is_noted,
    slot_of,
)
from shared.eventstore.store import uuid7
from shared.eventstore.tables import create_0001
from tests.support.stores import Place, rolled_back

TODAY = date(2026, 3, 1)


def made(day: date) -> str:
    """The id of a message of that day."""
    return uuid7(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def notes(store: EventStore) -> int:
    with store.database.read() as tx:
        return int(tx.execute(text("select count(*) from inbox")).scalar_one())


def test_a_message_is_new_only_once_for_each_consumer(store: EventStore) -> None:
    with store.database.write() as tx:
        assert first_time(tx, "audit", "m-1")
        assert not first_time(tx, "audit", "m-1")
        assert first_time(tx, "cases", "m-1")
    with store.database.write() as tx:
        assert not first_time(tx, "audit", "m-1")
        assert is_noted(tx, "audit", "m-1")
        assert not is_noted(tx, "audit", "m-2")


def test_a_message_whose_handling_failed_is_new_again(store: EventStore) -> None:
    with rolled_back(store.database) as tx:
        assert first_time(tx, "audit", "m-1")
    with store.database.write() as tx:
        assert first_time(tx, "audit", "m-1")


def test_what_was_noted_before_notes_had_days_stays_noted() -> None:
    database, dated = Database("sqlite://"), made(TODAY)
    with database.write() as tx:
        create_0001(tx)
        for message_id in ("m-1", dated):
            values = {"id": message_id, "day": "2026-03-01"}
            tx.execute(text("insert into inbox values ('audit', :id, :day)"), values)
        ddl_0002.change(tx)
        assert first_times(tx, "audit", ["m-1", dated, "m-2"]) == {"m-2"}
    database.close()


def test_of_a_batch_only_the_new_ones_are_left(store: EventStore) -> None:
    today = made(TODAY)
    with store.database.write() as tx:
        assert first_times(tx, "audit", ["m-1", today, today]) == {"m-1", today}
        assert first_times(tx, "audit", [today, "m-3"]) == {"m-3"}
        assert first_times(tx, "audit", []) == set()


def test_the_same_message_at_two_workers_at_once_is_new_for_one(shared_place: Place) -> None:
    databases = [shared_place.database() for _ in range(2)]
    together = threading.Barrier(2)

    def receive(number: int) -> bool:
        together.wait()
        with databases[number].write() as tx:
            return first_time(tx, "audit", "m-1")

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(receive, range(2))) == [False, True]
    for database in databases:
        database.close()


@pytest.mark.parametrize("day", [date(1970, 1, 1), TODAY, date(2400, 12, 31)])
def test_an_id_tells_its_day(day: date) -> None:
    assert day_of(made(day)) == day
    assert slot_of(made(day)) == (day - date(1970, 1, 1)).days % SLOTS


@pytest.mark.parametrize("other", ["", "m-1", "9b2f9a0e-1f0e-4c35-9a57-1f9d8c3b2a10", "x" * 14 + "7" + "x" * 21])
def test_any_other_id_tells_none(other: str) -> None:
    assert day_of(other) is None
    assert slot_of(other) == UNDATED


def test_notes_are_dropped_by_the_day_their_message_was_made_on(store: EventStore) -> None:
    ids = {days: made(ago(days)) for days in (-1, 0, 30, 31, 38)}
    with store.database.write() as tx:
        first_times(tx, "audit", ["undated", *ids.values()])
    forget(store.database, TODAY)
    with store.database.read() as tx:
        left = {days for days, message_id in ids.items() if is_noted(tx, "audit", message_id)}
        assert left == {-1, 0, 30}
        assert is_noted(tx, "audit", "undated")
    assert notes(store) == 4


def test_more_notes_than_one_step_takes_are_dropped_as_well(store: EventStore) -> None:
    with store.database.write() as tx:
        for _ in range(3):
            first_times(tx, "audit", [made(ago(33)) for _ in range(700)])
    forget(store.database, TODAY)
    assert notes(store) == 0


def test_a_machine_that_forgets_every_day_never_drops_what_is_kept(store: EventStore) -> None:
    every_day = [TODAY + timedelta(days=number) for number in range(2 * SLOTS + 3)]
    for day in every_day:
        with store.database.write() as tx:
            assert first_time(tx, "audit", made(day))
        forget(store.database, day)
    assert notes(store) == KEPT.days + 1


def arrival(day: date, position: int, source: str = "consent") -> Arrival:
    return Arrival(made(day), source, position)


def test_what_comes_again_after_its_note_was_dropped_is_known_by_its_place(store: EventStore) -> None:
    handled, never_heard = arrival(ago(40), 10), arrival(ago(40), 11)
    other_source = arrival(ago(40), 5, "cases")
    with store.database.write() as tx:
        first_times(tx, "audit", [handled.message_id])
        heard_up_to(tx, "audit", [handled])
    forget(store.database, TODAY)
    with store.database.read() as tx:
        asked = heard_long_ago(tx, "audit", [handled, never_heard, other_source], TODAY)
    assert asked == {handled.message_id}


def test_what_is_younger_is_judged_by_its_note_alone(store: EventStore) -> None:
    """A broker may hand over 9 after 10; neither may get lost."""
    with store.database.write() as tx:
        heard_up_to(tx, "audit", [arrival(TODAY, 10)])
    forget(store.database, TODAY)
    with store.database.read() as tx:
        assert heard_long_ago(tx, "audit", [arrival(TODAY, 9), arrival(ago(30), 9)], TODAY) == set()


def test_a_source_without_positions_is_judged_by_notes_alone(store: EventStore) -> None:
    with store.database.write() as tx:
        heard_up_to(tx, "audit", [arrival(ago(40), 10), arrival(ago(40), 0)])
    forget(store.database, TODAY)
    with store.database.read() as tx:
        assert heard_long_ago(tx, "audit", [arrival(ago(40), 0)], TODAY) == set()


def test_a_mark_never_goes_back(store: EventStore) -> None:
    with store.database.write() as tx:
        heard_up_to(tx, "audit", [arrival(TODAY, 10)])
        heard_up_to(tx, "audit", [arrival(TODAY, 7)])
        assert tx.execute(text("select position from inbox_marks")).scalar_one() == 10


def test_a_clock_that_ran_ahead_drops_notes_but_lets_nothing_happen_twice(store: EventStore) -> None:
    handled, next_one = arrival(TODAY, 10), arrival(TODAY, 11)
    with store.database.write() as tx:
        first_times(tx, "audit", [handled.message_id])
        heard_up_to(tx, "audit", [handled])
    for days in range(0, 400, 7):
        forget(store.database, TODAY + timedelta(days=days))
    assert notes(store) == 0
    with store.database.read() as tx:
        assert heard_long_ago(tx, "audit", [handled, next_one], TODAY) == {handled.message_id}


def test_a_message_from_a_clock_that_runs_ahead_happens_once(store: EventStore) -> None:
    """Its note lies in a slot that is emptied any day now."""
    ahead = arrival(TODAY + timedelta(days=SLOTS - 35), 10)
    with store.database.write() as tx:
        assert heard_long_ago(tx, "audit", [ahead], TODAY) == set()
        assert first_time(tx, "audit", ahead.message_id)
        heard_up_to(tx, "audit", [ahead])
    forget(store.database, TODAY)
    with store.database.read() as tx:
        assert heard_long_ago(tx, "audit", [ahead], TODAY) == {ahead.message_id}
