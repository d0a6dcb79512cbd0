"""A service may add facts to its database; nobody who breaks into it can change or remove one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import delete, insert, update

from services.cases.projections import FILES, case_list
from shared.errors import Unavailable
from shared.eventstore import rebuild
from shared.migrate import migrate
from tests.conftest import cannot_be_had
from tests.support.servers import NoServerError, Postgres, private_postgres, psql
from tests.support.stores import Place

ROLES = Path(__file__).resolve().parents[2] / "deploy" / "postgres" / "roles.sql"
SERVICES = ("consent", "cases", "health", "exchange", "audit")

pytestmark = pytest.mark.real_postgres


def apply_roles(server: Postgres) -> None:
    subprocess.run([psql(), "-v", "ON_ERROR_STOP=1", "-q", "-f", ROLES, server.url], check=True)


def url(server: Postgres, role: str, database: str) -> str:
    return server.database(database).replace("postgres@", f"{role}@", 1)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Private in any case, because roles belong to the whole server."""
    try:
        with private_postgres() as running:
            apply_roles(running)
            for service in ("consent", "audit"):
                migrate(service, url(running, "handschlag_owner", f"handschlag_{service}"))
            apply_roles(running)
            yield running
    except NoServerError as missing:
        cannot_be_had(missing)


@pytest.fixture
def consent(server: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url(server, "handschlag_consent", "handschlag_consent"), autocommit=True) as connection:
        yield connection


ADD = """insert into events
(agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at) values
('a', 'consent-1', %s, 'consent', 'ConsentGiven', 1, '{}', '{}', gen_random_uuid(), now())"""


def test_a_service_adds_facts_and_reads_them(consent: psycopg.Connection) -> None:
    consent.execute(ADD, [1])
    assert consent.execute("select type from events where version = 1").fetchone() == ("ConsentGiven",)


@pytest.mark.parametrize(
    "statement",
    [
        "update events set data = '{}'",
        "delete from events",
        "truncate events",
        "alter table events disable trigger all",
        "drop table events",
        "drop trigger events_are_never_changed on events",
        "create table mine (id int)",
        "update alembic_version set version_num = 'x'",
        "grant all on events to handschlag_consent",
    ],
)
def test_a_service_changes_and_removes_none(consent: psycopg.Connection, statement: str) -> None:
    granted = "select privilege_type from information_schema.role_table_grants where table_name = 'events'"
    before = consent.execute(granted).fetchall()
    if statement.startswith("grant"):
        consent.execute(statement)  # PostgreSQL answers with a warning and grants nothing
    else:
        with pytest.raises(InsufficientPrivilege):
            consent.execute(statement)
    assert consent.execute(granted).fetchall() == before


def test_a_service_moves_its_bookmarks(consent: psycopg.Connection) -> None:
    consent.execute("insert into bookmarks values ('relay', 1)")
    consent.execute("update bookmarks set position = 2")
    consent.execute("delete from bookmarks")


@pytest.mark.parametrize("other", [service for service in SERVICES if service != "consent"])
def test_a_service_does_not_get_into_the_database_of_another(server: Postgres, other: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url(server, "handschlag_consent", f"handschlag_{other}"))


@pytest.mark.parametrize("table", ["leaf", "node", "checkpoint", "cosignature"])
def test_what_the_audit_log_proves_is_added_to_and_never_changed(server: Postgres, table: str) -> None:
    with psycopg.connect(url(server, "handschlag_audit", "handschlag_audit"), autocommit=True) as audit:
        assert audit.execute("select has_table_privilege(%s, 'insert')", [table]).fetchone() == (True,)
        for statement in (f"delete from {table}", f"truncate {table}", f"alter table {table} disable trigger all"):
            with pytest.raises(InsufficientPrivilege):
                audit.execute(statement)


def test_what_opens_an_entry_can_be_destroyed_and_the_entry_cannot(server: Postgres) -> None:
    with psycopg.connect(url(server, "handschlag_audit", "handschlag_audit"), autocommit=True) as audit:
        for table in ("subject", "opening"):
            audit.execute(f"delete from {table}")
        with pytest.raises(InsufficientPrivilege):
            audit.execute("delete from entry")


def test_applying_the_roles_again_changes_nothing(server: Postgres, consent: psycopg.Connection) -> None:
    rights = "select relname, relacl::text from pg_class where relnamespace = 'public'::regnamespace order by 1"
    before = consent.execute(rights).fetchall()
    apply_roles(server)
    assert consent.execute(rights).fetchall() == before


def test_a_service_drops_a_day_of_its_inbox_and_makes_no_partition(consent: psycopg.Connection) -> None:
    consent.execute("insert into inbox (consumer, message_id, slot) values ('consent.inbox', 'm-1', 7)")
    consent.execute("truncate inbox_slot_07")
    assert consent.execute("select count(*) from inbox").fetchone() == (0,)
    with pytest.raises(InsufficientPrivilege):
        consent.execute("create table inbox_slot_99 partition of inbox for values in (99)")


def test_only_the_owner_rebuilds_a_read_model_and_the_service_goes_on_with_it(server: Postgres, tmp_path: Path) -> None:
    migrate("cases", url(server, "handschlag_owner", "handschlag_cases"))
    apply_roles(server)
    service = Place(url(server, "handschlag_cases", "handschlag_cases"), tmp_path).database()
    owner = Place(url(server, "handschlag_owner", "handschlag_cases"), tmp_path).database()
    with pytest.raises(Unavailable, match=r"projection\.not_owner"):
        rebuild(Place("", tmp_path).store(service), FILES)
    rebuild(Place("", tmp_path).store(owner), FILES)
    with service.write() as tx:
        row = {"agency": "a", "case_id": "c-1", "person_id": "p-1", "main_companion": "m-1"}
        tx.execute(insert(case_list).values(**row))
        tx.execute(update(case_list).values(main_companion="m-2"))
        tx.execute(delete(case_list))
    service.close()
    owner.close()
