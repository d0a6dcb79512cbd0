"""Transactions, the one writer of a SQLite file, and what happens when the database is away."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shared import database as module
from shared.database import Database, after_commit
from shared.direct import Duplicate
from shared.errors import Unavailable
from shared.eventstore import EventStore, create_all
from shared.migrate import migrate
from tests.support.notebook import Notebook
from tests.support.servers import NoServerError, Postgres, private_postgres
from tests.support.stores import Place, fresh_database, place, rolled_back


@pytest.fixture
def database(store: EventStore) -> Database:
    with store.database.write() as tx:
        tx.execute(text("create table counters (name varchar(20) primary key, n integer not null)"))
        tx.execute(text("insert into counters values ('a', 0)"))
    return store.database


def count(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(text("select n from counters where name = 'a'")).scalar_one())


def add_one(tx: Connection) -> None:
    tx.execute(text("update counters set n = n + 1 where name = 'a'"))


def test_a_block_is_committed_as_a_whole_or_not_at_all(database: Database) -> None:
    with database.write() as tx:
        add_one(tx)
    with rolled_back(database) as tx:
        add_one(tx)
    assert count(database) == 1


def test_writers_at_once_lose_nothing(database: Database) -> None:
    def work(_: int) -> None:
        for _turn in range(20):
            with database.write() as tx:
                add_one(tx)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert count(database) == 120


def test_readers_never_see_half_a_transaction(database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("insert into counters values ('b', 0)"))
    stop, seen = threading.Event(), set()

    def write() -> None:
        while not stop.is_set():
            with database.write() as tx:
                add_one(tx)
                tx.execute(text("update counters set n = n + 1 where name = 'b'"))

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(200):
        with database.read() as tx:
            seen.add(tx.execute(text("select max(n) - min(n) from counters")).scalar_one())
    stop.set()
    writer.join()
    assert seen == {0}


def test_hooks_run_after_the_commit_and_only_then(database: Database) -> None:
    ran: list[int] = []
    with rolled_back(database) as tx:
        after_commit(tx, lambda: ran.append(-1))
    with database.write() as tx:
        add_one(tx)
        after_commit(tx, lambda: ran.append(count(database)))
        assert ran == []
    with database.write() as tx:
        add_one(tx)
    assert ran == [1]


def test_direct_statements_stand_on_their_own(database: Database) -> None:
    mark = "?" if database.dialect == "sqlite" else "%s"
    with database.direct() as direct:
        assert direct.write(f"insert into counters values ({mark}, 5) returning n", ["b"]) == [(5,)]
        with pytest.raises(Duplicate):
            direct.write(f"insert into counters values ({mark}, 6)", ["b"])
        assert direct.rows("select n from counters where name = 'b'") == [(5,)]


def test_a_duplicate_does_not_spoil_the_transaction_around_it(database: Database) -> None:
    with database.write() as tx:
        add_one(tx)
        with database.direct(tx) as direct, pytest.raises(Duplicate):
            direct.write("insert into counters values ('a', 6)")
        add_one(tx)
    assert count(database) == 2


def test_errors_do_not_repeat_what_was_to_be_written(database: Database) -> None:
    with pytest.raises(DBAPIError) as error, database.write() as tx:
        tx.execute(text("insert into nowhere values (:secret)"), {"secret": "told nobody"})
    assert "told nobody" not in str(error.value)


def test_what_is_no_database_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="neither SQLite nor PostgreSQL"):
        Database("mysql://somewhere/x")


# --- SQLite -------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Place]:
    with place("file", tmp_path) as found:
        yield found


def test_a_file_is_written_through_to_the_disk(file: Place) -> None:
    database = file.database()
    with database.direct() as direct:
        settings = {
            name: direct.rows(f"pragma {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    database.close()


def test_reading_goes_on_while_somebody_writes(file: Place) -> None:
    here, there = file.database(), file.database()
    with here.write() as tx:
        tx.execute(text("insert into bookmarks (name, position) values ('a', 1)"))
        with there.read() as reading:
            assert reading.execute(text("select count(*) from bookmarks")).scalar() == 0
    here.close()
    there.close()


def test_a_second_transaction_in_the_same_thread_is_a_mistake_and_does_not_hang(file: Place) -> None:
    here, there = file.database(), file.database()
    with here.write(), pytest.raises(RuntimeError, match="hand its connection on"), there.write():
        pass
    with there.write() as tx:
        tx.execute(text("insert into bookmarks (name, position) values ('a', 1)"))
    here.close()
    there.close()


def test_a_writer_that_never_ends_makes_others_unavailable(file: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    database, entered, leave = file.database(), threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    with pytest.raises(Unavailable, match=r"database\.busy"), file.database().write():
        pass
    leave.set()
    holder.join()
    with database.write() as tx:
        tx.execute(text("insert into bookmarks (name, position) values ('a', 1)"))
    database.close()


def test_another_process_that_writes_too_long_makes_us_unavailable(
    file: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0)
    other = sqlite3.connect(file.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin immediate")
    database = file.database()
    with pytest.raises(Unavailable, match=r"database\.unavailable"):
        file.store(database).agency("jobcenter").change(Notebook, "1", lambda n: n.open("x"), command_id="c")
    other.execute("commit")
    file.store(database).agency("jobcenter").change(Notebook, "1", lambda n: n.open("x"), command_id="c")
    other.close()
    database.close()


def test_in_memory_a_read_sees_the_open_transaction_of_its_own_thread_only() -> None:
    database = Database("sqlite://")
    create_all(database)
    seen: list[int] = []

    def look() -> None:
        with database.read() as tx:
            seen.append(int(tx.execute(text("select count(*) from bookmarks")).scalar_one()))

    with database.write() as tx:
        tx.execute(text("insert into bookmarks (name, position) values ('a', 1)"))
        look()
        elsewhere = threading.Thread(target=look)
        elsewhere.start()
        tx.execute(text("insert into bookmarks (name, position) values ('b', 1)"))
    elsewhere.join()
    assert seen == [1, 2]
    database.close()


GREEN = """
    import eventlet
    eventlet.monkey_patch()
    import sys, time
    from sqlalchemy import text
    from tests.support.notebook import Notebook
    from tests.support.stores import Place
    from pathlib import Path

    place = Place(sys.argv[1], Path(sys.argv[2]))
    databases = [place.database(), place.database()]
    stores = [place.store(database) for database in databases]
    beats = []

    def heart():
        while True:
            beats.append(time.monotonic())
            eventlet.sleep(0.005)

    def slow(number):
        for turn in range(5):
            with databases[number % 2].write() as tx:
                stores[number % 2].agency("a").change(
                    Notebook, "one", lambda n: n.take("p-1", "x"), command_id=f"{number}-{turn}", tx=tx)
                eventlet.sleep(0.01)
            stores[number % 2].agency("a").change(
                Notebook, f"own-{number}", lambda n: n.take("p-1", "x"), command_id=f"c-{turn}")

    beating = eventlet.spawn(heart)
    threads = [eventlet.spawn(slow, number) for number in range(6)]
    assert not stores[0].wait(10**9, 0.05)
    for thread in threads:
        thread.wait()
    longest = max(b - a for a, b in zip(beats, beats[1:]))
    print(stores[0].agency("a").load(Notebook, "one")[1], len(stores[1].follow(0)), longest < 1.0)
"""


def test_green_threads_that_wait_inside_a_transaction_do_not_stop_the_others(file: Place) -> None:
    """As under nameko: a second writer waits for the lock and lets everybody else run meanwhile."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(GREEN), file.url, str(file.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.split() == ["30", "60", "True"], run.stderr


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.mark.real_postgres
def test_sessions_wait_and_idle_for_a_limited_time(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.read() as tx:
        settings = {
            name: tx.execute(text(f"show {name}")).scalar_one()
            for name in (
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "transaction_isolation",
                "timezone",
                "synchronous_commit",
            )
        }
    assert settings == {
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        "transaction_isolation": "read committed",
        "timezone": "UTC",
        "synchronous_commit": "on",
    }
    database.close()


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    try:
        with private_postgres() as server:
            yield server
    except NoServerError as missing:
        pytest.fail(str(missing))


@pytest.mark.real_postgres
def test_a_server_that_fails_makes_us_unavailable_and_after_its_return_all_goes_on(
    own_server: Postgres, tmp_path: Path
) -> None:
    assert own_server.keeper is not None
    url = own_server.database("handschlag_failing")
    migrate("consent", url)
    database = Database(url)
    store = Place(url, tmp_path).store(database)
    agency = store.agency("jobcenter")
    receipt = agency.change(Notebook, "1", lambda n: n.take("p-1", "x"), command_id="c")
    own_server.keeper.kill()
    for ask in (
        lambda: agency.change(Notebook, "1", lambda n: n.take("p-1", "y"), command_id="d"),
        lambda: store.follow(0),
        lambda: migrate("consent", url),
    ):
        with pytest.raises(Unavailable):
            ask()
    own_server.keeper.start()
    again = _when_it_is_back(lambda: agency.change(Notebook, "1", lambda n: n.take("p-1", "x"), command_id="c"))
    assert again == receipt
    assert [record.version for record in store.follow(0)] == [1]
    with database.write() as tx:
        agency.change(Notebook, "1", lambda n: n.take("p-1", "y"), command_id="d", tx=tx)
    assert agency.load(Notebook, "1")[0].texts == ("x", "y")
    database.close()


def _when_it_is_back(ask: Any) -> Any:
    until = time.monotonic() + 20
    while True:
        try:
            return ask()
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.mark.real_postgres
def test_a_restart_of_the_server_costs_a_change_nothing(own_server: Postgres, tmp_path: Path) -> None:
    """Every connection of the pool is dead, and the first change notices and takes a new one."""
    assert own_server.keeper is not None
    url = own_server.database("handschlag_restarted")
    migrate("consent", url)
    database = Database(url)
    agency = Place(url, tmp_path).store(database).agency("jobcenter")
    agency.change(Notebook, "1", lambda n: n.take("p-1", "x"), command_id="c")
    with contextlib.ExitStack() as pooled:
        for _ in range(3):
            pooled.enter_context(database.direct()).rows("select 1")
    own_server.keeper.stop()
    own_server.keeper.start()
    other = Database(url)
    _when_it_is_back(lambda: other.read().__enter__())
    assert agency.change(Notebook, "1", lambda n: n.take("p-1", "y"), command_id="d").version == 2
    database.close()
    other.close()


# --- migrations ---------------------------------------------------------------------------------------------------


def _empty_url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[str]:
    if kind == "file":
        yield f"sqlite:///{tmp_path / 'not yet there' / 'store.db'}"
    else:
        with fresh_database(request.getfixturevalue("postgres_url")) as url:
            yield url + "_new"
            _drop(url, "_new")


def _drop(url: str, suffix: str) -> None:
    database = Database(url)
    with database.direct() as direct:
        direct.write(f"drop database if exists {url.rpartition('/')[2]}{suffix} with (force)")
    database.close()


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.real_postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that does not exist yet."""
    yield from _empty_url(request, request.param, tmp_path)


def tables_of(url: str) -> Any:
    database = Database(url)
    with database.read() as tx:
        if database.dialect == "sqlite":
            found = tx.execute(
                text("select name, sql from sqlite_master where name not like '%alembic%' order by name")
            )
        else:
            found = tx.execute(
                text(
                    "select table_name, column_name, data_type, is_nullable from information_schema.columns"
                    " where table_schema = 'public' and table_name not like '%alembic%' union all"
                    " select event_object_table, trigger_name, action_statement, event_manipulation"
                    " from information_schema.triggers union all"
                    " select tablename, indexname, indexdef, '' from pg_indexes"
                    " where schemaname = 'public' and tablename not like '%alembic%' order by 1, 2, 3, 4"
                )
            )
        rows = [tuple(row) for row in found]
    database.close()
    return rows


def test_a_migration_makes_the_database_and_its_tables_and_may_run_again(empty_url: str) -> None:
    migrate("consent", empty_url)
    first = tables_of(empty_url)
    migrate("consent", empty_url)
    assert tables_of(empty_url) == first
    assert {"events", "bookmarks", "inbox", "parked", "person_keys", "settled"} <= {row[0] for row in first}


def test_migrations_at_once_wait_for_each_other(empty_url: str) -> None:
    together, failed = threading.Barrier(4), []

    def run() -> None:
        together.wait()
        try:
            migrate("consent", empty_url)
        except Exception as error:  # noqa: BLE001 - the test shows it
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert tables_of(empty_url)


def test_tables_made_for_tests_are_those_of_the_migrations(empty_url: str, store: EventStore, tmp_path: Path) -> None:
    if Database(empty_url).dialect != store.database.dialect or store.database.in_memory:
        return  # each dialect is compared with itself, in one of the other runs of this test
    migrate("consent", empty_url, root=tmp_path)
    assert tables_of(empty_url) == tables_of(store.database.url.render_as_string(hide_password=False))


def test_the_branch_of_a_service_follows_that_of_the_store(empty_url: str, tmp_path: Path) -> None:
    root, branch = tmp_path / "root", tmp_path / "root" / "services" / "pets" / "migrations"
    migrate("pets", empty_url, root=root)
    branch.mkdir(parents=True)
    (branch / "__init__.py").touch()
    migrate("pets", empty_url, root=root)
    (branch / "pets_0001.py").write_text(
        "from alembic import op\n\nrevision, down_revision = 'pets_0001', None\n"
        "branch_labels, depends_on = ('pets',), ('event_store_0001',)\n\n\n"
        "def upgrade() -> None:\n    op.execute('create table pets (name varchar(10))')\n"
    )
    migrate("pets", empty_url, root=root)
    assert "pets" in {row[0] for row in tables_of(empty_url)}


def test_a_migration_that_fails_leaves_nothing_half_done(empty_url: str, tmp_path: Path) -> None:
    branch = tmp_path / "services" / "pets" / "migrations"
    branch.mkdir(parents=True)
    (branch / "pets_0001.py").write_text(
        "from alembic import op\n\nrevision, down_revision = 'pets_0001', None\n"
        "branch_labels, depends_on = ('pets',), ('event_store_0001',)\n\n\n"
        "def upgrade() -> None:\n    op.execute('create table pets (name varchar(10))')\n    op.execute('nonsense')\n"
    )
    with pytest.raises(DBAPIError):
        migrate("pets", empty_url, root=tmp_path)
    assert tables_of(empty_url) == []
    shutil.rmtree(tmp_path / "services")
    migrate("pets", empty_url, root=tmp_path)
    assert tables_of(empty_url)


@pytest.mark.real_postgres
def test_a_database_that_may_not_be_made_is_named_as_missing(postgres_url: str) -> None:
    admin = Database(postgres_url)
    with admin.direct() as direct:
        direct.write("drop role if exists handschlag_may_nothing")
        direct.write("create role handschlag_may_nothing login")
    url = admin.url.set(username="handschlag_may_nothing", database="not_there").render_as_string()
    try:
        with pytest.raises(Unavailable, match=r"database\.missing"):
            migrate("consent", url)
    finally:
        with admin.direct() as direct:
            direct.write("drop role handschlag_may_nothing")
        admin.close()
