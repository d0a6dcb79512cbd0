"""The partner's queue: numbers without gaps, and nothing that belongs to somebody else."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given as whatever
from hypothesis import settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from services.exchange import partner_queue
from services.exchange.partner_queue import IN_WINDOW, Kind, Place

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)


@pytest.fixture
def tx() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        partner_queue.metadata.create_all(opened)
        yield opened
    engine.dispose()


def put(tx: Connection, disclosure_id: str, partner_id: str = "drv", kind: Kind = Kind.DISCLOSURE) -> int:
    partner_queue.put(
        tx,
        agency="jc",
        partner_id=partner_id,
        kind=kind,
        disclosure_id=disclosure_id,
        channel="feed",
        document="{}",
        consents=("c-1", "c-2"),
        now=NOW,
    )
    row = partner_queue.find(tx, "jc", disclosure_id, kind)
    assert row is not None
    return int(row.id)


def leave(tx: Connection, row_id: int, partner_id: str = "drv") -> int | None:
    sequence = partner_queue.leave(tx, row_id, "jc", partner_id)
    partner_queue.move(tx, row_id, Place.HANDED_OVER, only_from=(Place.LEAVING,))
    return sequence


def numbers(tx: Connection, partner_id: str = "drv", after: int = 0) -> list[int]:
    return [row.sequence for row in partner_queue.page(tx, "jc", partner_id, after, 100)]


def test_numbers_are_given_when_something_leaves(tx: Connection) -> None:
    first, second = put(tx, "d-1"), put(tx, "d-2")
    assert (leave(tx, second), leave(tx, first)) == (1, 2)


def test_what_was_stopped_before_it_left_leaves_no_gap(tx: Connection) -> None:
    first, second, third = (put(tx, f"d-{number}") for number in range(3))
    leave(tx, first)
    partner_queue.move(tx, second, Place.STOPPED, only_from=(Place.QUEUED,))
    assert leave(tx, second) is None
    leave(tx, third)
    assert numbers(tx) == [1, 2]


def test_every_partner_counts_for_itself(tx: Connection) -> None:
    assert leave(tx, put(tx, "d-1", "drv"), "drv") == 1
    assert leave(tx, put(tx, "d-2", "kk"), "kk") == 1


def test_what_leaves_together_is_numbered_for_each_partner_in_the_order_of_the_line(tx: Connection) -> None:
    leave(tx, put(tx, "d-0", "drv"), "drv")
    partners = {put(tx, f"d-{number}", each): each for number, each in enumerate(("kk", "drv", "drv", "kk"), start=1)}
    found = partner_queue.leave_together(tx, "jc", dict(reversed(partners.items())))
    assert [found[row_id] for row_id in partners] == [1, 2, 3, 2]
    assert partner_queue.leave_together(tx, "jc", partners) == found
    assert leave(tx, put(tx, "d-5", "drv"), "drv") == 4


def test_what_was_stopped_does_not_leave_with_the_others(tx: Connection) -> None:
    rows = [put(tx, f"d-{number}") for number in range(3)]
    partner_queue.move(tx, rows[1], Place.STOPPED, only_from=(Place.QUEUED,))
    assert partner_queue.leave_together(tx, "jc", dict.fromkeys(rows, "drv")) == {rows[0]: 1, rows[2]: 2}


def test_a_partner_that_reads_nothing_takes_no_place_in_the_line(tx: Connection) -> None:
    first, *others = (put(tx, f"d-{number}", "silent") for number in range(4))
    last = put(tx, "d-9", "drv")
    assert [row.id for row in partner_queue.waiting(tx, "feed", room=1, limit=2)] == [first, others[0]]
    partner_queue.leave(tx, first, "jc", "silent")
    assert [row.id for row in partner_queue.waiting(tx, "feed", room=1, limit=2)] == [first, last]
    partner_queue.move(tx, first, Place.HANDED_OVER, only_from=(Place.LEAVING,))
    assert [row.id for row in partner_queue.waiting(tx, "feed", room=1, limit=2)] == [last]
    assert [row.id for row in partner_queue.waiting(tx, "feed", room=2, limit=2)] == others[:2]


def test_what_leaves_again_keeps_its_number(tx: Connection) -> None:
    first = put(tx, "d-1")
    assert partner_queue.leave(tx, first, "jc", "drv") == 1
    assert partner_queue.leave(tx, first, "jc", "drv") == 1
    assert leave(tx, put(tx, "d-2")) == 2


def test_a_document_is_queued_once_for_each_kind(tx: Connection) -> None:
    first = put(tx, "d-1")
    assert put(tx, "d-1") == first
    assert put(tx, "d-1", kind=Kind.RETRACTION) != first
    assert len(partner_queue.waiting_for(tx, "jc", "drv")) == 2


def test_a_partner_sees_only_what_was_handed_to_it(tx: Connection) -> None:
    leave(tx, put(tx, "d-1", "drv"))
    put(tx, "d-2", "drv")
    assert numbers(tx, "drv") == [1]
    assert numbers(tx, "kk") == []
    assert partner_queue.page(tx, "other agency", "drv", 0, 100) == []


def test_a_partner_goes_on_behind_its_number(tx: Connection) -> None:
    for number in range(4):
        leave(tx, put(tx, f"d-{number}"))
    assert numbers(tx, after=2) == [3, 4]


def test_what_was_stopped_after_it_left_is_no_longer_shown(tx: Connection) -> None:
    row = put(tx, "d-1")
    leave(tx, row)
    assert partner_queue.move(tx, row, Place.STOPPED, only_from=IN_WINDOW)
    assert numbers(tx) == []


def test_a_document_moves_only_from_where_it_is_thought_to_be(tx: Connection) -> None:
    row = put(tx, "d-1")
    assert not partner_queue.move(tx, row, Place.DONE, only_from=IN_WINDOW)
    assert [found.id for found in partner_queue.waiting_for(tx, "jc", "drv")] == [row]


def test_only_what_the_partner_may_have_is_closed_by_its_word(tx: Connection) -> None:
    waiting, gone = put(tx, "d-1"), put(tx, "d-2")
    leave(tx, gone)
    for disclosure_id in ("d-1", "d-2"):
        partner_queue.close(tx, "jc", "kk", disclosure_id, Kind.DISCLOSURE, only_from=IN_WINDOW)
        partner_queue.close(tx, "jc", "drv", disclosure_id, Kind.RETRACTION, only_from=IN_WINDOW)
    assert partner_queue.in_windows(tx, "feed") == {("jc", "drv"): 1}
    for disclosure_id in ("d-1", "d-2"):
        partner_queue.close(tx, "jc", "drv", disclosure_id, Kind.DISCLOSURE, only_from=IN_WINDOW)
    assert partner_queue.in_windows(tx, "feed") == {}
    assert [row.id for row in partner_queue.waiting_for(tx, "jc", "drv")] == [waiting]


def test_a_draft_is_kept_until_it_is_dropped(tx: Connection) -> None:
    partner_queue.keep_draft(tx, "jc", "d-1", "sealed", NOW)
    assert partner_queue.kept_draft(tx, "jc", "d-1") == "sealed"
    assert partner_queue.kept_draft(tx, "other agency", "d-1") is None
    partner_queue.drop_draft(tx, "jc", "d-1")
    assert partner_queue.kept_draft(tx, "jc", "d-1") is None


@settings(max_examples=25, deadline=None)
@whatever(st.lists(st.sampled_from(["leave", "stop"]), max_size=12))
def test_whatever_is_stopped_the_numbers_have_no_gaps(steps: list[str]) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as tx:
        partner_queue.metadata.create_all(tx)
        for place, step in enumerate(steps):
            row = put(tx, f"d-{place}")
            if step == "stop":
                partner_queue.move(tx, row, Place.STOPPED, only_from=(Place.QUEUED,))
            leave(tx, row)
        assert numbers(tx) == list(range(1, steps.count("leave") + 1))
    engine.dispose()
