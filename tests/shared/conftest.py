"""The places in which the event store has to keep its promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.database import Database
from shared.eventstore import EventStore, create_all
from tests.support.servers import NoServerError, postgres
from tests.support.stores import Place, place

REAL = pytest.param("postgresql", marks=pytest.mark.real_postgres)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL that may be filled with test data."""
    try:
        with postgres() as server:
            yield server.url
    except NoServerError as missing:
        pytest.fail(str(missing))


@pytest.fixture(params=["file", REAL])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A store that several processes can open."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    with place(request.param, tmp_path, url) as found:
        yield found


@pytest.fixture(params=["memory", "file", REAL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty event store."""
    if request.param == "memory":
        database = Database("sqlite://")
        create_all(database)
        yield Place("sqlite://", tmp_path).store(database)
        database.close()
        return
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    with place(request.param, tmp_path, url) as found:
        database = found.database()
        yield found.store(database)
        database.close()
