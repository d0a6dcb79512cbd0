"""A message that cannot be handled waits, and its stream with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from shared.eventstore import EventStore
from shared.eventstore.parked import (
    first_of_streams,
    how_many_wait,
    next_of_stream,
    park,
    parked,
    parked_message,
    repair,
    unpark,
    waiting_streams,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
LATEST = NOW + timedelta(hours=1)


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


def due(tx: Connection, **options: Any) -> list[str]:
    return [each.message_id for _, each in first_of_streams(tx, "audit", **options)]


def test_a_parked_message_keeps_its_place_and_counts_its_attempts(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        put_aside(tx, "m-2")
        put_aside(tx, "m-1", code="database.unavailable", next_attempt_at=NOW + timedelta(hours=1))
    with store.database.read() as tx:
        first, second = parked(tx, "audit")
        assert how_many_wait(tx, "audit") == 2
    assert (first.message_id, first.attempts, first.code) == ("m-1", 2, "database.unavailable")
    assert (first.body, first.parked_at) == ({"consent": "c-1"}, NOW)
    assert first.next_attempt_at == NOW + timedelta(hours=1)
    assert (second.message_id, second.attempts) == ("m-2", 1)


def test_a_parked_message_that_only_comes_again_stays_as_it_is(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        before = parked(tx, "audit")
        put_aside(tx, "m-1", code="inbox.behind_another", attempts=0, next_attempt_at=NOW)
        assert parked(tx, "audit") == before


def test_only_the_first_of_each_stream_is_tried_and_only_when_its_time_has_come(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1", next_attempt_at=NOW)
        put_aside(tx, "behind", next_attempt_at=NOW)
        put_aside(tx, "m-2", stream="consent-2", next_attempt_at=NOW + timedelta(seconds=1))
        put_aside(tx, "m-3", stream="consent-3", consumer="cases", next_attempt_at=NOW)
        put_aside(tx, "m-4", stream="consent-4", next_attempt_at=NOW)
        assert due(tx, due=(NOW, LATEST)) == ["m-1", "m-4"]
        assert due(tx) == ["m-1", "m-2", "m-4"]
        number = first_of_streams(tx, "audit")[0][0]
        assert due(tx, after=number, limit=1) == ["m-2"]


def test_an_attempt_that_a_wrong_clock_put_off_for_a_year_is_due(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1", next_attempt_at=NOW + timedelta(days=365))
        assert due(tx, due=(NOW, LATEST)) == ["m-1"]


def test_a_stream_goes_on_with_what_is_next(store: EventStore) -> None:
    with store.database.write() as tx:
        for message_id in ("m-1", "m-2"):
            put_aside(tx, message_id)
        unpark(tx, "audit", "m-1")
        following = next_of_stream(tx, "audit", "consent-1")
        assert following is not None
        assert following.message_id == "m-2"
        unpark(tx, "audit", "m-2")
        assert next_of_stream(tx, "audit", "consent-1") is None


def test_the_stream_of_a_parked_message_waits_until_it_is_taken_off(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        assert waiting_streams(tx, "audit", ["consent-1", "consent-2"]) == {"consent-1"}
        assert waiting_streams(tx, "cases", ["consent-1"]) == set()
        assert unpark(tx, "audit", "m-1")
        assert not unpark(tx, "audit", "m-1")
        assert waiting_streams(tx, "audit", ["consent-1"]) == set()


def test_a_repaired_message_keeps_its_place_and_is_due(store: EventStore) -> None:
    with store.database.write() as tx:
        put_aside(tx, "m-1")
        put_aside(tx, "m-2")
        assert repair(tx, "audit", "m-1", {"consent": "c-2"}, NOW)
        assert not repair(tx, "audit", "m-9", {}, NOW)
        found = parked_message(tx, "audit", "m-1")
        assert found is not None
        assert found.body == {"consent": "c-2"}
        assert parked_message(tx, "audit", "m-9") is None
        assert due(tx, due=(NOW, LATEST)) == ["m-1"]
