"""`make bench`: every measurement, one after the other, and at the end one table and one file of all their figures.

    python -m tests.bench [--json FILE]

Each may be run alone, with options of its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.bench.table import saved, show

MEASUREMENTS = (
    "eventstore",
    "reader",
    "relay",
    "projections",
    "end_to_end",
    "calls",
    "audit_log",
    "event_hashes",
    "witnesses",
    "law",
    "disclosure",
    "withdrawal",
    "access",
)


def main() -> int:
    """Prints each table; the exit code says whether all of them could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("build/bench.json"))
    chosen = parser.parse_args()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    worst = 0
    for name in MEASUREMENTS:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(chosen.json)]
        worst = max(worst, subprocess.run(command, check=False).returncode)
    print("\n## All of them\n")
    show(saved(chosen.json) if chosen.json.exists() else [])
    print(f"\nfigures: {chosen.json}", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
