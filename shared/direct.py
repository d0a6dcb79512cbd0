"""Single statements on the cursor of the driver: what the event store takes, because it is half of SQLAlchemy's price.

Also the place that knows how the two drivers say "that key is taken" and "the database is away".
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from shared.errors import Unavailable

Connect = Callable[[], PoolProxiedConnection]


class Duplicate(Exception):
    """A row with the same unique key stands already; the statement changed nothing. Names the key if it is known."""


class Direct(Protocol):
    """Runs single statements, in the driver's own parameter style."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Read."""
        ...

    def write(self, statement: str, parameters: Sequence[Any] = (), *, may_collide: bool = True) -> list[Any]:
        """Write; answers with what the statement returns. Raises `Duplicate`, and then nothing was written.

        A transaction around it survives that, unless the caller promises that no key is taken (`may_collide=False`)
        and thereby saves two questions to the server.
        """
        ...


class Statements:
    """On a connection of psycopg in autocommit, or within a transaction that is open."""

    def __init__(self, connection: Any, *, savepoints: bool = False) -> None:
        self._connection = connection
        self._savepoints = savepoints

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        found: list[Any] = self._connection.execute(statement, parameters).fetchall()
        return found

    def write(self, statement: str, parameters: Sequence[Any] = (), *, may_collide: bool = True) -> list[Any]:
        if not (self._savepoints and may_collide):
            return self._write(statement, parameters)
        self._connection.execute("savepoint direct")
        try:
            found = self._write(statement, parameters)
        except Exception:
            if not self._connection.closed:
                self._connection.execute("rollback to savepoint direct")
            raise
        self._connection.execute("release savepoint direct")
        return found

    def _write(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            cursor = self._connection.execute(statement, parameters)
            # psycopg counts rows only where there may be some; sqlite3 does not count.
            return cursor.fetchall() if getattr(cursor, "rownumber", 0) is not None else []
        except Exception as error:
            key = taken_key(error)
            if key is None:
                raise
            raise Duplicate(key) from error


class LockedStatements(Statements):
    """On a connection of sqlite3: whoever writes holds the lock; in memory whoever reads, too."""

    def __init__(self, connection: Any, lock: AbstractContextManager[object], *, lock_reads: bool) -> None:
        super().__init__(connection)
        self._lock = lock
        self._lock_reads = lock_reads

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        if not self._lock_reads:
            return super().rows(statement, parameters)
        with self._lock:
            return super().rows(statement, parameters)

    def write(self, statement: str, parameters: Sequence[Any] = (), *, may_collide: bool = True) -> list[Any]:
        with self._lock:
            return self._write(statement, parameters)


class Checkout:
    """Statements on a connection out of the pool, for one block.

    `broken` is told when the connection turned out to be dead. One whose caller was ended in the middle of a
    statement is thrown away: nobody knows what it is still doing.
    """

    def __init__(self, connect: Connect, made: Callable[[Any], Direct], broken: Callable[[], None]) -> None:
        self._connect = connect
        self._made = made
        self._broken = broken

    def __enter__(self) -> Direct:
        try:
            self._pooled = self._connect()
        except Exception as error:
            if is_away(error):
                raise unavailable() from error
            raise
        return self._made(self._pooled.dbapi_connection)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if error is not None and getattr(self._pooled.dbapi_connection, "closed", False):
            self._pooled.invalidate()
            self._broken()
        elif error is not None and not isinstance(error, Exception):
            self._pooled.invalidate()
        self._pooled.close()
        if error is not None and is_away(error):
            raise unavailable() from error

    @property
    def connection(self) -> Any:
        """The driver's."""
        return self._pooled.dbapi_connection

    def discard(self) -> None:
        """Give it back as one that nobody shall use again."""
        self._pooled.invalidate()
        self._pooled.close()


class Session:
    """A connection of one's own that is kept; opened when it is needed, and anew after it broke.

    For one caller at a time. `prepare` is run on every new connection before anything else. `stale` may be set by
    anybody who learned that the server went away: the connection is then not tried again.
    """

    def __init__(self, checkout: Callable[[], Checkout], prepare: Callable[[Direct], None] | None = None) -> None:
        self._checkout = checkout
        self._prepare = prepare
        self._held: Checkout | None = None
        self._direct: Direct | None = None
        self.stale = False

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._open().rows(statement, parameters)
        except BaseException as error:
            self._failed(error)
            raise

    def write(self, statement: str, parameters: Sequence[Any] = (), *, may_collide: bool = True) -> list[Any]:
        try:
            return self._open().write(statement, parameters, may_collide=may_collide)
        except Duplicate:
            raise
        except BaseException as error:
            self._failed(error)
            raise

    @property
    def connection(self) -> Any:
        """The driver's connection, for what only the driver can do."""
        self._open()
        assert self._held is not None  # noqa: S101 - it was just opened
        return self._held.connection

    def close(self) -> None:
        """End the connection: nobody shall inherit what was set or locked on it. The next statement takes a new one."""
        held, self._held, self._direct = self._held, None, None
        if held is not None:
            held.discard()

    def _open(self) -> Direct:
        if self.stale and self._held is not None:
            self._held.discard()
            self._held, self._direct = None, None
        if self._direct is None:
            self.stale = False
            held = self._checkout()
            direct = held.__enter__()
            self._held = held
            if self._prepare is not None:
                self._prepare(direct)
            self._direct = direct
        return self._direct

    def _failed(self, error: BaseException) -> None:
        """Whatever the connection was doing when it failed, nobody goes on with it; the pool cleans it or drops it."""
        held, self._held, self._direct = self._held, None, None
        if held is not None:
            held.__exit__(type(error), error, None)


def taken_key(error: BaseException) -> str | None:
    """The name of the unique key that `error` says is taken ("" if unknown); None for any other error."""
    if getattr(error, "sqlstate", None) == "23505":
        return str(error.diag.constraint_name or "")  # type: ignore[attr-defined]
    if getattr(error, "sqlite_errorname", "") in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return ""
    return None


def is_away(error: object) -> bool:
    """Whether the database is away, locked or shutting down, whichever driver says so."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError):
        return is_away(error.orig)
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN"))
    if type(error).__module__.partition(".")[0] != "psycopg":
        return False
    state = getattr(error, "sqlstate", None)
    names = {base.__name__ for base in type(error).__mro__}
    if state is None:
        return bool(names & {"OperationalError", "InterfaceError"})
    return str(state)[:2] in ("08", "53", "57") or state in ("55P03", "25P03", "40001", "40P01")


def unavailable() -> Unavailable:
    """What a caller hears then."""
    return Unavailable("database.unavailable", "the database does not answer or is busy", "send the same again later")
