"""Starting servers that end with whoever started them (see `keeper.py`), on ports and in folders of their own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

UP_WITHIN = 60.0


class NoServerError(Exception):
    """A server cannot be had here; the message says why in one line."""


@dataclass(frozen=True)
class Server(ABC):
    """A running server; one without a keeper is named by the environment, and nobody here may stop it."""

    url: str
    keeper: "Keeper | None" = None

    @abstractmethod
    def answers(self) -> bool:
        """Whether `url` lets somebody in right now."""

    def restart(self) -> None:
        """Starts the killed or stopped server again and waits until it answers."""
        assert self.keeper is not None
        self.keeper.start()
        await_up(self.keeper, self.answers, type(self).__name__)

    def close(self) -> None:
        if self.keeper is not None:
            self.keeper.close()


class Keeper:
    """A process that keeps servers while this one lives, however this one ends (see `keeper.py`)."""

    def __init__(self, servers: list[Json], remove: list[Path]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._log = Path(servers[-1]["log"])
        self.folders = tuple(remove)
        self._say(json.dumps({"servers": servers, "remove": [str(folder) for folder in remove]}))

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline().strip()

    @property
    def alive(self) -> bool:
        return self._say("alive") == "alive"

    def kill(self) -> None:
        """The server dies on the spot, as if the machine had failed; its data stays."""
        self._say("kill")

    def stop(self) -> None:
        self._say("stop")

    def start(self) -> None:
        """Starts the stopped or killed server again, on the same port and the same data."""
        self._say("start")

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """Ends servers and keeper; harmless when called twice."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago and differ from each other."""
    with contextlib.ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def await_up(keeper: Keeper, up: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline:
        if up():
            return
        if not keeper.alive:
            break
        time.sleep(0.05)
    last = [line for line in keeper.log().splitlines() if line.strip()][-3:]
    message = f"{what} did not come up: {' | '.join(last)}"
    raise NoServerError(message)


def is_root() -> bool:
    return os.geteuid() == 0


def open_to_others(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents])


def work_folder(prefix: str) -> Path:
    """A fresh folder for nobody else; for root, one that the unprivileged user can reach."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    base = next((c for c in candidates if c.is_dir() and (not is_root() or open_to_others(c))), candidates[0])
    return Path(tempfile.mkdtemp(prefix=f"handschlag-{prefix}-", dir=base))
