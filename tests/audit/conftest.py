"""Audit logs for tests: on SQLite and PostgreSQL, opened as often as processes would."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import tables
from services.audit.sequencer import AuditLog
from shared.database import Database
from tests.support.clock import FixedClock
from tests.support.stores import fresh_database

PREFIX = "handschlag.example"
AGENCY = "jobcenter"


@dataclass
class Installation:
    """A database and a folder of heads, and as many logs upon them as a test wants, each like a process."""

    url: str
    folder: Path
    clock: FixedClock = field(default_factory=FixedClock)
    signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    opened: list[AuditLog] = field(default_factory=list)

    @property
    def heads(self) -> Path:
        return self.folder / "heads"

    def database(self) -> Database:
        return Database(self.url)

    def log(self, *, start: bool = True, signer: Ed25519PrivateKey | None = None, **more: object) -> AuditLog:
        log = AuditLog(self.database(), signer or self.signer, PREFIX, self.heads, self.clock, **more)
        self.opened.append(log)
        if start:
            log.start()
        return log

    def stop(self) -> None:
        for log in self.opened:
            log.stop()
            log._database.close()
        self.opened.clear()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_postgres)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'audit.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(fresh_database(request.getfixturevalue("postgres_url")))
        found = Installation(url, tmp_path)
        database = found.database()
        tables.create(database)
        database.close()
        yield found
        found.stop()


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Installation]:
    """On SQLite, for what is the same on both."""
    found = Installation(f"sqlite:///{tmp_path / 'audit.db'}", tmp_path)
    tables.create(found.database())
    yield found
    found.stop()


@pytest.fixture
def log(installation: Installation) -> AuditLog:
    return installation.log()
