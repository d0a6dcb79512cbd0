"""Brings the database of one service up to date: the branch of the event store, then that of the read models.

Safe to run from several processes at once, and again at any time; after a backup was restored, it moves the counter
of positions on, beyond all that was ever seen. A first run on PostgreSQL makes the database if the role may do so.
"""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from shared.config import Settings
from shared.database import Database, with_driver
from shared.errors import Unavailable
from shared.eventstore.restored import move_counter_on

ROOT = Path(__file__).resolve().parent.parent
_LOCK = 0x68_61_6E_64


def migrate(service: str, database_url: str, *, root: Path = ROOT) -> None:
    """Run `upgrade heads` for `service` in one transaction: afterwards all of it is there, or nothing of it.

    Raises `Unavailable("database.missing")` when the database is not there and may not be made.
    """
    provide_database(database_url)
    database = Database(database_url)
    try:
        with database.write() as tx:
            _one_at_a_time(tx)
            command.upgrade(configuration(service, root, tx), "heads")
            move_counter_on(tx)
    finally:
        database.close()


def configuration(service: str, root: Path = ROOT, tx: Connection | None = None) -> Config:
    """Alembic's configuration for one service; branches that do not exist (yet) are left out."""
    config = Config(ini_section=service)
    config.set_main_option("script_location", _plain(ROOT / "deploy" / "alembic"))
    branches = [ROOT / "shared" / "migrations", root / "services" / service / "migrations"]
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(_plain, filter(Path.is_dir, branches))))
    config.attributes["connection"] = tx
    return config


def run_environment(context: Any) -> None:
    """What `deploy/alembic/env.py` does: on the connection handed in, or on the database of the settings."""
    tx = context.config.attributes.get("connection")
    if tx is not None:
        _run(context, tx)
        return
    url = Settings.from_environment().database_url(context.config.config_ini_section)
    provide_database(url)
    database = Database(url)
    try:
        with database.write() as own:
            _one_at_a_time(own)
            _run(context, own)
    finally:
        database.close()


def _plain(path: Path) -> str:
    return str(path).replace("%", "%%")


def _run(context: Any, tx: Connection) -> None:
    context.configure(connection=tx, transactional_ddl=True, render_as_batch=tx.dialect.name == "sqlite")
    with context.begin_transaction():
        context.run_migrations()


def _one_at_a_time(tx: Connection) -> None:
    """SQLite's write lock is enough; PostgreSQL answers two creators at once with an internal error."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("set local lock_timeout = 0"))
        tx.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def provide_database(database_url: str) -> None:
    """Make the database if it is not there. Raises `Unavailable("database.missing")` when it may not be made."""
    url = with_driver(make_url(database_url))
    if url.get_backend_name() == "sqlite":
        if url.database not in (None, "", ":memory:"):
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        return
    if _can_connect(database_url):
        return
    maintenance = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True)
    try:
        with maintenance.connect() as connection:
            name = connection.dialect.identifier_preparer.quote(str(url.database))
            connection.exec_driver_sql(f"create database {name}")
    except DBAPIError as error:
        if not _can_connect(database_url):
            raise Unavailable(
                "database.missing",
                "the database is not there, or the server does not answer, or the role may not make it",
                "start the server, or let its owner run `create database`",
            ) from error
    finally:
        maintenance.dispose()


def _can_connect(database_url: str) -> bool:
    database = Database(database_url)
    try:
        with database.read() as connection:
            connection.execute(text("select 1"))
    except Unavailable:
        return False
    finally:
        database.close()
    return True
