"""A witness process that loses its power after it has kept a checkpoint and before it answers. Started by
test_witness_process.

python -m tests.audit.witness_dying --store FOLDER --listen HOST:PORT --log KEY
"""

import os
import signal

from services.command.witness import witness
from shared.witness import witness as core


def no_power(*_: object) -> str:
    os.killpg(0, signal.SIGKILL)
    return ""


if __name__ == "__main__":
    core.cosign = no_power
    witness(["run", *os.sys.argv[1:]])
