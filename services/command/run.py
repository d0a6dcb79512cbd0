"""`handschlag run`: everything in one process by default, or each part in a process of its own on real servers.

`patch()` has to come before anything that waits is imported; therefore the imports stand inside the functions.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import click

from shared.config import Settings
from shared.errors import Refused

if TYPE_CHECKING:
    from services.command.demo.world import World
    from shared.runtime import Running

STARTED_IN = 60.0
NEXT_PORTS = 20
RESTART_AFTER = 0.5
STORY_FAILED = 1
ROOT = Path(__file__).resolve().parents[2]
GATEWAY = [
    *(sys.executable, "-m", "gunicorn", "--config", str(ROOT / "deploy" / "gunicorn_conf.py")),
    "services.gateway.wsgi:app",
]
"""The gateway as a process of its own; settings come from the environment."""


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit code 0 only if every step did what it says.")
@click.option("--story/--no-story", default=True, show_default=True, help="Play the demonstration story at the start.")
@click.option("--broker", help="amqp://… : run as separate processes over this RabbitMQ.")
@click.option("--database", help="postgresql://… : use this server, one database per service.")
@click.option("--port", type=int, help="Port of the gateway (default 8080, or the next free one).")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for databases, keys and the demo world.")
@click.option("--json", "as_json", is_flag=True, help="Tell the story as JSON lines.")
def run(
    *,
    once: bool,
    story: bool,
    broker: str | None,
    database: str | None,
    port: int | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Start the platform with its demonstration world, play the story, stay up and print the addresses."""
    for name, value in (("BROKER", broker), ("DATABASE", database), ("PORT", port), ("STATE", state)):
        if value is not None:
            os.environ[f"HANDSCHLAG_{name}"] = str(value)
    os.environ.setdefault("HANDSCHLAG_LOG_LEVEL", "warning")
    settings = Settings.from_environment()
    with _alone_on(settings.state):
        settings = _with_free_port(settings, wished=port is not None or "HANDSCHLAG_PORT" in os.environ)
        wanted = _Wanted(once=once, story=story or once, as_json=as_json)
        start = _in_one_process if settings.embedded else _as_processes
        sys.exit(start(settings, wanted))


@click.command()
@click.argument("name", type=click.Choice(["consent", "cases", "health", "exchange", "audit"]))
def service(*, name: str) -> None:
    """Run one service as a process of its own; settings come from the environment."""
    from shared import runtime

    runtime.patch()
    from services.command.platform import DEFINITIONS

    runtime.run([DEFINITIONS[name]], Settings.from_environment())


@click.command()
def inbox() -> None:
    """Run the front door over RabbitMQ as a process of its own; settings come from the environment."""
    from services.gateway.app import create_app
    from services.gateway.inbox import serve_inbox
    from shared import telemetry
    from shared.runtime import calls_of

    settings = Settings.from_environment()
    telemetry.set_up("inbox", log_level=settings.log_level, spans=settings.spans)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_inbox(settings, create_app(settings, calls_of("gateway", settings)), stop)


class _Wanted:
    """What the caller of `run` wants to see."""

    def __init__(self, *, once: bool, story: bool, as_json: bool) -> None:
        self.once, self.story, self.as_json = once, story, as_json

    def say(self, line: str) -> None:
        """For people only; JSON stays alone on standard output."""
        if not self.as_json:
            click.echo(line)


def _in_one_process(settings: Settings, wanted: _Wanted) -> int:
    from shared import runtime

    runtime.patch()
    from services.command.demo.command import play
    from services.command.demo.world import provide_world
    from services.command.platform import DEFINITIONS, prepare
    from services.gateway.app import create_app
    from shared.runtime import calls_of

    wanted.say("Handschlag startet: fünf Dienste und Gateway in einem Prozess, SQLite, ohne Broker.")
    prepare(settings)
    world = provide_world(settings.state)
    told: list[bool] = []

    def beside(running: "Running") -> object:
        calls = calls_of("gateway", settings)
        serving = runtime.serve_wsgi(create_app(settings, calls), settings.host, settings.port)

        def tell() -> None:
            running.wait_until_ready(STARTED_IN)
            if wanted.story:
                told.append(play(_url(settings), world, broker="", as_json=wanted.as_json))
            if wanted.once:
                running.ask_to_stop()
            else:
                _print_addresses(settings, world, wanted)

        threading.Thread(target=tell, daemon=True).start()
        return serving

    runtime.run(list(DEFINITIONS.values()), settings, also=beside)
    return 0 if all(told) or not wanted.once else STORY_FAILED


def _as_processes(settings: Settings, wanted: _Wanted) -> int:
    from services.command.demo.command import play
    from services.command.demo.world import provide_world
    from services.command.platform import DEFINITIONS, prepare, provide_broker

    wanted.say("Handschlag startet: fünf Dienste, Gateway und Eingang als eigene Prozesse.")
    prepare(settings)
    provide_broker(settings)
    world = provide_world(settings.state)
    command = [sys.executable, "-m", "services.command"]
    parts = {name: [*command, "service", name] for name in DEFINITIONS}
    parts["inbox"] = [*command, "inbox"]
    parts["gateway"] = GATEWAY
    with _Children(parts, _environment(settings)) as children:
        _wait_for_port(settings)
        told = True
        if wanted.story:
            told = play(_url(settings), world, broker=settings.broker, as_json=wanted.as_json)
        if wanted.once:
            return 0 if told else STORY_FAILED
        _print_addresses(settings, world, wanted)
        children.watch()
    return 0


class _Children:
    """The processes of the platform; one that ends by itself is started again."""

    def __init__(self, parts: dict[str, list[str]], environment: dict[str, str]) -> None:
        self._parts, self._environment = parts, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._interrupt())
        for name in self._parts:
            self._start(name)
        threading.Thread(target=self._restart_fallen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()

    def watch(self) -> None:
        """Until the process is asked to stop."""
        while not self._stop.wait(0.5):
            pass

    def _start(self, name: str) -> None:
        self._running[name] = subprocess.Popen(self._parts[name], env=self._environment, stdin=subprocess.DEVNULL)

    def _restart_fallen(self) -> None:
        while not self._stop.wait(RESTART_AFTER):
            for name, process in list(self._running.items()):
                if process.poll() is not None and not self._stop.is_set():
                    click.echo(f"handschlag: {name} ended ({process.returncode}) and is started again", err=True)
                    self._start(name)

    def _interrupt(self) -> None:
        self._stop.set()
        raise KeyboardInterrupt


def _environment(settings: Settings) -> dict[str, str]:
    named = {
        "MODE": settings.mode,
        "BROKER": settings.broker,
        "DATABASE": settings.database,
        "STATE": settings.state,
        "KEYS": settings.keys,
        "HOST": settings.host,
        "PORT": settings.port,
        "ISSUER": settings.issuer,
    }
    return {**os.environ, **{f"HANDSCHLAG_{name}": str(value) for name, value in named.items()}}


def _url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _with_free_port(settings: Settings, *, wished: bool) -> Settings:
    """The settings with a port that is free: the one that was wished, or the next free one."""
    candidates = [settings.port] if wished else range(settings.port, settings.port + NEXT_PORTS)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError:
                continue
        issuer = settings.issuer if "HANDSCHLAG_ISSUER" in os.environ else f"http://{settings.host}:{port}"
        return replace(settings, port=port, issuer=issuer)
    detail, remedy = "the port of the gateway is taken", "free it, or name another one: make run PORT=…"
    raise Refused("run.port_taken", detail, remedy)


def _wait_for_port(settings: Settings) -> None:
    ends = time.monotonic() + STARTED_IN
    while time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex((settings.host, settings.port)) == 0:
                return
        time.sleep(0.1)


@contextmanager
def _alone_on(state: Path) -> Iterator[None]:
    """One platform per state folder: two brokers inside two processes would each know half."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    held: IO[bytes]
    with (state / ".running").open("wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            detail, remedy = "another platform runs on this state folder", "stop it, or set HANDSCHLAG_STATE"
            raise Refused("run.state_taken", detail, remedy) from None
        yield


def _print_addresses(settings: Settings, world: "World", wanted: _Wanted) -> None:
    url = _url(settings)
    wanted.say("")
    wanted.say(f"Die Plattform läuft. Startseite {url}/   Schnittstelle {url}/openapi.json   Zustand {url}/healthz")
    persons = ", ".join(person["name"] for person in world.known["persons"])
    wanted.say(f"Anmelden als: {persons}   Programme und ihre Geheimnisse: {world.file}")
    wanted.say("Ende mit Strg-C.")
