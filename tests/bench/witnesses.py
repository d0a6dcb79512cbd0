"""How long a checkpoint waits until enough witnesses have cosigned it, or a later one that contains it.

    python -m tests.bench.witnesses [--url postgresql://…] [--seconds 60] [--rate 20] [--json FILE]

A real log and three real `handschlag witness run` processes over HTTP, policy 2 of 3; the goal is 60 s for 99 % of
checkpoints. Three runs: all there; one away throughout; one away and another standing still for half of the time.
Beside each stands what one cosignature costs at the least, asked without a log, in the same run.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import tables
from services.audit.sequencer import AuditLog
from services.audit.sequencer.cosignatures import cosigners
from services.audit.witnessing import HttpPost, Witnessing
from shared import telemetry
from shared.audit import Leaf
from shared.clock import SystemClock
from shared.database import Database
from shared.merkle import root_of
from shared.notes import AddCheckpoint, Checkpoint, VerifierKey, claimed_checkpoint, log_verifier_key, sign_note
from shared.witness import Policy
from tests.bench.table import Row, latencies, options, report_groups
from tests.support.servers import free_ports
from tests.support.witnesses import WitnessProcess, running

AGENCY, PREFIX = "bench", "bench.example"
NAMES = ("one", "two", "three")
GOAL = 60.0


def policy_of(processes: list[WitnessProcess]) -> Policy:
    lines = [f"witness {each.folder.name} {each.verifier_key} {each.url}" for each in processes]
    return Policy.parse("\n".join([*lines, f"group enough 2 {' '.join(NAMES)}", "quorum enough", ""]))


class Watch:
    """When each checkpoint was signed, and when enough had cosigned it or a later one."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self.database, self.policy = database, policy
        self.signed: dict[int, float] = {}
        self.met: list[tuple[float, int]] = []

    def look(self, log: str) -> None:
        with self.database.read() as tx:
            sizes = set(tx.scalars(tables.cosignature.select().with_only_columns(tables.cosignature.c.size).distinct()))
            best = max((s for s in sizes if self.policy.met_by_keys(cosigners(tx, log, s))), default=0)
        if best and (not self.met or best > self.met[-1][1]):
            self.met.append((time.monotonic(), best))

    def waits(self) -> list[float]:
        """Seconds, one for each checkpoint; those never cosigned wait for ever."""
        found = []
        for size, at in self.signed.items():
            found.append(next((when - at for when, reached in self.met if reached >= size), float("inf")))
        return sorted(found)


def measure(url: str | None, seconds: float, rate: float, *, away: bool, halting: bool) -> list[float]:
    with tempfile.TemporaryDirectory() as place:
        folder, clock, signer = Path(place), SystemClock(), Ed25519PrivateKey.generate()
        origin = f"{PREFIX}/{AGENCY}/{clock.today().year}"
        key = log_verifier_key(origin, signer.public_key())
        ports = free_ports(3)
        processes = [WitnessProcess(folder / n, p, [key]) for n, p in zip(NAMES, ports, strict=True)]
        policy = policy_of(processes)
        database = Database(url or f"sqlite:///{folder}/audit.db")
        tables.create(database)
        log = AuditLog(database, signer, PREFIX, folder / "heads", clock, policy=policy)
        watch, stop = Watch(database, policy), threading.Event()
        asking = threading.Thread(target=Witnessing(database, policy, clock, HttpPost()).run, args=(stop,))
        with running(*processes[: 2 if away else 3]):
            log.start()
            asking.start()
            halted = threading.Thread(target=halt, args=(processes[1], stop)) if halting else None
            if halted:
                halted.start()
            ends, number = time.monotonic() + seconds, 0
            while time.monotonic() < ends:
                entry = log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}")
                number += 1
                watch.signed.setdefault(claimed_checkpoint(log.checkpoint(AGENCY)).size, time.monotonic())
                watch.look(entry.origin)
                time.sleep(1 / rate)
            last = max(watch.signed)
            patience = time.monotonic() + GOAL
            while time.monotonic() < patience and (not watch.met or watch.met[-1][1] < last):
                watch.look(origin)
                time.sleep(0.1)
            stop.set()
            asking.join()
            if halted:
                halted.join()
            log.stop()
            database.close()
        return watch.waits()


def halt(process: WitnessProcess, stop: threading.Event) -> None:
    """Stands still for ten seconds of every twenty: late, and never gone."""
    assert process.process is not None
    while not stop.is_set():
        os.killpg(process.process.pid, signal.SIGSTOP)
        stop.wait(10)
        os.killpg(process.process.pid, signal.SIGCONT)
        stop.wait(10)


def at_the_least() -> float:
    """Median seconds of one cosignature over HTTP, with nothing around it."""
    with tempfile.TemporaryDirectory() as place:
        signer = Ed25519PrivateKey.generate()
        origin = f"{PREFIX}/least/2026"
        process = WitnessProcess(
            Path(place) / "least", free_ports(1)[0], [log_verifier_key(origin, signer.public_key())]
        )
        VerifierKey.parse(process.verifier_key)
        note = sign_note(str(Checkpoint(origin, 0, root_of([]))), (origin, signer))
        times = []
        with running(process), requests.Session() as session:
            for _ in range(200):
                began = time.perf_counter()
                answer = session.post(f"{process.url}/add-checkpoint", data=str(AddCheckpoint(0, (), note)).encode())
                assert answer.status_code == 200
                times.append(time.perf_counter() - began)
        return statistics.median(times)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20.0, help="entries a second")
    chosen = parser.parse_args()
    telemetry.set_up("bench", log_level="error")
    report_groups(groups(chosen), chosen.json)
    return 0


def groups(chosen: argparse.Namespace) -> Iterator[list[Row]]:
    least = at_the_least()
    for title, away, halting in (
        ("three witnesses", False, False),
        ("one of them away", True, False),
        ("one away, one still half the time", True, True),
    ):
        waits = measure(chosen.url, chosen.seconds, chosen.rate, away=away, halting=halting)
        case, goal = f"checkpoint → quorum, {title}", f"goal: {GOAL:.0f} s"
        rows = latencies("witnesses", case, waits, limit=least, unit="s", notes=("", goal))
        yield [*rows, Row("witnesses", f"{case}, longest", max(waits), None, least, "s")]


if __name__ == "__main__":
    sys.exit(main())
