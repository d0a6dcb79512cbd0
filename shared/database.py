"""One database of one service: SQLite (a file, or in memory for tests) or PostgreSQL.

Reading and writing are transactions of SQLAlchemy; `direct` is the short way for single statements in autocommit,
which the event store takes. Works under threads and under green threads alike: SQLite has one writer at a time, and
whoever writes holds the lock of that file from before `BEGIN IMMEDIATE` to the commit, so that nobody in this
process ever waits inside SQLite for somebody who is waiting for them.

Whoever can write to the database file or holds the database password can change everything here except what the
audit log has already hashed; personal fields are sealed before they arrive (`shared.crypto`).
"""

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool, StaticPool

from shared.errors import Unavailable

Dialect = Literal["sqlite", "postgresql"]
BUSY_SECONDS = 10
LOCK_SECONDS = 10
IDLE_SECONDS = 60
POOLED, BURST = 4, 28
LARGEST_COMMIT = 128

_HOOKS = "handschlag.after_commit"
_writer_locks: dict[str, "WriterLock"] = {}


class Duplicate(Exception):
    """A row with the same unique key stands already; the statement changed nothing."""


class Direct(Protocol):
    """Runs single statements on the cursor of the driver, in the driver's own parameter style."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Read."""
        ...

    def write(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Write; answers with what the statement returns. Raises `Duplicate`, and then nothing was written."""
        ...


class WriterLock:
    """The right to write to one SQLite file, held by one thread (or green thread) at a time.

    `waiting` are single statements whose threads wait for the lock; whoever gets it runs them all in one commit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self.waiting: deque[_Job] = deque()

    def mine(self) -> bool:
        """Whether the present thread holds it."""
        return self._owner == threading.get_ident()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it; `Unavailable` when it does not become free in time."""
        if self.mine():
            message = "a write transaction is open in this thread: hand its connection on"
            raise RuntimeError(message)
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise Unavailable("database.busy", "another writer does not finish", "send the same again later")
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._lock.release()


class Database:
    """Connections to the database at `url`: `sqlite://`, `sqlite:///path` or `postgresql://user@host/name`."""

    def __init__(self, url: str) -> None:
        self.url = with_driver(make_url(url))
        self.dialect: Dialect = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.in_memory = self.dialect == "sqlite" and self.url.database in (None, "", ":memory:")
        self._open: Connection | None = None
        self._committing: Engine | None = None
        if self.dialect == "sqlite":
            self.key = f"memory:{id(self)}" if self.in_memory else os.path.realpath(str(self.url.database))
            self._writer = WriterLock() if self.in_memory else _writer_locks.setdefault(self.key, WriterLock())
            self.engine = _sqlite_engine(self.url, in_memory=self.in_memory)
        else:
            self.key = self.url.render_as_string(hide_password=True)
            self.engine = _postgresql_engine(self.url, pool_pre_ping=True)
            self._committing = _postgresql_engine(self.url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads. In memory it sees an open write transaction of the same thread."""
        if self.in_memory and self._writer.mine():
            yield self._held()
        elif self.in_memory:
            with self._writer.held(), self._transaction(writes=False) as connection, self._opened(connection):
                yield connection
        else:
            with _available(), self._transaction(writes=False) as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block, rolled back if it raises."""
        if self.dialect == "sqlite":
            with self._writer.held(), _available(), self._transaction(writes=True) as connection:
                with self._opened(connection):
                    yield connection
                hooks = connection.info.pop(_HOOKS, [])
        else:
            with _available(), self._transaction(writes=True) as connection:
                yield connection
                hooks = connection.info.pop(_HOOKS, [])
        for hook in hooks:
            hook()

    @contextmanager
    def direct(self, tx: Connection | None = None) -> Iterator[Direct]:
        """Statements on the driver's cursor: each a transaction of its own, or all within `tx`."""
        if tx is None and self.in_memory and self._writer.mine():
            tx = self._held()
        if tx is not None:
            yield _Within(tx.connection.dbapi_connection, savepoints=self.dialect == "postgresql")
        elif self._committing is not None:
            with _available(), _raw(self._committing) as connection:
                yield _Within(connection, savepoints=False)
        else:
            with _available(), _raw(self.engine) as connection:
                yield _SqliteDirect(connection, self._writer, lock_reads=self.in_memory)

    def forget_deleted(self) -> None:
        """Let nothing that was deleted lie about in a SQLite file or its write-ahead log. PostgreSQL: see VACUUM."""
        if self.dialect == "sqlite" and not self.in_memory:
            with self._writer.held(), _available(), _raw(self.engine) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give all connections back. Closing twice changes nothing."""
        self.engine.dispose()
        if self._committing is not None:
            self._committing.dispose()

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


class _Within:
    """Statements on a connection of psycopg, or within a transaction that is open."""

    def __init__(self, connection: Any, *, savepoints: bool) -> None:
        self._connection = connection
        self._savepoints = savepoints

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, parameters)
            found: list[Any] = cursor.fetchall()
            return found
        finally:
            cursor.close()

    def write(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.cursor()
        try:
            if self._savepoints:
                cursor.execute("savepoint direct")
            try:
                cursor.execute(statement, parameters)
                found: list[Any] = cursor.fetchall() if cursor.description else []
            except Exception as error:
                if self._savepoints and not self._connection.closed:
                    cursor.execute("rollback to savepoint direct")
                raise _translated(error) from error
            if self._savepoints:
                cursor.execute("release savepoint direct")
            return found
        finally:
            cursor.close()


class _SqliteDirect:
    """Statements on a SQLite connection in autocommit; writing takes the file's writer lock first."""

    def __init__(self, connection: Any, writer: WriterLock, *, lock_reads: bool) -> None:
        self._connection = connection
        self._writer = writer
        self._lock_reads = lock_reads

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        if self._lock_reads:
            return self.write(statement, parameters)
        return self._run(statement, parameters)

    def write(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Alone, or in one commit with the statements of others who wait for the same lock."""
        job = _Job(statement, parameters)
        if not self._writer.mine():
            self._writer.waiting.append(job)
        while not job.done:
            try:
                with self._writer.held():
                    if not job.done:
                        self._commit_waiting()
            except Unavailable:
                if job.withdrawn_from(self._writer.waiting):
                    raise
        return job.result()

    def _commit_waiting(self) -> None:
        """Each statement succeeds or fails by itself; those that succeed are made durable together."""
        waiting = self._writer.waiting
        jobs = [waiting.popleft() for _ in range(min(len(waiting), LARGEST_COMMIT))]
        try:
            if len(jobs) == 1:
                self._attempt(jobs[0])
            elif jobs:
                self._connection.execute("begin immediate")
                for job in jobs:
                    self._attempt(job)
                    if not self._connection.in_transaction:
                        return
                self._connection.execute("commit")
            for job in jobs:
                job.committed = True
        except sqlite3.Error as error:
            for job in jobs:
                job.failed = error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            for job in jobs:
                job.done = True

    def _attempt(self, job: "_Job") -> None:
        try:
            job.found = self._run(job.statement, job.parameters)
        except (Duplicate, sqlite3.Error) as error:
            job.failed = error

    def _run(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            found: list[Any] = self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error
        return found


class _Job:
    """A statement that waits to be written, by its own thread or by another that writes anyway."""

    def __init__(self, statement: str, parameters: Sequence[Any]) -> None:
        self.statement = statement
        self.parameters = parameters
        self.found: list[Any] = []
        self.failed: Exception | None = None
        self.committed = False
        self.done = False

    def withdrawn_from(self, waiting: "deque[_Job]") -> bool:
        """Whether nobody has taken it up yet, and nobody will any more."""
        try:
            waiting.remove(self)
        except ValueError:
            return False
        return True

    def result(self) -> list[Any]:
        """What the statement returned; raises what it failed with, or `Unavailable` when it was never committed."""
        if self.failed is not None:
            raise self.failed
        if not self.committed:
            raise _unavailable()
        return self.found


def _translated(error: Exception) -> Exception:
    unique = getattr(error, "sqlstate", None) == "23505" or getattr(error, "sqlite_errorname", "") in (
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    )
    return Duplicate() if unique else error


@contextmanager
def _available() -> Iterator[None]:
    """A database that is away, locked or shutting down is `Unavailable`, whichever driver says so."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        if isinstance(error, PoolTimeout) or _is_away(error.orig):
            raise _unavailable() from error
        raise
    except Exception as error:
        if _is_away(error):
            raise _unavailable() from error
        raise


def _is_away(error: object) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN"))
    if type(error).__module__.partition(".")[0] != "psycopg":
        return False
    state = getattr(error, "sqlstate", None)
    names = {base.__name__ for base in type(error).__mro__}
    if state is None:
        return bool(names & {"OperationalError", "InterfaceError"})
    return str(state)[:2] in ("08", "53", "57") or state in ("55P03", "25P03", "40001", "40P01")


def _unavailable() -> Unavailable:
    return Unavailable("database.unavailable", "the database does not answer or is busy", "send the same again later")


@contextmanager
def _raw(engine: Engine) -> Iterator[Any]:
    """The driver's connection out of the pool. When it broke, so did its siblings: the pool starts afresh."""
    pooled = engine.raw_connection()
    try:
        yield pooled.dbapi_connection
    except Exception:
        if getattr(pooled.dbapi_connection, "closed", False):
            pooled.invalidate()
            engine.dispose()
        raise
    finally:
        pooled.close()


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
