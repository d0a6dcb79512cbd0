"""Keeps servers for as long as somebody holds its standard input open.

`servers.py` starts this file as a process of its own and speaks to it in lines. When the line goes dead,
because the tests are through, were interrupted or were killed, the servers are stopped and their folder is
removed: nothing stays behind. It needs the standard library only and touches no process but those it
started.
"""

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
PATIENCE = 20.0


def follow_me_to_the_grave() -> None:
    """Linux: should the keeper itself be killed, its servers are told to end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Kept:
    """One server: started, stopped, killed and started again on the same data."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        spec = self.spec
        identity: dict[str, Any] = {}
        if spec.get("user"):
            account = pwd.getpwnam(spec["user"])
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with Path(spec["log"]).open("ab") as log:
            self.process = subprocess.Popen(
                spec["command"],
                env=spec["env"],
                cwd=spec["folder"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=follow_me_to_the_grave,  # noqa: PLW1509 - this process has one thread
                **identity,
            )

    def signal(self, number: int) -> None:
        """To the whole group; a group that is gone is what was wanted."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is None:
            return
        self.signal(getattr(signal, self.spec["stop"]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


def leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def keep(spec: dict[str, Any]) -> None:
    """Obeys `start`, `stop`, `kill` and `alive` until the line goes dead; the main server is the last one."""
    servers = [Kept(server) for server in spec["servers"]]
    main = servers[-1]
    try:
        for server in servers:
            server.start()
        print("started", flush=True)
        for line in sys.stdin:
            word = line.strip()
            if word in ("start", "stop", "kill"):
                getattr(main, word)()
            print("alive" if main.alive else "dead", flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for server in reversed(servers):
            server.stop()
        for folder in spec["remove"]:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    keep(json.loads(sys.stdin.readline()))
