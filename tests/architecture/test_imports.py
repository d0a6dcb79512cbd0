"""Who may import whom: import-linter holds it, and each of its rules is seen to go red."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.scratch import ROOT, add, copy_to

BROKEN = {
    "shape": ("services.consent.queries", "import services.consent.handlers"),
    "independence": ("services.cases.queries", "import services.health.domain.assessment"),
    "shared": ("shared.clock", "import services.consent.domain.consent"),
    "gateway": ("services.gateway.reading", "import services.consent.queries"),
    "command": ("services.consent.queries", "import services.command"),
    "nameko": ("services.consent.service", "import kombu"),
    "marshmallow": ("services.health.queries", "import marshmallow"),
    "eventlet": ("services.audit.worker", "import eventlet"),
    "telemetry": ("services.exchange.worker", "import opentelemetry"),
    "domain": ("services.cases.domain.case", "import sqlalchemy"),
}


def lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    command = [str(program), "--no-logo", "--no-cache", "--config", "pyproject.toml", *chosen]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def rules() -> dict[str, str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {rule["id"]: rule["name"] for rule in settings["tool"]["importlinter"]["contracts"]}


def test_the_code_keeps_every_rule() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_every_rule_is_broken_below() -> None:
    assert set(BROKEN) == set(rules())


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One look at a copy in which all rules are broken, each in a place of its own."""
    root = copy_to(tmp_path_factory.mktemp("scratch"))
    for module, line in BROKEN.values():
        add(root, module, line)
    result = lint(root)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_seen(verdict: str, rule: str) -> None:
    name = rules()[rule]
    summary, _, details = verdict.partition("Broken contracts")
    assert f"{name} BROKEN" in summary
    headed = re.split(r"\n([^\n]+)\n-{5,}\n", details)
    sections = dict(zip(headed[1::2], headed[2::2], strict=True))
    module, line = BROKEN[rule]
    assert f"{module} -> {line.split()[1]} " in sections[name]
