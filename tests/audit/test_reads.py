"""Reading the log about a person is itself an entry: who, why, about whom, and never in plain words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.audit.domain.reading import Reading
from services.audit.evidence import audit_log
from services.audit.reads import log_read
from shared.audit import Leaf, verify_opening
from shared.errors import Invalid
from shared.eventstore import AgencyStore
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import fresh

AGENCY = "jc"
USUAL: dict[str, Any] = {"by": "adler", "role": "auditor", "way": "search", "reason": "Beschwerde von Ute Beispiel"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


class Desk:
    def __init__(self, platform: LocalPlatform) -> None:
        self.context = platform.contexts["audit"]
        self.store: AgencyStore = self.context.store.agency(AGENCY)
        self.log = audit_log(self.context)

    def read(self, **changed: Any):
        values = {"read_id": fresh("read"), **USUAL, **changed}
        return log_read(self.store, self.log, self.context.clock, **values)


@pytest.fixture
def desk(platform: LocalPlatform) -> Desk:
    return Desk(platform)


def test_a_reading_is_an_entry_with_commitments_and_no_plain_word(desk: Desk) -> None:
    person = fresh("person")
    entry = desk.read(person_id=person, query={"norm": "§ 67d SGB X"})
    leaf = Leaf.parse(entry.leaf_bytes)
    assert (leaf.kind, leaf.sender, leaf.details) == ("log_read", AGENCY, {"way": "search", "role": "auditor"})
    assert set(leaf.commitments) == {"person", "by", "reason", "query"}
    for secret in (person, "adler", "Beispiel", "§ 67d SGB X"):
        assert secret.encode() not in entry.leaf_bytes
    verify_opening(leaf, "person", entry.openings["person"].key, person)
    assert [each.idx for each in desk.log.by_person(AGENCY, person)] == [entry.idx]


def test_the_same_reading_again_is_the_same_entry(desk: Desk) -> None:
    read_id, person = fresh("read"), fresh("person")
    first, again = (desk.read(read_id=read_id, person_id=person) for _ in range(2))
    assert (first.idx, first.leaf_bytes, first.receipt_text) == (again.idx, again.leaf_bytes, again.receipt_text)


def test_the_reason_can_be_read_later_and_lies_sealed_until_then(desk: Desk) -> None:
    read_id = fresh("read")
    desk.read(read_id=read_id, person_id=fresh("person"))
    kept = desk.store.load(Reading, read_id)[0].read
    assert kept is not None
    assert (kept.reason, kept.by) == (USUAL["reason"], "adler")
    rows = [row for row in desk.context.store.rows(0, 1000) if row.stream == f"reading-{read_id}"]
    assert "Beispiel" not in json.dumps([row.data for row in rows])


def test_a_reading_about_an_erased_person_is_logged_and_brings_nobody_back(desk: Desk) -> None:
    person = fresh("person")
    desk.read(person_id=person)
    desk.context.keys.destroy(AGENCY, person)
    desk.log.forget(AGENCY, person)
    entry = desk.read(person_id=person)
    assert Leaf.parse(entry.leaf_bytes).kind == "log_read"
    assert desk.log.by_person(AGENCY, person) == []


def test_a_reading_about_nobody_in_particular_is_logged_too(desk: Desk) -> None:
    entry = desk.read(way="export", query={"first_day": "2026-01-01"})
    assert set(Leaf.parse(entry.leaf_bytes).commitments) == {"by", "reason", "query"}


@pytest.mark.parametrize("missing", ["by", "reason"])
def test_without_a_reader_or_a_reason_nothing_is_read(desk: Desk, missing: str) -> None:
    before = desk.log.size(AGENCY)
    with pytest.raises(Invalid) as refused:
        desk.read(**{missing: " "})
    assert [problem.pointer for problem in refused.value.problems] == [f"/{missing}"]
    assert desk.log.size(AGENCY) == before
