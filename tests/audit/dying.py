"""A process that appends to the log and dies at a chosen step. Started by test_kills.

python -m tests.audit.dying URL FOLDER SIGNING_KEY once STEP WHEN PATH
python -m tests.audit.dying URL FOLDER SIGNING_KEY many ROUND
"""

import json
import os
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.sequencer import AuditLog, sequencing
from services.audit.sequencer.kept_heads import KeptHeads
from services.audit.sequencer.sequencing import Sequencer
from shared.audit import Leaf
from shared.clock import SystemClock
from shared.database import Database

AGENCY = "jobcenter"
DIED = 9
STEPS = {
    "leave": (AuditLog, "_leave_for_sequencer"),
    "integrate": (Sequencer, "_integrate"),
    "enter": (sequencing, "enter"),
    "publish": (Sequencer, "_publish"),
    "read_back": (Sequencer, "_read_back"),
    "keep": (KeptHeads, "keep"),
    "replace": (Path, "replace"),
    "record": (Sequencer, "_record"),
    "release": (Sequencer, "_release"),
    "verify": (AuditLog, "_verified"),
}


def die_at(step: str, when: str) -> None:
    owner, name = STEPS[step]
    original = getattr(owner, name)

    def dying(*arguments, **named):
        if when == "before":
            os._exit(DIED)
        answer = original(*arguments, **named)
        os._exit(DIED)
        return answer

    setattr(owner, name, dying)


def leaf(key: str) -> Leaf:
    return Leaf(kind="intent", sender=AGENCY, recipient="pension_insurer", details={"key": key})


def once(log: AuditLog, url: str, folder: Path, signer: Ed25519PrivateKey, path: str) -> None:
    if path == "pending":
        log = AuditLog(Database(url), signer, "handschlag.example", folder, SystemClock())
    made, openings = leaf("d-1").committing({"person": "p-1"})
    log.append(AGENCY, made, key="d-1", openings=openings, person="p-1")


def many(log: AuditLog, round_: str) -> None:
    def write(writer: int) -> None:
        for number in range(10_000):
            key = f"{round_}-{writer}-{number}"
            entry = log.append(AGENCY, leaf(key), key=key)
            line = {"key": key, "idx": entry.idx, "leaf": entry.leaf_bytes.decode(), "receipt": entry.receipt_text}
            os.write(1, (json.dumps(line) + "\n").encode())

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    url, folder, secret, what, *rest = sys.argv[1:]
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    log = AuditLog(Database(url), signer, "handschlag.example", Path(folder), SystemClock())
    log.start()
    if what == "once":
        step, when, path = rest
        die_at(step, when)
        once(log, url, Path(folder), signer, path)
    else:
        many(log, rest[0])


if __name__ == "__main__":
    main()
