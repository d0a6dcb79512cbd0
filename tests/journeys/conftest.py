"""Whole platforms for whole stories: started once for a run of the tests, in both set-ups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform, deployed, embedded
from tests.support.servers import Postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "journeys" in item.path.parts:
            item.add_marker(pytest.mark.journey)


@pytest.fixture(scope="session")
def embedded_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One process, SQLite, no broker."""
    with embedded(_folder(tmp_path_factory, "embedded")) as platform:
        yield platform


@pytest.fixture(scope="session")
def deployed_platform(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Platform]:
    """Seven processes on PostgreSQL and RabbitMQ, each with its own rights there."""
    with deployed(_folder(tmp_path_factory, "deployed"), postgres_server) as platform:
        yield platform


@pytest.fixture(params=["embedded", "deployed"])
def platform(request: pytest.FixtureRequest) -> Platform:
    """Each set-up in turn."""
    found: Platform = request.getfixturevalue(f"{request.param}_platform")
    return found


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)
