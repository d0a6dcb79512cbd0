"""Runs the tests marked `green` under eventlet's patched standard library, as nameko's services run.

    python -m tests.support.green [pytest's own arguments]

nameko no longer patches by itself, and patching comes before everything else; hence a process of its own. Only files
that speak of the mark are opened, because others may need what patching takes away.
"""

import sys
from pathlib import Path

from shared import runtime

runtime.patch()

import pytest  # noqa: E402 - after the patch, on purpose

TESTS = Path(__file__).resolve().parents[1]
MARK = "mark." + "green"


def main() -> int:
    """No green test in the chosen files is no fault."""
    files = [str(path) for path in sorted(TESTS.rglob("test_*.py")) if MARK in path.read_text(encoding="utf-8")]
    if not files:
        return 0
    code = pytest.main(["-q", "-m", "green", *sys.argv[1:], *files])
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


if __name__ == "__main__":
    raise SystemExit(main())
