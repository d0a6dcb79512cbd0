"""What is due goes, by the schedule and by a role of its own; all other proofs hold, and each deletion is an entry."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg.errors import InsufficientPrivilege, RaiseException
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from services.audit import tables
from services.audit.domain.retention import Period, What, schedule
from services.audit.retention import (
    SCHEDULE,
    Retention,
    forget_person,
    load_schedule,
    log_erasures,
    provide_periods,
)
from services.audit.sequencer import forgetting
from shared.audit import Leaf, verify_receipt
from shared.database import Database
from shared.errors import Invalid
from shared.migrate import migrate
from shared.policy import present_law
from tests.audit.conftest import AGENCY, PREFIX, Installation
from tests.audit.dying_retention import DIED, POINTS
from tests.conftest import cannot_be_had
from tests.support.receipts import intent
from tests.support.servers import NoServerError, Postgres, private_postgres
from tests.support.shared_data import REPOSITORY
from tests.support.stores import rolled_back

STAYS = {"year_opened", "origin_restarted", "configuration", "rule_set", "key_change", "erasure"}
DAY = datetime(2014, 5, 4, 10, 0, tzinfo=UTC)


def at(installation: Installation, year: int, month: int = 5, day: int = 4) -> None:
    installation.clock.moment = datetime(year, month, day, 10, 0, tzinfo=UTC)


def disclose(log, key, *, person="p-1", categories=("master_data",), kind="intent", time=None, obligations=()):
    content = {name: {"text": name} for name in categories}
    leaf, openings = intent(content, person=person, kind=kind, time=time, obligations=obligations)
    return log.append(AGENCY, leaf, key=key, openings=openings, person=person)


def retention(installation: Installation, **more) -> Retention:
    database = installation.database()
    provide_periods(database, load_schedule())
    return Retention(database, load_schedule(), installation.clock, **more)


def run(installation: Installation, log, **more) -> list:
    at_work = retention(installation, **more)
    done = at_work.run()
    log_erasures(log, at_work.database)
    at_work.database.close()
    return done


def kept(log, year) -> list[str]:
    """The kinds of the entries of a year whose bytes are still there."""
    return [Leaf.parse(each.leaf_bytes).kind for each in log.entries(AGENCY, year=year) if each.leaf_bytes]


def erasures(log) -> list[Leaf]:
    leaves = [Leaf.parse(each.leaf_bytes) for each in log.of_kind(AGENCY, "erasure")]
    return sorted(leaves, key=lambda each: each.time)


@pytest.fixture
def old(installation):
    """A log that began in 2014: a permit with its outcome, a denial, and in 2015 somebody else's permit."""
    at(installation, 2014)
    log = installation.log()
    permit = disclose(log, "d-1")
    log.append(AGENCY, Leaf(kind="outcome", about=permit.reference, result="matched"), key="d-1:outcome")
    disclose(log, "d-2", kind="denial")
    at(installation, 2015)
    log.other = disclose(log, "d-3", person="p-2")
    return log


def verifies(log, entry) -> None:
    verify_receipt(entry.receipt_text, entry.leaf_bytes, log.verifier_key(entry.origin))
    assert log.find(AGENCY, "d-3").receipt_text == entry.receipt_text


# --- the schedule ---------------------------------------------------------------------------------------------------


def test_every_kind_of_entry_has_a_period_or_stays_with_its_year():
    leaf_md = (REPOSITORY / "contracts" / "formats" / "leaf.md").read_text("utf-8")
    rows = leaf_md.split("## Kinds")[1].split("## Commitments")[0].splitlines()
    kinds = {kind for row in rows if row.startswith("| `") for kind in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    named = {kind for rule in load_schedule().rules for kind in rule.kinds} - {"any"}
    assert kinds == named | STAYS


def test_every_token_of_the_schedule_is_a_word_of_the_law():
    law = present_law()
    words = {*law.vocabulary.categories, *law.obligations}
    assert {rule.token for rule in load_schedule().rules} - {""} <= words


def test_permitted_disclosures_stand_ten_years_and_refusals_three():
    periods = {rule.id: (rule.what, rule.period.years, rule.period.months) for rule in load_schedule().rules}
    assert periods["permitted"] == (What.ENTRY, 10, 0)
    assert periods["refused"] == (What.ENTRY, 3, 0)
    assert periods["retrieval_79"] == (What.ENTRY, 0, 6)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"period": "ten years"}, "/retention/0"),
        ({"period": ""}, "/retention/0/period"),
        ({"certainty": "sure"}, "/retention/0/certainty"),
        ({"what": "all"}, "/retention/0"),
        ({"kinds": []}, "/retention/0/kinds"),
        ({"what": "year", "period": "P1Y"}, "/permitted"),
        ({"id": "refused"}, "/refused"),
    ],
)
def test_a_schedule_with_a_mistake_names_the_line(change, pointer):
    content = yaml.safe_load(SCHEDULE.read_text("utf-8"))
    content["retention"][0] |= change
    with pytest.raises(Invalid) as refused:
        schedule(content, "x")
    assert pointer in [problem.pointer for problem in refused.value.problems]


@pytest.mark.parametrize("content", [None, {}, {"retention": []}, {"retention": ["x"]}, []])
def test_what_is_no_schedule_is_refused(content):
    with pytest.raises(Invalid):
        schedule(content, "x")


@pytest.mark.parametrize(
    ("period", "today", "begun"),
    [
        ("P6M", date(2026, 8, 31), date(2026, 2, 28)),
        ("P6M", date(2026, 2, 28), date(2025, 8, 31)),
        ("P6M", date(2026, 7, 15), date(2026, 1, 15)),
        ("P10Y", date(2026, 2, 28), date(2016, 2, 29)),
        ("P1Y6M", date(2026, 1, 1), date(2024, 7, 1)),
    ],
)
def test_a_period_ends_on_the_day_of_the_same_number_or_on_the_last_of_a_short_month(period, today, begun):
    assert Period.parse(period).before(today) == begun


# --- what goes, and what stays --------------------------------------------------------------------------------------


def test_nothing_goes_on_the_day_before_its_period_ends(old, installation):
    at(installation, 2017, 12, 31)
    assert run(installation, old) == []
    at(installation, 2018, 1, 1)
    assert [(each.rule, each.count) for each in run(installation, old)] == [("refused", 1)]
    assert kept(old, 2014) == ["year_opened", "intent", "outcome"]


def test_after_ten_years_from_the_end_of_the_year_the_codes_go_and_place_and_proofs_stay(old, installation):
    at(installation, 2025, 1, 2)
    run(installation, old)
    assert kept(old, 2014) == ["year_opened"]
    assert [each.idx for each in old.entries(AGENCY, year=2014)] == [0, 1, 2, 3]
    assert [each.origin for each in old.by_person(AGENCY, "p-1")] == []
    verifies(old, old.other)
    assert old.fsck(AGENCY) == []


def test_each_deletion_is_an_entry_with_counts_and_a_reason_and_never_a_person(old, installation):
    at(installation, 2025, 1, 2)
    run(installation, old)
    said = {each.details["rule"]: each for each in erasures(old)}
    assert set(said) == {"permitted", "refused"}
    assert said["permitted"].result == "retention_ended"
    assert said["permitted"].details == {
        "log": f"{PREFIX}/{AGENCY}/2014",
        "rule": "permitted",
        "what": "entry",
        "count": "2",
        "from": "1",
        "to": "2",
        "schedule": load_schedule().digest,
    }
    for each in erasures(old):
        assert b"p-1" not in each.to_bytes()
        assert each.commitments == {}


def test_a_second_run_deletes_nothing_and_logs_nothing(old, installation):
    at(installation, 2025, 1, 2)
    run(installation, old)
    before = len(erasures(old))
    assert run(installation, old) == []
    assert len(erasures(old)) == before


def test_what_would_be_deleted_is_told_without_deleting_it(old, installation):
    at(installation, 2025, 1, 2)
    planned = retention(installation).due()
    assert kept(old, 2014) == ["year_opened", "intent", "outcome", "denial"]
    assert run(installation, old) == planned
    assert retention(installation).due() == []


def test_whose_assessment_it_was_goes_after_five_years_and_the_entry_stays(installation):
    at(installation, 2014)
    log = installation.log()
    expert = disclose(log, "d-1", categories=("expert_opinion_76_2", "master_data"))
    plain = disclose(log, "d-2")
    at(installation, 2020, 1, 1)
    assert [(each.rule, each.what, each.count) for each in run(installation, log)] == [("assessment", "openings", 1)]
    assert log.openings(AGENCY, expert.origin, expert.idx) == {}
    assert log.openings(AGENCY, plain.origin, plain.idx) != {}
    assert [each.idx for each in log.by_person(AGENCY, "p-1")] == [plain.idx]
    assert log.find(AGENCY, "d-1").leaf_bytes == expert.leaf_bytes


def test_automated_retrievals_go_after_six_months_and_others_of_the_same_day_stay(installation):
    at(installation, 2014)
    log = installation.log()
    disclose(log, "d-1", obligations=("log_retrieval_79",))
    disclose(log, "d-2")
    at(installation, 2014, 11, 3)
    assert run(installation, log) == []
    at(installation, 2014, 11, 4)
    assert [(each.rule, each.count) for each in run(installation, log)] == [("retrieval_79", 1)]
    assert kept(log, 2014).count("intent") == 1


def test_an_entry_whose_time_is_ahead_hides_none_behind_it(installation):
    """After a jump of the clock a later entry can have an earlier time; each goes by its own."""
    at(installation, 2014)
    log = installation.log()
    disclose(log, "d-1", obligations=("log_retrieval_79",), time=datetime(2014, 9, 1, tzinfo=UTC))
    disclose(log, "d-2", obligations=("log_retrieval_79",))
    at(installation, 2014, 11, 10)
    assert [each.count for each in run(installation, log)] == [1]
    assert kept(log, 2014).count("intent") == 1
    at(installation, 2015, 3, 1)
    assert [each.count for each in run(installation, log)] == [1]
    assert kept(log, 2014).count("intent") == 0


def test_many_entries_go_in_slices_each_with_an_entry_of_its_own(installation, monkeypatch):
    monkeypatch.setattr("services.audit.retention.SLICE", 4)
    at(installation, 2014)
    log = installation.log()
    for number in range(10):
        log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}")
    at(installation, 2018, 1, 1)
    assert [each.count for each in run(installation, log)] == [10]
    assert sorted(each.details["count"] for each in erasures(log)) == ["2", "4", "4"]


# --- whole years ----------------------------------------------------------------------------------------------------


def test_a_whole_year_goes_when_the_next_one_names_its_last_checkpoint(old, installation):
    at(installation, 2025, 12, 31)
    run(installation, old)
    assert len(old.origins(AGENCY)) == 3
    at(installation, 2026, 1, 1)
    assert years(installation, old) == [("year", 4)]
    assert old.origins(AGENCY)[0] == f"{PREFIX}/{AGENCY}/2015"
    assert old.fsck(AGENCY) == []
    verify_receipt(old.other.receipt_text, old.other.leaf_bytes, old.verifier_key(old.other.origin))
    (dropped,) = [each for each in erasures(old) if each.details["rule"] == "year"]
    assert (dropped.result, dropped.details["log"]) == ("year_dropped", f"{PREFIX}/{AGENCY}/2014")


def years(installation, log, **more) -> list[tuple[str, int]]:
    return [(each.rule, each.count) for each in run(installation, log, **more) if each.rule == "year"]


def nothing_is_left_of(installation, origin) -> bool:
    with installation.database().read() as tx:
        named = [tables.leaf, tables.node, tables.checkpoint, tables.entry, tables.entry_key, tables.opening]
        return not any(
            tx.scalar(select(func.count()).select_from(each).where(each.c.log == origin))
            for each in [*named, tables.subject, tables.head]
        )


def test_of_a_dropped_year_nothing_is_left_but_its_last_checkpoint(old, installation):
    origin = f"{PREFIX}/{AGENCY}/2014"
    last = old.checkpoint(AGENCY, 2014)
    at(installation, 2026, 1, 1)
    years(installation, old)
    assert nothing_is_left_of(installation, origin)
    with installation.database().read() as tx:
        assert tx.execute(select(tables.dropped_log.c.note)).scalars().all() == [last]


def test_a_year_that_no_later_one_names_stays(installation):
    at(installation, 2014)
    log = installation.log()
    disclose(log, "d-1")
    at(installation, 2026, 1, 1)
    assert years(installation, log) == []


def test_a_year_stays_until_the_next_one_is_witnessed_where_a_policy_wants_it(old, installation):
    at(installation, 2026, 1, 1)
    assert years(installation, old, witnessed=lambda _log: False) == []
    assert years(installation, old, witnessed=lambda log: log.endswith("/2015")) == [("year", 4)]


def test_no_year_goes_before_an_older_one(installation):
    log = installation.log()
    for year in (2013, 2014, 2015):
        at(installation, year)
        disclose(log, f"d-{year}")
    at(installation, 2026, 1, 1)
    assert years(installation, log, witnessed=lambda each: not each.endswith("/2014")) == []
    assert [each[-4:] for each in log.origins(AGENCY)] == ["2013", "2014", "2015", "2026"]
    assert years(installation, log) == [("year", 2), ("year", 2)]


def test_a_chain_that_is_broken_where_a_year_was_dropped_is_seen(old, installation):
    at(installation, 2026, 1, 1)
    years(installation, old)
    database = installation.database()
    with database.write() as tx:
        for name in ("dropped_log_no_delete", "dropped_log_no_update"):
            on = " on dropped_log" if tx.dialect.name == "postgresql" else ""
            tx.execute(text(f"drop trigger {name}{on}"))
        tx.execute(text("update dropped_log set note = 'x'"))
    assert "log.chain_broken" in {each.code for each in old.fsck(AGENCY)}


# --- interrupted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_is_finished_by_the_next_one_and_nothing_is_logged_twice(on_file, point, monkeypatch):
    at(on_file, 2014)
    log = on_file.log()
    for number in range(9):
        log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}")
    at(on_file, 2015)
    disclose(log, "d-3", person="p-2")
    on_file.stop()
    secret = on_file.signer.private_bytes_raw().hex()
    command = [sys.executable, "-m", "tests.audit.dying_retention", on_file.url, str(on_file.heads), secret, point]
    assert subprocess.run(command, cwd=REPOSITORY, check=False, timeout=60).returncode == DIED
    at(on_file, 2026, 1, 1)
    log = on_file.log()
    run(on_file, log)
    assert log.fsck(AGENCY) == []
    assert nothing_is_left_of(on_file, f"{PREFIX}/{AGENCY}/2014")
    said = [each for each in erasures(log) if each.details["rule"] == "refused"]
    assert sum(int(each.details["count"]) for each in said) == 9
    assert [each.details["rule"] for each in erasures(log)].count("year") == 1
    assert run(on_file, log) == []


# --- a person -------------------------------------------------------------------------------------------------------


def test_an_erased_person_leaves_an_entry_with_a_count_and_nobody_elses_proof_suffers(old, installation):
    database = installation.database()
    for _ in range(2):
        with database.write() as tx:
            forget_person(tx, AGENCY, "p-1", "e-1", installation.clock.now())
        log_erasures(old, database)
    (said,) = erasures(old)
    assert (said.result, said.details) == ("person_erased", {"what": "openings", "count": "2"})
    assert old.by_person(AGENCY, "p-1") == []
    verifies(old, old.other)
    assert old.openings(AGENCY, old.other.origin, old.other.idx) != {}
    assert old.fsck(AGENCY) == []


def test_an_erasure_that_could_not_be_logged_is_logged_later(old, installation):
    database = installation.database()
    with database.write() as tx:
        forget_person(tx, AGENCY, "p-1", "e-1", installation.clock.now())
    assert erasures(old) == []
    assert log_erasures(old, database) == 1
    assert log_erasures(old, database) == 0
    assert len(erasures(old)) == 1


# --- doors and rights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["entry", "leaf", "node", "checkpoint", "head", "entry_key"])
def test_without_an_open_door_nothing_can_be_deleted(old, installation, table):
    with pytest.raises(DBAPIError, match="only grows"), installation.database().write() as tx:
        tx.execute(text(f"delete from {table}"))


def test_a_door_lets_only_its_own_kind_and_time_pass(old, installation):
    origin = f"{PREFIX}/{AGENCY}/2014"
    door = {"log": origin, "what": "entry", "kind": "denial", "token": "", "before": "2015-01-01T00:00:00.000000Z"}
    database = installation.database()
    provide_periods(database, load_schedule())
    opened = insert(tables.retention_door).values(**door)
    with rolled_back(database) as tx:
        tx.execute(opened)
        with pytest.raises(DBAPIError, match="only grows"):
            tx.execute(text("delete from entry where kind = 'intent'"))
    with database.write() as tx:
        tx.execute(opened)
        assert tx.execute(text("delete from entry where kind = 'denial'")).rowcount == 1


def test_a_process_that_dies_leaves_no_door_open(old, installation, monkeypatch):
    monkeypatch.setattr(forgetting, "note", None)
    monkeypatch.setattr("services.audit.retention.note", None)
    at(installation, 2025, 1, 2)
    with pytest.raises(TypeError):
        retention(installation).run()
    with installation.database().read() as tx:
        assert tx.execute(select(tables.retention_door)).all() == []
    assert kept(old, 2014) == ["year_opened", "intent", "outcome", "denial"]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Private in any case, because roles belong to the whole server."""
    from tests.deploy.test_database_rights import apply_roles, url

    try:
        with private_postgres() as running:
            apply_roles(running)
            migrate("audit", url(running, "handschlag_owner", "handschlag_audit"))
            apply_roles(running)
            owner = Database(url(running, "handschlag_owner", "handschlag_audit"))
            provide_periods(owner, load_schedule())
            owner.close()
            yield running
    except NoServerError as missing:
        cannot_be_had(missing)


def role(server: Postgres, name: str) -> str:
    return server.database("handschlag_audit").replace("postgres@", f"handschlag_{name}@", 1)


@pytest.fixture
def with_roles(server: Postgres, tmp_path: Path) -> Iterator[Installation]:
    found = Installation(role(server, "audit"), tmp_path)
    yield found
    found.stop()


@pytest.mark.real_postgres
def test_the_log_and_its_retention_work_with_the_rights_they_have(server: Postgres, with_roles: Installation):
    at(with_roles, 2014)
    log = with_roles.log()
    disclose(log, "d-1", kind="denial")
    disclose(log, "d-2", categories=("expert_opinion_76_2",))
    at(with_roles, 2015)
    disclose(log, "d-3", person="p-2")
    at(with_roles, 2026, 3, 2)
    own = Database(role(server, "retention"))
    done = Retention(own, load_schedule(), with_roles.clock).run()
    own.close()
    assert [(each.rule, each.count) for each in done] == [
        ("assessment", 1),
        ("permitted", 1),
        ("refused", 1),
        ("permitted", 1),
        ("year", 3),
    ]
    assert log_erasures(log, with_roles.database()) == 5
    assert log.fsck(AGENCY) == []
    assert log.origins(AGENCY) == [f"{PREFIX}/{AGENCY}/2015", f"{PREFIX}/{AGENCY}/2026"]
    with with_roles.database().write() as tx:
        assert forget_person(tx, AGENCY, "p-2", "e-1", with_roles.clock.now()) == 0


PROVED = ("leaf", "node", "checkpoint", "cosignature", "head", "entry", "entry_key", "dropped_log")


@pytest.mark.real_postgres
@pytest.mark.parametrize("table", PROVED)
def test_the_service_deletes_no_entry_and_no_part_of_a_proof(server: Postgres, table: str):
    with psycopg.connect(role(server, "audit"), autocommit=True) as audit:
        for statement in (f"delete from {table}", f"truncate {table}", f"drop table {table}"):
            with pytest.raises(InsufficientPrivilege):
                audit.execute(statement)
        if table != "head":
            with pytest.raises(InsufficientPrivilege):
                audit.execute(f"update {table} set log = log")


@pytest.mark.real_postgres
@pytest.mark.parametrize("table", ["retention_door", "retention_period", "retention_mark", "dropped_log"])
def test_the_service_opens_no_door_and_changes_no_period(server: Postgres, table: str):
    with psycopg.connect(role(server, "audit"), autocommit=True) as audit:
        granted = "select has_table_privilege(%s, %s)"
        for right in ("insert", "update", "delete"):
            assert audit.execute(granted, [table, right]).fetchone() == (False,)


@pytest.mark.real_postgres
@pytest.mark.parametrize("table", [*PROVED, "opening", "subject", "pending", "events", "person_keys"])
def test_the_retention_role_adds_and_changes_nothing(server: Postgres, table: str):
    with psycopg.connect(role(server, "retention"), autocommit=True) as role_of_retention:
        granted = "select has_table_privilege(%s, %s)"
        adds = ("update", "truncate", *(() if table == "dropped_log" else ("insert",)))
        for right in adds:
            assert role_of_retention.execute(granted, [table, right]).fetchone() == (False,)


@pytest.mark.real_postgres
def test_the_retention_role_deletes_only_what_is_due(server: Postgres, with_roles: Installation):
    at(with_roles, 2026, 3, 2)
    log = with_roles.log()
    made = log.append("other", Leaf(kind="denial"), key="d-9")
    opened = "insert into retention_door (log, what, kind, token, before) values (%s, %s, %s, '', %s)"
    with psycopg.connect(role(server, "retention")) as own:
        for statement in ("delete from entry", "delete from leaf", "delete from opening", "delete from subject"):
            if own.execute(f"select exists (select 1 from {statement.split()[-1]})").fetchone() == (True,):
                with pytest.raises(RaiseException):
                    own.execute(statement)
                own.rollback()
        for what, kind, before in (
            ("entry", "denial", "2026-03-03T00:00:00.000000Z"),
            ("entry", "year_opened", "2000-01-01T00:00:00.000000Z"),
            ("year", "any", ""),
        ):
            with pytest.raises(RaiseException, match="not over"):
                own.execute(opened, [made.origin, what, kind, before])
            own.rollback()
        with pytest.raises(RaiseException, match="not over"):
            own.execute("insert into dropped_log values (%s, 'other', 2, 'x', '2026-03-02')", [made.origin])
        own.rollback()
        own.execute(opened, [made.origin, "entry", "denial", "2020-01-01T00:00:00.000000Z"])
        with pytest.raises(RaiseException, match="only grows"):
            own.execute("delete from entry where log = %s and kind = 'denial'", [made.origin])
