"""`make chaos`: the fault tests for as long as one likes, with a plain verdict at the end.

    python -m tests.chaos [--kills 1000]

Kills any process of the platform at random points in both set-ups, writers of the event store and of the audit log in
the middle of their work, and restarts broker and database under load. The short form of each runs in `make test`.
"""

import argparse
import os
import subprocess
import sys

FILES = (
    "tests/journeys/test_kills.py",
    "tests/shared/test_eventstore_crash.py",
    "tests/shared/test_eventstore_settling.py",
    "tests/audit/test_kills.py",
    "tests/audit/test_attacks.py",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="kills in each set-up (default 1000)")
    chosen = parser.parse_args()
    environment = {**os.environ, "HANDSCHLAG_KILLS": str(chosen.kills)}
    command = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=0", *FILES]
    failed = subprocess.run(command, env=environment, check=False).returncode
    verdict = "something was lost, doubled or not found" if failed else "nothing was lost and nothing was done twice"
    print(f"chaos: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
