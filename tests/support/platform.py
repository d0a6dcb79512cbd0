"""The whole platform as its users meet it: real processes, on SQLite in one of them or on real servers in seven.

A part can be killed and started again, as it happens to anybody.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from deploy.rabbitmq import generate
from services import SERVICES
from services.command.demo.platform_client import As, PlatformClient
from services.command.demo.world import PARTNERS, World, provide_world
from services.command.platform import prepare
from services.command.run import GATEWAY
from shared.config import Settings
from tests.support.servers import Postgres, RabbitMQ, free_ports, private_rabbitmq

COMMAND = [sys.executable, "-m", "services.command"]
READY_WITHIN = 90.0
PR_SET_PDEATHSIG = 1
CLIENTS = ("fachverfahren-demo",)


@dataclass
class Part:
    """One process of the platform."""

    arguments: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.arguments,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, and no thread holds a lock here
            )

    def kill(self) -> None:
        """As the kernel does it: no warning, no goodbye."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def _end_with_parent() -> None:
    """Linux: the kernel ends this process when the tests end, however they end."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Platform:
    """A running platform. `broker` is where partners find their queues; empty when there are feeds only."""

    url: str
    settings: Settings
    world: World
    parts: dict[str, Part]
    broker: RabbitMQ | None = None
    passwords: Mapping[str, str] = field(default_factory=dict)

    def client(self, patience: float = 60.0) -> PlatformClient:
        return PlatformClient(self.url, patience)

    def machine(self, client_id: str) -> As:
        return self.client().machine(client_id, self.world.secret(client_id))

    def broker_url(self, user: str) -> str:
        """Where `user` signs in at the broker; only with a broker of our own."""
        assert self.broker is not None
        return self.broker.url_for(user, self.passwords[user])

    @contextmanager
    def connection(self, service: str) -> Iterator[sa.Connection]:
        """The database of a service, behind its back; what is changed there is committed at the end."""
        engine = sa.create_engine(self.settings.database_url(service))
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def restart(self, name: str) -> None:
        self.parts[name].kill()
        self.parts[name].start()

    def demo(self, *arguments: str, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """Play the story as somebody at a terminal does."""
        state = str(self.settings.state)
        command = [*COMMAND, "demo", "--url", self.url, "--state", state, "--json", *arguments]
        if self.broker:
            command += ["--broker", self.broker_url("rentenversicherung-demo")]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def wait_until_ready(self) -> None:
        """Until every service answers through the gateway."""
        ends = time.monotonic() + READY_WITHIN
        while not self._answers():
            if time.monotonic() > ends:
                logs = "\n".join(part.log.read_text("utf-8", "replace")[-2000:] for part in self.parts.values())
                message = f"the platform did not become ready\n{logs}"
                raise TimeoutError(message)
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            secret = self.world.secret("fachverfahren-demo")
            client = PlatformClient(self.url, patience=0.5)
            worker = client.machine("fachverfahren-demo", secret)
            worker.get("/partners")
            worker.get("/cases")
            worker.get("/consents", person_id=self.world.person_id)
        except Exception:  # noqa: BLE001 - not ready yet, whatever the reason
            return False
        finally:
            client.close()
        return True


@contextmanager
def embedded(folder: Path, **environment: str) -> Iterator[Platform]:
    """Everything in one process, on SQLite."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    settings = Settings(state=folder, keys=folder / "keys", database="sqlite://", port=port, issuer=url)
    arguments = [*COMMAND, "run", "--no-story", "--port", str(port), "--state", str(folder)]
    environment = {"HANDSCHLAG_SPANS": str(folder / "spans.jsonl"), "HANDSCHLAG_LOG_LEVEL": "info", **environment}
    part = Part(arguments, environment, folder / "platform.log")
    yield from _running(Platform(url, settings, provide_world(folder), {"platform": part}))


@contextmanager
def deployed(
    folder: Path, postgres: Postgres, *, more_partners: Sequence[str] = (), **environment: str
) -> Iterator[Platform]:
    """Seven processes on PostgreSQL and a RabbitMQ of their own, each signed in there with its own rights.

    `more_partners` have users at the broker beside those of the demonstration.
    """
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    partners = (*PARTNERS, *more_partners)
    users = (*SERVICES, generate.GATEWAY, *partners, *CLIENTS)
    passwords = {user: f"secret-of-{user}" for user in users}
    rights = generate.definitions(generate.read_calls(), passwords, partners, CLIENTS)
    with private_rabbitmq(rights) as broker:
        settings = Settings(
            broker=broker.url_for("gateway", passwords["gateway"]),
            database=_fresh_databases(postgres),
            state=folder,
            keys=folder / "keys",
            port=port,
            issuer=url,
        )
        prepare(settings)
        common = {
            "HANDSCHLAG_DATABASE": settings.database,
            "HANDSCHLAG_STATE": str(folder),
            "HANDSCHLAG_PORT": str(port),
            "HANDSCHLAG_ISSUER": url,
            "HANDSCHLAG_LOG_LEVEL": "info",
            **environment,
        }

        def part(name: str, user: str, arguments: list[str]) -> Part:
            own = {
                "HANDSCHLAG_BROKER": broker.url_for(user, passwords[user]),
                "HANDSCHLAG_SPANS": str(folder / f"{name}.spans.jsonl"),
            }
            return Part(arguments, {**common, **own}, folder / f"{name}.log")

        parts = {name: part(name, name, [*COMMAND, "service", name]) for name in SERVICES}
        parts["inbox"] = part("inbox", "gateway", [*COMMAND, "inbox"])
        parts["gateway"] = part("gateway", "gateway", GATEWAY)
        yield from _running(Platform(url, settings, provide_world(folder), parts, broker, passwords))


def _running(platform: Platform) -> Iterator[Platform]:
    for part in platform.parts.values():
        part.start()
    try:
        platform.wait_until_ready()
        yield platform
    finally:
        for part in platform.parts.values():
            part.stop()


def _fresh_databases(postgres: Postgres) -> str:
    """The server's address, with databases of the platform that hold nothing yet."""
    import sqlalchemy as sa

    url = postgres.url.replace("postgresql:", "postgresql+psycopg:", 1)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in (*SERVICES, generate.GATEWAY):
            connection.exec_driver_sql(f"drop database if exists handschlag_{name} with (force)")
    engine.dispose()
    return postgres.url


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """The problem document of an answer."""
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    return document
