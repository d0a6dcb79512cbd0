"""A hash of every event of every service stands in the log: a store that was changed afterwards shows."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from services.audit import tables
from services.audit.event_log import (
    CHANGED,
    LIST_CHANGED,
    LIST_MISSING,
    NOT_IN_LOG,
    REMOVED,
    Comparison,
    lists_kept_since,
    log_batch,
)
from services.audit.evidence import audit_log
from services.audit.inbound import HANDLERS, log_own_hashes
from services.exchange.domain.agency import Agency, AgencyRegistered, Kind
from shared.audit import Leaf, verify_opening
from shared.errors import Forbidden
from shared.event_hashes import BOOKMARK, Batch, EventsHashed, event_hash, hash_once, message_type, unsealed
from shared.event_hashes import _message as message
from shared.eventstore import Bookmark
from shared.messaging import Consumer
from tests.audit.conftest import AGENCY, Installation
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.stores import place as store_place
from tests.support.workplace import NAME, Workplace

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def platform(tmp_path_factory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


@pytest.fixture
def own(tmp_path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path, clock=FixedClock()) as running:
        yield running


def busy(platform: LocalPlatform) -> Workplace:
    """An agency with some events in every service."""
    at = Workplace.of(platform)
    for _ in range(2):
        person = at.person()
        at.entry(person, "benefit_data")
        at.consent(person, at.partner().partner_id, "benefit_data")
    return at


def hash_all(platform: LocalPlatform, service: str) -> list:
    """As the service does it: hashed, sent, heard by the log."""
    context, audit, sent = platform.contexts[service], platform.contexts["audit"], []

    def publish(batches):
        if service == "audit":
            log_own_hashes(audit, batches)
        sent.extend(message(context, each) for each in batches)

    while hash_once(context, publish):
        pass
    if service != "audit":
        Consumer(audit, HANDLERS).handle(sent)
    return sent


def compare(platform: LocalPlatform, service: str = "cases"):
    audit = platform.contexts["audit"]
    store = platform.contexts[service].store
    return Comparison(audit_log(audit), service, store.rows, lists_kept_since(audit.clock)).run()


def tamper(platform: LocalPlatform, service: str, *statements: str) -> None:
    with platform.contexts[service].database.write() as tx:
        for statement in statements:
            tx.execute(text(statement))


@pytest.mark.parametrize("service", ["consent", "cases", "health", "exchange", "audit"])
def test_every_event_of_every_service_agrees_with_the_log(platform, service):
    busy(platform)
    hash_all(platform, service)
    compared = compare(platform, service)
    assert compared.findings == set()
    assert (compared.events, compared.not_yet) == (len(platform.contexts[service].store.rows(0, 10_000)), 0)


def test_an_entry_commits_to_the_list_beside_it(platform):
    at = busy(platform)
    hash_all(platform, "cases")
    log = audit_log(platform.contexts["audit"])
    entry = log.of_kind(at.agency, "event")[-1]
    leaf = Leaf.parse(entry.leaf_bytes)
    opening = log.openings(at.agency, entry.origin, entry.idx)["event"]
    verify_opening(leaf, "event", opening.key, opening.value)
    assert leaf.details["service"] == "cases"
    assert int(leaf.details["count"]) == len(opening.value["events"])


def test_an_event_that_was_edited_is_named(own):
    at = busy(own)
    hash_all(own, "cases")
    changed = own.contexts["cases"].store.rows(0, 100)[2]
    tamper(
        own,
        "cases",
        "drop trigger events_are_never_changed",
        f"update events set data = data || ' ' where position = {changed.position}",
    )
    (found,) = compare(own).findings
    assert (found.code, found.agency, found.stream, found.version) == (
        CHANGED,
        at.agency,
        changed.stream,
        changed.version,
    )


@pytest.mark.parametrize(
    "column", ["agency", "stream", "version", "category", "type", "schema_version", "meta", "event_id", "recorded_at"]
)
def test_no_column_of_an_event_can_be_changed_unseen(own, column):
    busy(own)
    hash_all(own, "cases")
    value = "version + 100" if column == "version" else "schema_version + 1" if column == "schema_version" else None
    value = value or ("'2026-01-01T00:00:00.000000Z'" if column == "recorded_at" else f"{column} || 'x'")
    tamper(
        own,
        "cases",
        "drop trigger events_are_never_changed",
        f"update events set {column} = {value} where position = 2",
    )
    assert compare(own).findings


def test_an_event_that_was_removed_is_named(own):
    busy(own)
    hash_all(own, "cases")
    gone = own.contexts["cases"].store.rows(0, 100)[1]
    tamper(
        own, "cases", "drop trigger events_are_never_removed", f"delete from events where position = {gone.position}"
    )
    assert {(each.code, each.stream, each.version) for each in compare(own).findings} == {
        (REMOVED, gone.stream, gone.version)
    }


def test_a_store_that_was_cut_at_its_end_is_seen(own):
    busy(own)
    hash_all(own, "cases")
    tamper(own, "cases", "drop trigger events_are_never_removed", "delete from events where position > 3")
    assert {each.code for each in compare(own).findings} == {REMOVED}


def test_an_event_that_was_put_in_afterwards_is_named(own):
    at = busy(own)
    hash_all(own, "cases")
    columns = "agency, category, type, schema_version, data, meta, recorded_at"
    tamper(
        own,
        "cases",
        "drop trigger events_are_never_removed",
        "create table moved as select * from events where position = 2",
        "delete from events where position = 2",
        f"insert into events (position, stream, version, event_id, {columns})"
        f" select 2, 'person-made-up', 1, 'x', {columns} from moved",
    )
    found = {(each.code, each.agency, each.stream) for each in compare(own).findings}
    assert (NOT_IN_LOG, at.agency, "person-made-up") in found


def test_an_event_of_an_agency_that_logged_nothing_in_between_is_named_too(own):
    first, second = busy(own), busy(own)
    hash_all(own, "cases")
    rows = own.contexts["cases"].store.rows(0, 100)
    place = next(row.position for row in rows if row.agency == second.agency)
    tamper(
        own,
        "cases",
        "drop trigger events_are_never_changed",
        f"update events set agency = 'nobody' where position = {place}",
    )
    codes = {(each.code, each.agency) for each in compare(own).findings}
    assert codes == {(REMOVED, second.agency), (NOT_IN_LOG, "nobody")}
    assert first.agency


def test_events_that_are_not_hashed_yet_are_counted_and_no_finding(own):
    busy(own)
    hash_all(own, "cases")
    busy(own)
    compared = compare(own)
    assert compared.findings == set()
    assert compared.not_yet > 0


def test_a_page_that_is_hashed_again_after_a_crash_is_harmless(own):
    busy(own)
    hash_all(own, "cases")
    database = own.contexts["cases"].database
    with database.write() as tx:
        Bookmark(database, BOOKMARK).move(tx, 0)
    busy(own)
    hash_all(own, "cases")
    compared = compare(own)
    assert (compared.findings, compared.not_yet) == (set(), 0)


def test_a_message_that_comes_twice_is_one_entry(own):
    at = busy(own)
    sent = hash_all(own, "cases")
    before = len(audit_log(own.contexts["audit"]).of_kind(at.agency, "event"))
    for each in sent:
        HANDLERS[each.type].function(own.contexts["audit"], _seen(each), each)
    assert len(audit_log(own.contexts["audit"]).of_kind(at.agency, "event")) == before


def _seen(each) -> EventsHashed:
    return EventsHashed(**each.data)


def test_a_list_that_was_changed_or_removed_is_a_finding_of_its_own(own):
    busy(own)
    hash_all(own, "cases")
    tamper(own, "audit", "update opening set value = replace(value, 'person-', 'nobody-') where field = 'event'")
    assert {each.code for each in compare(own).findings} == {LIST_CHANGED}
    tamper(own, "audit", "delete from opening where field = 'event'")
    assert {each.code for each in compare(own).findings} == {LIST_MISSING}


def test_a_list_that_went_at_the_end_of_its_retention_is_counted(own):
    busy(own)
    hash_all(own, "cases")
    tamper(own, "audit", "delete from opening where field = 'event'")
    audit, cases = own.contexts["audit"], own.contexts["cases"]
    later = datetime(2030, 1, 1, tzinfo=UTC)
    compared = Comparison(audit_log(audit), "cases", cases.store.rows, later).run()
    assert (compared.findings, compared.unlisted) == (set(), 1)


def test_the_message_tells_how_many_and_nothing_else(own):
    busy(own)
    sent = hash_all(own, "cases")
    for each in sent:
        assert set(each.data) == {"after", "last", "count", "sealed"}
        wire = json.dumps(each.data)
        assert NAME not in wire
        assert "person" not in wire
        rows = own.contexts["cases"].store.rows(0, 100)
        assert not any(event_hash(row) in wire or row.stream in wire for row in rows)


def test_two_hashes_of_the_same_events_have_nothing_in_common(own):
    busy(own)
    first = hash_all(own, "cases")
    database = own.contexts["cases"].database
    with database.write() as tx:
        Bookmark(database, BOOKMARK).move(tx, 0)
    second = hash_all(own, "cases")
    log = audit_log(own.contexts["audit"])
    agency = first[0].agency
    commitments = [Leaf.parse(each.leaf_bytes).commitments["event"] for each in log.of_kind(agency, "event")]
    assert len(set(commitments)) == len(commitments) == 2
    assert first[0].data["sealed"] != second[0].data["sealed"]


def test_only_the_audit_service_opens_a_batch_and_only_as_its_message_says(own):
    busy(own)
    (sent,) = hash_all(own, "cases")
    seen = _seen(sent)
    identity = own.contexts["audit"].identity
    assert isinstance(unsealed(identity, "cases", sent.agency, seen), Batch)
    with pytest.raises(Forbidden):
        unsealed(own.contexts["exchange"].identity, "cases", sent.agency, seen)
    for service, agency in (("consent", sent.agency), ("cases", "another")):
        with pytest.raises(ValueError, match="another"):
            unsealed(identity, service, agency, seen)
    assert message_type("cases") in HANDLERS


@pytest.mark.parametrize("kind", ["file", pytest.param("postgresql", marks=pytest.mark.real_postgres)])
def test_on_both_databases_the_text_as_it_was_written_is_hashed(kind, tmp_path, request):
    server = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    with store_place(kind, tmp_path, server) as found:
        database = found.database()
        store = found.store(database, FixedClock())
        made = AgencyRegistered(name="Amt", kind=Kind(body="jobcenter", domain="sgb_ii"))
        for number in range(3):
            store.agency(AGENCY).change(Agency, f"a-{number}", lambda _: [made], command_id="c")
        log = Installation(f"sqlite:///{tmp_path / 'audit.db'}", tmp_path)
        tables.create(log.database())
        opened = log.log()
        rows = store.rows(0, 10)
        events = tuple((row.stream, row.version, event_hash(row)) for row in rows)
        log_batch(opened, Batch("exchange", AGENCY, 0, rows[-1].position, events, bytes(32)), "k")
        assert Comparison(opened, "exchange", store.rows, LONG_AGO).run().findings == set()
        with database.write() as tx:
            on = " on events" if tx.dialect.name == "postgresql" else ""
            tx.execute(text(f"drop trigger events_are_never_changed{on}"))
            cast = "::json" if tx.dialect.name == "postgresql" else ""
            added = f"(' ' || data{'::text' if cast else ''}){cast}"
            tx.execute(text(f"update events set data = {added} where position = {rows[1].position}"))
        (changed,) = Comparison(opened, "exchange", store.rows, LONG_AGO).run().findings
        assert (changed.code, changed.stream) == (CHANGED, rows[1].stream)
        log.stop()
        database.close()
