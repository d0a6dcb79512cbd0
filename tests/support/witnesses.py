"""Witnesses for tests: honest ones in this process, ones that misbehave, and real processes over HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from werkzeug.test import Client

from services.audit.witnessing import Answer
from shared.clock import Clock, SystemClock
from shared.notes import VerifierKey
from shared.witness import Group, KnownWitness, Policy, Witness, WitnessStore
from shared.witness.serving import witness_app
from tests.support.shared_data import REPOSITORY

Behaviour = Callable[[str], Answer]
STARTED_IN = 20.0


@dataclass
class Neighbour:
    """A witness that is asked without a network. `behaves` puts something else in its place; None is honest."""

    name: str
    folder: Path
    logs: Sequence[VerifierKey]
    clock: Clock = field(default_factory=SystemClock)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    behaves: Behaviour | None = None
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = WitnessStore.make(self.folder / self.name)
        self.witness = Witness(f"{self.name}.example", self.key, self.store, self.clock, self.logs)
        self._client = Client(witness_app(self.witness))

    @property
    def known(self) -> KnownWitness:
        return KnownWitness(self.name, self.witness.verifier_key, f"http://{self.name}")

    def size(self, origin: str) -> int:
        seen = self.store.seen().get(origin)
        return seen.size if seen else 0

    def answer(self, body: str) -> Answer:
        self.heard.append(body)
        if self.behaves is not None:
            return self.behaves(body)
        return self.honestly(body)

    def honestly(self, body: str) -> Answer:
        answer = self._client.post("/add-checkpoint", data=body.encode())
        return Answer(answer.status_code, answer.get_data(as_text=True))


@dataclass
class Neighbourhood:
    """All of them, as whoever sends requests sees them, and the policy that names them."""

    witnesses: dict[str, Neighbour]
    threshold: int = 2

    def post(self, url: str, body: str) -> Answer:
        parts = urlsplit(url)
        assert parts.path == "/add-checkpoint"
        return self.witnesses[str(parts.hostname)].answer(body)

    @property
    def policy(self) -> Policy:
        known = {name: each.known for name, each in self.witnesses.items()}
        return Policy(
            witnesses=known, groups={"enough": Group("enough", self.threshold, tuple(known))}, quorum="enough"
        )


def away(_: str) -> Answer:
    """Nobody answers."""
    raise ConnectionError


@dataclass
class WitnessProcess:
    """`handschlag witness run` as it runs on another machine: without a setting of the platform."""

    folder: Path
    port: int
    logs: Sequence[str]
    program: tuple[str, ...] = ("-m", "services.command", "witness", "run")
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def verifier_key(self) -> str:
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "services.command",
                "witness",
                "key",
                "--store",
                str(self.folder),
                "--name",
                self.name,
            ],
            cwd=REPOSITORY,
            env=BARE,
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    @property
    def name(self) -> str:
        return f"{self.folder.name}.example"

    def start(self) -> None:
        """Answers when this returns."""
        listen = ("--store", str(self.folder), "--listen", f"127.0.0.1:{self.port}")
        logs = [part for key in self.logs for part in ("--log", key)]
        command = [sys.executable, *self.program, *listen, *logs]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env=BARE, start_new_session=True)
        ends = time.monotonic() + STARTED_IN
        while time.monotonic() < ends:
            try:
                requests.get(self.url, timeout=2)
            except requests.RequestException:
                assert self.process.poll() is None, "the witness ended"
                time.sleep(0.05)
            else:
                return
        message = "the witness does not answer"
        raise AssertionError(message)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The whole process group, as when the power fails."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(15)
            self.process = None


BARE = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def running(*witnesses: WitnessProcess) -> Iterator[None]:
    try:
        for each in witnesses:
            each.start()
        yield
    finally:
        for each in witnesses:
            each.kill()
