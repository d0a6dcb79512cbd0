"""Runs the two services of `flow` in this process until it is killed.

python -m tests.support.flow_process STATE BROKER
"""

import sys
from pathlib import Path

from shared import runtime

runtime.patch()

from tests.support import flow  # noqa: E402 - after the patch, on purpose

if __name__ == "__main__":
    state, broker = Path(sys.argv[1]), sys.argv[2]
    runtime.run(
        [flow.BELL, flow.ECHO],
        flow.settings_of(state, broker),
        also=lambda running: print("ready" if running.wait_until_ready() else "late", flush=True),
    )
