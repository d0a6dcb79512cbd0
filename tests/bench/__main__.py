"""`make bench`: every measurement, one after the other. Each may be run alone, with options of its own."""

import subprocess
import sys

MEASUREMENTS = ("tests.bench.eventstore", "tests.bench.audit_log", "tests.bench.disclosure", "tests.bench.law")


def main() -> int:
    """Prints each table; the exit code says whether all of them could be measured."""
    worst = 0
    for module in MEASUREMENTS:
        print(f"\n## {module}\n", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", module], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
