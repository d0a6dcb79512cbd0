"""A message is handled once; one that cannot be handled waits, and its stream with it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from shared.eventstore import EventStore
from shared.eventstore.inbox import (
    first_time,
    first_times,
    forget_before,
    park,
    parked,
    unpark,
    waiting_streams,
)
from tests.support.stores import Place, rolled_back

DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def put_aside(tx: Connection, message_id: str, **changes: Any) -> None:
    wanted: dict[str, Any] = {
        "consumer": "audit",
        "message_id": message_id,
        "stream": "consent-1",
        "type": "consent.ConsentWithdrawn.v1",
        "agency": "jobcenter",
        "body": {"consent": "c-1"},
        "code": "message.poison",
        "now": NOW,
        "next_attempt_at": NOW + timedelta(minutes=1),
    }
    park(tx, **{**wanted, **changes})


def test_a_message_is_new_only_once_for_each_consumer(store: EventStore) -> None:
    with store.database.write() as tx:
        assert first_time(tx, "audit", "m-1", DAY)
        assert not first_time(tx, "audit", "m-1", DAY)
        assert first_time(tx, "cases", "m-1", DAY)
    with store.database.write() as tx:
        assert not first_time(tx, "audit", "m-1", DAY + timedelta(days=1))


def test_a_message_whose_handling_failed_is_new_again(store: EventStore) -> None:
    with rolled_back(store.database) as tx:
        assert first_time(tx, "audit", "m-1", DAY)
    with store.database.write() as tx:
        assert first_time(tx, "audit", "m-1", DAY)


def test_of_a_batch_only_the_new_ones_are_left(store: EventStore) -> None:
    with store.database.write() as tx:
        assert first_times(tx, "audit", ["m-1", "m-2", "m-2"], DAY) == {"m-1", "m-2"}
        assert first_times(tx, "audit", ["m-2", "m-3"], DAY) == {"m-3"}
        assert first_times(tx, "audit", [], DAY) == set()


def test_the_same_message_at_two_workers_at_once_is_new_for_one(shared_place: Place) -> None:
    databases = [shared_place.database() for _ in range(2)]
    together = threading.Barrier(2)

    def receive(number: int) -> bool:
        together.wait()
        with databases[number].write() as tx:
            return first_time(tx, "audit", "m-1", DAY)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(receive, range(2))) == [False, True]
    for database in databases:
        database.close()


def test_old_notes_are_dropped_in_small_steps(store: EventStore) -> None:
    with store.database.write() as tx:
        first_times(tx, "audit", [f"old-{number}" for number in range(5)], DAY)
        first_time(tx, "audit", "new", DAY + timedelta(days=1))
        assert forget_before(tx, DAY + timedelta(days=1), limit=3) == 3
        assert forget_before(tx, DAY + timedelta(days=1), limit=3) == 2
        assert forget_before(tx, DAY + timedelta(days=1), limit=3) == 0
        assert not first_time(tx, "audit", "new", DAY)


def test_a_parked_message_keeps_its_place_and_counts_its_attempts(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        put_aside(tx, "m-2")
        put_aside(tx, "m-1", code="database.unavailable", next_attempt_at=NOW + timedelta(hours=1))
    with store.database.read() as tx:
        first, second = parked(tx, "audit")
    assert (first.message_id, first.attempts, first.code) == ("m-1", 2, "database.unavailable")
    assert (first.body, first.parked_at) == ({"consent": "c-1"}, NOW)
    assert first.next_attempt_at == NOW + timedelta(hours=1)
    assert (second.message_id, second.attempts) == ("m-2", 1)


def test_only_messages_whose_time_has_come_are_due(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1", next_attempt_at=NOW)
        put_aside(tx, "m-2", next_attempt_at=NOW + timedelta(seconds=1))
        put_aside(tx, "m-3", consumer="cases", next_attempt_at=NOW)
        assert [message.message_id for message in parked(tx, "audit", due=NOW)] == ["m-1"]


def test_the_stream_of_a_parked_message_waits_until_it_is_taken_off(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        assert waiting_streams(tx, "audit", ["consent-1", "consent-2"]) == {"consent-1"}
        assert waiting_streams(tx, "cases", ["consent-1"]) == set()
        assert unpark(tx, "audit", "m-1")
        assert not unpark(tx, "audit", "m-1")
        assert waiting_streams(tx, "audit", ["consent-1"]) == set()
