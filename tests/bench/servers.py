"""The servers of a measurement: those that the environment names and that may be filled, else private ones."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.servers import private_postgres, private_rabbitmq


@contextmanager
def durable_postgres(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a PostgreSQL: HANDSCHLAG_BENCH_POSTGRES, or a private one with fsync and these settings."""
    if named := os.environ.get("HANDSCHLAG_BENCH_POSTGRES", ""):
        yield named
        return
    with private_postgres(durable=True, settings=settings) as private:
        yield private.url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The address of a RabbitMQ: HANDSCHLAG_BENCH_RABBITMQ, or a private one."""
    if named := os.environ.get("HANDSCHLAG_BENCH_RABBITMQ", ""):
        yield named
        return
    with private_rabbitmq() as private:
        yield private.url
