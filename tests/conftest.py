"""What every test may ask for: real servers, once per run, and a clock that stands still.

A server that cannot be had costs one plain line and its own tests; in CI (`CI` is set) it is a fault.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest

from tests.support.clock import FixedClock
from tests.support.servers import NoServerError, Postgres, RabbitMQ, postgres, rabbitmq

MISSING: list[str] = []
NEEDS = {"postgres_server": "real_postgres", "rabbitmq_server": "real_rabbitmq"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a real server is marked so, whether its author thought of it or not."""
    for item in items:
        for fixture, marker in NEEDS.items():
            if fixture in getattr(item, "fixturenames", ()) and not item.get_closest_marker(marker):
                item.add_marker(marker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in dict.fromkeys(MISSING):
        terminalreporter.write_line(f"handschlag: {line}")


def cannot_be_had(missing: NoServerError) -> NoReturn:
    MISSING.append(str(missing))
    if os.environ.get("CI"):
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL whose superuser is ours: the one the environment names, or a private one."""
    with ExitStack() as servers:
        try:
            running = servers.enter_context(postgres())
        except NoServerError as missing:
            cannot_be_had(missing)
        yield running


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """A RabbitMQ with the platform's definitions: the one the environment names, or a private one."""
    from deploy.rabbitmq import generate

    with ExitStack() as servers:
        try:
            running = servers.enter_context(rabbitmq(generate.definitions(generate.read_calls(), {})))
        except NoServerError as missing:
            cannot_be_had(missing)
        yield running


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Postgres) -> str:
    """Its maintenance database, for whoever makes databases of its own beside it."""
    return postgres_server.url
