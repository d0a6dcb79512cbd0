"""The keeper's commands: what they tell, what they change, and with which exit code they end."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from services.audit.evidence import audit_log
from services.audit.inbound import HANDLERS
from services.audit.watching import Watch
from services.command.keys import change_log_key
from services.command.main import handschlag
from shared.audit import Leaf, verify_receipt
from shared.config import Settings
from shared.errors import Invalid, Refused
from shared.event_hashes import _message as message
from shared.event_hashes import hash_once
from shared.merkle import NotProven
from shared.messaging import Consumer
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import Workplace, request_of


@dataclass
class Keeper:
    folder: Path

    def says(self, *arguments: str, **environment: str) -> Result:
        own = {"HANDSCHLAG_STATE": str(self.folder), "HANDSCHLAG_DATABASE": f"sqlite:///{self.folder}", **environment}
        return CliRunner().invoke(handschlag, ["log", *arguments], env=own, catch_exceptions=False)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path, clock=FixedClock()) as running:
        yield running


@pytest.fixture
def at(platform: LocalPlatform) -> Workplace:
    made = Workplace.of(platform)
    person, partner = made.person(), made.partner()
    made.entry(person, "benefit_data")
    made.request(request_of(person, partner, "benefit_data"))
    partner.documents()
    platform.deliver_messages()
    return made


def hashed(platform: LocalPlatform, service: str) -> None:
    context, sent = platform.contexts[service], []
    while hash_once(context, lambda batches: sent.extend(message(context, each) for each in batches)):
        pass
    Consumer(platform.contexts["audit"], HANDLERS).handle(sent)


def test_a_log_with_nothing_wrong_ends_well(at: Workplace, keeper: Keeper) -> None:
    said = keeper.says("check", "--agency", at.agency)
    assert (said.exit_code, said.output) == (0, "nothing is wrong\n")


def test_what_the_sweep_found_is_told_by_the_check(at: Workplace, keeper: Keeper, platform: LocalPlatform) -> None:
    audit = platform.contexts["audit"]
    entry = audit_log(audit).append(at.agency, Leaf(kind="intent", time=datetime(2026, 3, 1, tzinfo=UTC)), key="lost")
    Watch(audit).tick()
    said = keeper.says("check", "--agency", at.agency)
    assert said.exit_code == 1
    assert f"log.intent_unknown at entry {entry.idx}" in said.output
    status = json.loads(keeper.says("status", "--agency", at.agency, "--json").output)
    assert [each["code"] for each in status["findings"]] == ["log.intent_unknown"]
    assert {each["source"] for each in status["checks"]} == {"check", "reconcile", "sweep"}


def test_a_changed_event_is_named_by_the_check_of_events(
    at: Workplace, keeper: Keeper, platform: LocalPlatform
) -> None:
    for service in ("consent", "cases", "health", "exchange"):
        hashed(platform, service)
    said = keeper.says("check", "--agency", at.agency, "--events")
    assert said.exit_code == 0, said.output
    row = platform.contexts["cases"].store.rows(0, 10)[1]
    with platform.contexts["cases"].database.write() as tx:
        tx.execute(text("drop trigger events_are_never_changed"))
        tx.execute(text(f"update events set meta = meta || ' ' where position = {row.position}"))
    said = keeper.says("check", "--agency", at.agency, "--events")
    assert said.exit_code == 1
    assert f"cases: event.changed {row.stream} {row.version}" in said.output


def test_retention_is_told_before_it_is_done_and_done_once(keeper: Keeper, tmp_path: Path) -> None:
    with local_platform(tmp_path, clock=FixedClock(datetime(2015, 1, 2, 10, tzinfo=UTC))) as platform:
        log = audit_log(platform.contexts["audit"])
        log.append("jobcenter", Leaf(kind="denial"), key="old")
    planned = json.loads(keeper.says("retention", "run", "--dry-run", "--json").output)
    assert planned["dry_run"] is True
    assert [(each["rule"], each["count"]) for each in planned["deleted"]] == [("refused", 1)]
    assert json.loads(keeper.says("retention", "run", "--json").output)["deleted"] == planned["deleted"]
    assert keeper.says("retention", "run").output == "0 deleted\n"
    said = keeper.says("check", "--agency", "jobcenter")
    assert said.exit_code == 0, said.output


def test_on_postgresql_nobody_deletes_who_was_not_named() -> None:
    with pytest.raises(Invalid, match="RETENTION"):
        Settings(database="postgresql://handschlag_audit@host").retention_url()
    named = Settings(database="postgresql://handschlag_audit@host", retention="postgresql://handschlag_retention@host")
    assert named.retention_url() == "postgresql+psycopg://handschlag_retention@host/handschlag_audit"


def test_the_worker_deletes_by_night_only_where_it_was_told_to(platform: LocalPlatform, at: Workplace) -> None:
    audit = platform.contexts["audit"]
    log = audit_log(audit)
    log.append(at.agency, Leaf(kind="denial", time=datetime(2015, 1, 2, tzinfo=UTC)), key="old")
    Watch(audit).tick()
    assert log.of_kind(at.agency, "erasure") == []
    enabled = replace(audit, settings=replace(audit.settings, retention="sqlite://"))
    for _ in range(2):
        Watch(enabled).tick()
    assert len(log.of_kind(at.agency, "erasure")) == 1


# --- the key --------------------------------------------------------------------------------------------------------


@dataclass
class Before:
    """What a platform left behind that runs no more: an agency, its log's key, a disclosure and its consent."""

    agency: str
    settings: Settings
    key: str
    disclosure_id: str
    consent_id: str


@pytest.fixture
def before(tmp_path: Path) -> Before:
    with local_platform(tmp_path, clock=FixedClock()) as platform:
        at = Workplace.of(platform)
        person, partner = at.person(), at.partner("measure_provider", "provider")
        at.entry(person, "coaching_content")
        consent = at.consent(person, partner.partner_id, "coaching_content")
        wanted = request_of(person, partner, "coaching_content", purpose="referral")
        at.request(wanted)
        partner.documents()
        platform.deliver_messages()
        log = audit_log(platform.contexts["audit"])
        key = log.verifier_key(log.origins(at.agency)[-1])
        return Before(at.agency, platform.contexts["audit"].settings, key, wanted.disclosure_id, consent)


def test_a_new_key_signs_beside_the_old_one_and_the_change_is_an_entry(before: Before, tmp_path: Path) -> None:
    change_log_key(before.settings, date(2026, 6, 1))
    with local_platform(tmp_path, clock=FixedClock()) as again:
        log = audit_log(again.contexts["audit"])
        for _ in range(2):
            Watch(again.contexts["audit"]).tick()
        (entry,) = log.of_kind(before.agency, "key_change")
        leaf = Leaf.parse(entry.leaf_bytes or b"")
        present = log.verifier_key(entry.origin)
        assert leaf.details == {"verifier_key": present, "former": before.key, "until": "2026-06-01"}
        logged = log.receipt(before.agency, entry.origin, entry.idx)
        for key in (before.key, present):
            verify_receipt(logged.receipt_text, logged.leaf_bytes, key)
        assert log.fsck(before.agency) == []


def test_after_the_overlap_the_old_key_signs_no_more_and_what_it_signed_holds(before: Before, tmp_path: Path) -> None:
    change_log_key(before.settings, date(2026, 6, 1))
    with local_platform(tmp_path, clock=FixedClock(datetime(2026, 6, 2, 10, tzinfo=UTC))) as later:
        log = audit_log(later.contexts["audit"])
        logged = log.append(before.agency, Leaf(kind="looked"), key="later")
        verify_receipt(logged.receipt_text, logged.leaf_bytes, log.verifier_key(logged.origin))
        with pytest.raises(NotProven):
            verify_receipt(logged.receipt_text, logged.leaf_bytes, before.key)
        first = log.entries(before.agency)[1]
        old = log.receipt(before.agency, first.origin, first.idx)
        verify_receipt(old.receipt_text, old.leaf_bytes, before.key)
        assert log.fsck(before.agency) == []


def test_a_disclosure_from_before_the_change_of_key_can_still_be_taken_back(before: Before, tmp_path: Path) -> None:
    change_log_key(before.settings, date(2026, 6, 1))
    with local_platform(tmp_path, clock=FixedClock()) as again:
        later = Workplace(again, before.agency)
        later.withdraw(before.consent_id)
        again.deliver_messages()
        assert later.disclosure(before.disclosure_id).state == "retracted"


def test_the_key_is_not_changed_again_while_two_keys_sign(before: Before) -> None:
    change_log_key(before.settings, date(2999, 1, 1))
    with pytest.raises(Refused, match="key_overlap"):
        change_log_key(before.settings, date(2999, 1, 1))
