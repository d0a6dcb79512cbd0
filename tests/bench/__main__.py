"""`make bench`: every measurement, one after the other, and all their figures in one file.

    python -m tests.bench [--json FILE]

Each may be run alone, with options of its own; those that know `--json` put their rows into the common file.
"""

import argparse
import subprocess
import sys
from pathlib import Path

TABLES = (
    "tests.bench.eventstore",
    "tests.bench.relay",
    "tests.bench.audit_log",
    "tests.bench.projections",
    "tests.bench.end_to_end",
)
OTHERS = (
    "tests.bench.disclosure",
    "tests.bench.withdrawal",
    "tests.bench.access",
    "tests.bench.event_hashes",
    "tests.bench.witnesses",
    "tests.bench.law",
)


def main() -> int:
    """Prints each table; the exit code says whether all of them could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("build/bench.json"))
    chosen = parser.parse_args()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    worst = 0
    for module in (*TABLES, *OTHERS):
        print(f"\n## {module}\n", flush=True)
        extra = ["--json", str(chosen.json)] if module in TABLES else []
        worst = max(worst, subprocess.run([sys.executable, "-m", module, *extra], check=False).returncode)
    print(f"\nfigures: {chosen.json}", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
