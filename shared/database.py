"""One database of one service: SQLite (a file, or in memory for tests) or PostgreSQL.

Reading and writing are transactions of SQLAlchemy; `direct` is the short way for single statements in autocommit,
which the event store takes. Works under threads and under green threads alike: SQLite has one writer at a time, and
whoever writes holds the lock of that file from before `BEGIN IMMEDIATE` to the commit, so that nobody in this
process ever waits inside SQLite for somebody who is waiting for them.

Whoever can write to the database file or holds the database password can change everything here except what the
audit log has already hashed; personal fields are sealed before they arrive (`shared.crypto`).
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool, StaticPool

from shared.direct import Checkout, Direct, LockedStatements, Session, Statements, is_away, unavailable
from shared.errors import Unavailable

Made = TypeVar("Made")
Dialect = Literal["sqlite", "postgresql"]
BUSY_SECONDS = 10
LOCK_SECONDS = 10
IDLE_SECONDS = 60
POOLED, BURST = 4, 28

_HOOKS = "handschlag.after_commit"
_HAND_ON = "a write transaction is open in this thread: hand its connection on"
_writer_locks: dict[str, "WriterLock"] = {}


class WriterLock:
    """The right to write to one SQLite file, held by one thread (or green thread) at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def mine(self) -> bool:
        """Whether the present thread holds it."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        """Hold it; `Unavailable` when it does not become free in time."""
        if self._owner == threading.get_ident():
            raise RuntimeError(_HAND_ON)
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise Unavailable("database.busy", "another writer does not finish", "send the same again later")
        self._owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._owner = None
        self._lock.release()


class Database:
    """Connections to the database at `url`: `sqlite://`, `sqlite:///path` or `postgresql://user@host/name`."""

    def __init__(self, url: str) -> None:
        self.url = with_driver(make_url(url))
        self.dialect: Dialect = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.in_memory = self.dialect == "sqlite" and self.url.database in (None, "", ":memory:")
        self._open: Connection | None = None
        self._writer: WriterLock | None = None
        self._sessions: list[Session] = []
        self._ends: list[Callable[[], None]] = []
        self._making = threading.RLock()
        self._made: dict[object, Any] = {}
        if self.dialect == "sqlite":
            self.key = f"memory:{id(self)}" if self.in_memory else os.path.realpath(str(self.url.database))
            self._writer = WriterLock() if self.in_memory else _writer_locks.setdefault(self.key, WriterLock())
            self.engine = self._committing = _sqlite_engine(self.url, in_memory=self.in_memory)
        else:
            self.key = self.url.render_as_string(hide_password=True)
            self.engine = _postgresql_engine(self.url, pool_pre_ping=True)
            self._committing = _postgresql_engine(self.url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads. In memory it sees an open write transaction of the same thread."""
        if self._writer is None or not self.in_memory:
            with _available(), self._transaction(writes=False) as connection:
                yield connection
        elif self._writer.mine():
            yield self._held()
        else:
            with self._writer, self._transaction(writes=False) as connection, self._opened(connection):
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block, rolled back if it raises."""
        if self._writer is not None:
            with self._writer, _available(), self._transaction(writes=True) as connection:
                with self._opened(connection):
                    yield connection
                hooks = connection.info.pop(_HOOKS, [])
        else:
            with _available(), self._transaction(writes=True) as connection:
                yield connection
                hooks = connection.info.pop(_HOOKS, [])
        for hook in hooks:
            hook()

    def direct(self, tx: Connection | None = None) -> AbstractContextManager[Direct]:
        """Statements on the driver's cursor: each a transaction of its own, or all within `tx`."""
        enclosing = self.enclosing(tx)
        if enclosing is None:
            return self._checkout()
        raw = enclosing.connection.dbapi_connection
        return nullcontext(Statements(raw, savepoints=self.dialect == "postgresql"))

    def enclosing(self, tx: Connection | None) -> Connection | None:
        """The transaction that statements of this thread belong to: `tx`, or in memory the one that is open anyway."""
        if tx is None and self._writer is not None and self.in_memory and self._writer.mine():
            return self._held()
        return tx

    def free_to_write(self) -> None:
        """RuntimeError where this thread has a write transaction open and would wait for itself."""
        if self._writer is not None and self._writer.mine():
            raise RuntimeError(_HAND_ON)

    def session(self, prepare: Callable[[Direct], None] | None = None) -> Session:
        """A connection that is kept until the database is closed. For one caller at a time."""
        made = Session(self._checkout, prepare)
        self._sessions.append(made)
        return made

    def once(self, make: Callable[["Database"], Made]) -> Made:
        """What `make` makes of this database; made once, and shared by all who ask for it."""
        with self._making:
            if make not in self._made:
                self._made[make] = make(self)
            made: Made = self._made[make]
            return made

    def on_close(self, end: Callable[[], None]) -> None:
        """Call `end` before the connections are closed."""
        self._ends.append(end)

    def forget_deleted(self) -> None:
        """Let nothing that was deleted lie about in a SQLite file or its write-ahead log. PostgreSQL: see VACUUM."""
        if self.dialect == "sqlite" and not self.in_memory:
            with self.direct() as direct:
                direct.write("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give all connections back. Closing twice changes nothing."""
        for end in self._ends:
            end()
        for session in self._sessions:
            session.close()
        self.engine.dispose()
        self._committing.dispose()

    def _checkout(self) -> Checkout:
        return Checkout(self._committing.raw_connection, self._statements, self._lost)

    def _lost(self) -> None:
        """A connection broke, and so did its siblings: all start afresh."""
        self._committing.dispose()
        for session in self._sessions:
            session.stale = True

    def _statements(self, raw: Any) -> Direct:
        if self._writer is None:
            return Statements(raw)
        return LockedStatements(raw, self._writer, lock_reads=self.in_memory)

    def _held(self) -> Connection:
        if self._open is None:
            message = "the connection in memory is in use by this thread"
            raise RuntimeError(message)
        return self._open

    @contextmanager
    def _opened(self, connection: Connection) -> Iterator[None]:
        self._open = connection
        try:
            yield
        finally:
            self._open = None

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            connection.info.pop(_HOOKS, None)
            connection.execution_options(handschlag_writes=writes)
            with connection.begin():
                yield connection


def after_commit(tx: Connection, hook: Callable[[], None]) -> None:
    """Call `hook` once the transaction of `Database.write` has been committed; never if it was rolled back."""
    tx.info.setdefault(_HOOKS, []).append(hook)


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_away(error):
            raise unavailable() from error
        raise


def with_driver(url: URL) -> URL:
    """The same address with the driver this platform uses; ValueError for any other kind of database."""
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite")
    message = f"neither SQLite nor PostgreSQL: {url.drivername}"
    raise ValueError(message)


def _sqlite_engine(url: URL, *, in_memory: bool) -> Engine:
    arguments = {"check_same_thread": False, "timeout": BUSY_SECONDS, "isolation_level": None, "cached_statements": 256}
    if in_memory:
        engine = create_engine(
            url, poolclass=StaticPool, pool_reset_on_return=None, connect_args=arguments, hide_parameters=True
        )
    else:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=POOLED,
            max_overflow=BURST,
            pool_use_lifo=True,
            connect_args=arguments,
            hide_parameters=True,
        )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """`secure_delete` overwrites what is deleted: a destroyed key must not lie about in a free page."""
    for pragma in (
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("handschlag_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL, **options: Any) -> Engine:
    settings = {
        "TimeZone": "UTC",
        "default_transaction_isolation": "read\\ committed",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }
    return create_engine(
        url,
        pool_size=POOLED,
        max_overflow=BURST,
        pool_use_lifo=True,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
        connect_args={
            "application_name": "handschlag",
            "connect_timeout": BUSY_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
        **options,
    )
