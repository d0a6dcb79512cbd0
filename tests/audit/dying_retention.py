"""A run of retention that dies at a chosen point. Started by test_retention.

python -m tests.audit.dying_retention URL FOLDER SIGNING_KEY POINT
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import retention
from services.audit.sequencer import AuditLog, forgetting
from shared.database import Database
from tests.support.clock import FixedClock

DIED = 9
POINTS = (
    "before the first deletion",
    "between deletion and note",
    "after the second slice",
    "after the year was noted",
    "between two slices of the year",
    "before the entry",
    "after the entry",
)


def dies(owner: object, name: str, *, after: bool, times: int = 1) -> None:
    """In the nth call of a function, before or after its work."""
    original, calls = getattr(owner, name), []

    def dying(*arguments, **named):
        calls.append(name)
        last = len(calls) == times
        if last and not after:
            os._exit(DIED)
        answer = original(*arguments, **named)
        if last:
            os._exit(DIED)
        return answer

    setattr(owner, name, dying)


def choose(point: str) -> None:
    match point:
        case "before the first deletion":
            dies(retention, "delete_entries", after=False)
        case "between deletion and note":
            dies(retention, "note", after=False)
        case "after the second slice":
            dies(retention, "delete_entries", after=False, times=3)
        case "after the year was noted":
            dies(retention, "delete_slice_of_year", after=False)
        case "between two slices of the year":
            dies(retention, "delete_slice_of_year", after=False, times=3)
        case "before the entry":
            dies(AuditLog, "append", after=False, times=2)
        case "after the entry":
            dies(AuditLog, "append", after=True, times=2)


def main() -> None:
    url, folder, secret, point = sys.argv[1:]
    retention.SLICE, forgetting.SLICE = 4, 4
    database = Database(url)
    clock = FixedClock(datetime(2026, 1, 1, 10, 0, tzinfo=UTC))
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    log = AuditLog(database, signer, "handschlag.example", Path(folder), clock)
    log.start()
    retention.provide_periods(database, retention.load_schedule())
    choose(point)
    retention.Retention(database, retention.load_schedule(), clock).run()
    retention.log_erasures(log, database)


if __name__ == "__main__":
    main()
