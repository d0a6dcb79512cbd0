"""Event stores for tests: in memory, in a file, in a database of its own on a real PostgreSQL."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url

from shared.clock import Clock, SystemClock
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database, with_driver
from shared.eventstore import EventStore, create_all


@dataclass(frozen=True)
class Place:
    """Where a store of the tests lives; every `database()` and `store()` is like one of a process of its own."""

    url: str
    folder: Path

    def database(self) -> Database:
        return Database(self.url)

    def keys(self, database: Database, clock: Clock | None = None) -> PersonKeys:
        return PersonKeys(database, FileCustody(self.folder / "kek"), clock or SystemClock())

    def store(self, database: Database, clock: Clock | None = None) -> EventStore:
        return EventStore(database, self.keys(database, clock), clock or SystemClock(), service="test")


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The address of a new, empty database on that server; gone afterwards."""
    url = with_driver(make_url(server_url))
    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"create database {name}")
        yield url.set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")
    finally:
        engine.dispose()


@contextlib.contextmanager
def rolled_back(database: Database) -> Iterator[Connection]:
    """A write transaction that fails at its end."""
    with contextlib.suppress(ZeroDivisionError), database.write() as tx:
        yield tx
        raise ZeroDivisionError


@contextlib.contextmanager
def place(kind: str, folder: Path, server_url: str = "") -> Iterator[Place]:
    """A place with the tables of the event store in it: `file`, or `postgresql` on the server named."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder / 'store.db'}" if kind == "file" else stack.enter_context(fresh_database(server_url))
        database = Database(url)
        create_all(database)
        database.close()
        yield Place(url, folder)
