"""What a witness remembers: of each log the newest head it cosigned, and every contradiction it was shown.

One SQLite file of its own. `turn` is the atomic step of c2sp.org/tlog-witness: what is looked at and what is kept
inside it happens alone, in all threads and processes on this file, and is on the disk when it ends.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import NotFound, Unavailable
from shared.notes import Checkpoint

FILE = "witness.db"
MOST_CONTRADICTIONS = 100
PATIENCE = 30.0
"""Seconds for which a turn waits for the ones before it."""

_TABLES = """
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, size TEXT NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS contradiction (
    origin TEXT NOT NULL, code TEXT NOT NULL, shown TEXT NOT NULL, cosigned TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (origin, shown)
) STRICT;
"""


@dataclass(frozen=True)
class Seen:
    """The newest head of a log that was cosigned; `note` as the log signed it, `at` in Unix seconds."""

    size: int
    root: bytes
    note: str
    at: int


@dataclass(frozen=True)
class Contradiction:
    """A head `shown` under the log's own signature that does not continue the one `cosigned` before.

    Two heads of one size with two roots convict the log. Otherwise it may be that only the proof was bad.
    """

    origin: str
    code: str
    shown: str
    cosigned: str
    at: int


class Turn:
    """What may be done about one log while nobody else does."""

    def __init__(self, connection: sqlite3.Connection, origin: str) -> None:
        self._connection = connection
        self._origin = origin

    @property
    def seen(self) -> Seen | None:
        query = "SELECT size, root, note, at FROM seen WHERE origin = ?"
        row = self._connection.execute(query, (self._origin,)).fetchone()
        return Seen(int(row[0]), row[1], row[2], row[3]) if row else None

    def keep(self, checkpoint: Checkpoint, note: str, at: int) -> None:
        row = (self._origin, str(checkpoint.size), checkpoint.root, note, at)
        self._connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", row)

    def contradicted(self, code: str, shown: str, cosigned: str, at: int) -> None:
        """The same once; after the hundredth of a log no more, since anybody can send what a log once signed."""
        count = "SELECT count(*) FROM contradiction WHERE origin = ?"
        if self._connection.execute(count, (self._origin,)).fetchone()[0] < MOST_CONTRADICTIONS:
            row = (self._origin, code, shown, cosigned, at)
            self._connection.execute("INSERT OR IGNORE INTO contradiction VALUES (?, ?, ?, ?, ?)", row)


class WitnessStore:
    """Opened, never made: a witness that lost its memory must not go on under its old key."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        if not self._path.is_file():
            detail = "there is no memory of what was cosigned"
            raise NotFound("witness.no_store", detail, "make a new witness with a new key: handschlag witness key")

    @classmethod
    def make(cls, folder: Path) -> "WitnessStore":
        """An empty one where there is none."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / FILE
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
        return cls(folder)

    @contextmanager
    def turn(self, origin: str) -> Iterator[Turn]:
        """Alone until the end, then durable; nothing of it happened when the block raises. `Unavailable` when the
        file cannot be written.
        """
        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield Turn(connection, origin)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable("witness.store", "what was cosigned cannot be kept", "send the same again") from error

    def seen(self) -> dict[str, Seen]:
        """The newest head of each log."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT origin, size, root, note, at FROM seen ORDER BY origin").fetchall()
        return {row[0]: Seen(int(row[1]), row[2], row[3], row[4]) for row in rows}

    def contradictions(self) -> list[Contradiction]:
        """Oldest first."""
        query = "SELECT origin, code, shown, cosigned, at FROM contradiction ORDER BY at, origin"
        with closing(self._connect()) as connection:
            return [Contradiction(*row) for row in connection.execute(query).fetchall()]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection
