"""`make chaos`: the fault tests for as long as one likes, with a plain verdict at the end.

    python -m tests.chaos [--hours 1] [--seed N] [--only scenes|platform]

The first quarter of the time belongs to the whole platform: any of its processes is killed while the story is told,
writers of the event store and of the audit log are killed in the middle of their work, broker and database restarted
under load. The rest is scenes around the event backbone (`tests/chaos/scene.py`): each begins with fresh servers and
goes through all faults in any order, and after each of them every event must have been projected and delivered exactly
once. The short form of everything here runs in `make test`.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.scene import scene

FILES = (
    "tests/journeys/test_kills.py",
    "tests/shared/test_eventstore_crash.py",
    "tests/shared/test_eventstore_settling.py",
    "tests/audit/test_kills.py",
    "tests/audit/test_attacks.py",
    "tests/audit/test_bit_flips.py",
)
SHARE_OF_PLATFORM = 0.25
KILLS_AN_HOUR = 200


def tell(line: str) -> None:
    print(f"chaos: {line}", flush=True)


def platform(hours: float) -> list[str]:
    """The tests of the whole platform, with more kills."""
    kills = max(20, round(hours * KILLS_AN_HOUR))
    tell(f"the whole platform, {kills} kills in each set-up")
    command = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=0", *FILES]
    done = subprocess.run(
        command, env={"HANDSCHLAG_BIT_FLIPS": "10000", **os.environ, "HANDSCHLAG_KILLS": str(kills)}, check=False
    )
    return ["the tests of the whole platform failed, see above"] if done.returncode else []


def one_scene(chance: random.Random, ends: float, total: dict[str, int]) -> list[str]:
    """All faults in any order, until the time is over; what was not as promised after which of them."""
    found = []
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as running:
        for name in chance.sample(sorted(FAULTS), len(FAULTS)):
            if time.monotonic() > ends:
                break
            FAULTS[name](running, chance)
            faults = running.verdict(within=600)
            tell(f"{name}: {'; '.join(faults) or 'all right'} ({running.counts()['events']} events)")
            found += [f"{name}: {fault}" for fault in faults]
        total["events"] += running.counts()["events"]
        total["kills"] += running.kills
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="how long it runs (default 1)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same faults in the same order again")
    parser.add_argument("--only", choices=("scenes", "platform"), help="one of the two parts")
    chosen = parser.parse_args()
    began, chance = time.monotonic(), random.Random(chosen.seed)
    ends, total = began + chosen.hours * 3600, {"scenes": 0, "events": 0, "kills": 0}
    tell(f"seed {chosen.seed}")
    found = [] if chosen.only == "scenes" else platform(chosen.hours * SHARE_OF_PLATFORM)
    while chosen.only != "platform" and time.monotonic() < ends:
        found += one_scene(chance, ends, total)
        total["scenes"] += 1
    for fault in found:
        tell(f"FAULT {fault}")
    minutes = (time.monotonic() - began) / 60
    told = f"{minutes:.0f} minutes, {total['scenes']} scenes, {total['events']} events, {total['kills']} kills in them"
    tell(
        f"{told}: {'something was lost, doubled or false' if found else 'nothing was lost and nothing was done twice'}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
