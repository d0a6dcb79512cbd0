"""Who sequences: one process at a time, by a lock that ends with the process or its session.

The lock keeps two sequencers out of each other's way. That no two of them can fork a log does not rest on it:
the place of a leaf comes from a locked row, and every head is held against the one kept outside the database.
"""

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database


class Leadership(Protocol):
    def held(self) -> bool:
        """Takes the lock if it is free; says whether it is ours, having asked."""
        ...

    def release(self) -> None: ...


def leadership(database: Database, prefix: str, folder: Path) -> Leadership:
    if database.dialect == "postgresql":
        return SessionLock(database, prefix)
    return FileLock(folder / "sequencer.lock")


class FileLock:
    """For SQLite, where all processes share one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def held(self) -> bool:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SessionLock:
    """For PostgreSQL: an advisory lock of a session of its own. A broken session loses it, and is noticed."""

    def __init__(self, database: Database, prefix: str) -> None:
        self._database = database
        digest = sha256(f"handschlag audit sequencer {prefix}".encode()).digest()
        self._number = int.from_bytes(digest[:8], "big", signed=True)
        self._session: Connection | None = None

    def held(self) -> bool:
        try:
            return self._still_there() or self._taken()
        except SQLAlchemyError:
            self.release()
            return False

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _end(session)

    def _still_there(self) -> bool:
        if self._session is None:
            return False
        return bool(self._session.scalar(text("SELECT 1")))

    def _taken(self) -> bool:
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if session.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": self._number}):
            self._session = session
            return True
        _end(session)
        return False


def _end(session: Connection) -> None:
    """Ends the session itself; in the pool it would keep its lock."""
    try:
        session.detach()
        session.close()
    except SQLAlchemyError:
        session.invalidate()
