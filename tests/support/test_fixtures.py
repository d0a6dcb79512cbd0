"""A server that cannot be had costs one plain line and its own tests; in CI it is a fault."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS_A_BROKER = "tests/deploy/test_broker_rights.py::test_strangers_are_not_let_in"
LINE = "handschlag: RabbitMQ: not installed, and "


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which no broker can be had: none installed, no place to unpack one."""
    place = tmp_path / "cache"
    place.write_text("a file where a folder should be")
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "HANDSCHLAG_TEST_RABBITMQ")}
    return {**kept, "HANDSCHLAG_IGNORE_INSTALLED": "1", "XDG_CACHE_HOME": str(place)}


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", NEEDS_A_BROKER]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_without_a_broker_the_rest_runs_and_one_line_says_why(nowhere: dict[str, str]) -> None:
    result = run(nowhere)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(LINE) == 1
    assert "3 skipped" in result.stdout.splitlines()[-1]


def test_in_ci_a_missing_broker_is_a_fault(nowhere: dict[str, str]) -> None:
    result = run({**nowhere, "CI": "1"})
    assert result.returncode == 1
    assert LINE in result.stdout
    assert "3 errors" in result.stdout.splitlines()[-1]
