"""Every service has the same shape: know one and you know all five."""

import ast
from pathlib import Path

import pytest

from tests.architecture.scratch import ROOT, SERVICES, copy_to

SHAPE = (
    "__init__.py",
    "domain/__init__.py",
    "history.py",
    "handlers.py",
    "projections.py",
    "queries.py",
    "outbound.py",
    "inbound.py",
    "asks.py",
    "service.py",
    "worker.py",
)


def missing(root: Path) -> list[str]:
    """What a service lacks of the common shape, and modules that do not say what they are."""
    found = []
    for service in SERVICES:
        folder = root / "services" / service
        found += [f"{service}: no {part}" for part in SHAPE if not (folder / part).is_file()]
        found += [] if (folder / "migrations").is_dir() else [f"{service}: no migrations/"]
        found += [
            f"{service}: {path.relative_to(folder)} says nothing"
            for path in sorted(folder.rglob("*.py"))
            if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        ]
    return found


def test_the_services_have_the_same_shape() -> None:
    assert missing(ROOT) == []


@pytest.mark.parametrize("part", [*SHAPE, "migrations"])
def test_a_missing_part_is_seen(tmp_path: Path, part: str) -> None:
    root = copy_to(tmp_path)
    (root / "services" / "health" / part).rename(root / "elsewhere")
    assert any(line.startswith(f"health: no {part}") for line in missing(root))


def test_a_module_without_a_word_is_seen(tmp_path: Path) -> None:
    root = copy_to(tmp_path)
    (root / "services" / "cases" / "queries.py").write_text("answer = 42\n")
    assert missing(root) == ["cases: queries.py says nothing"]


def test_every_service_has_its_section_its_role_and_its_broker_user() -> None:
    places = ("deploy/alembic.ini", "deploy/postgres/roles.sql", "deploy/rabbitmq/definitions.json")
    sections, roles, users = ((ROOT / place).read_text(encoding="utf-8") for place in places)
    for service in SERVICES:
        assert f"[{service}]" in sections
        assert f"\\set service {service}\n" in roles
        assert f'"name": "{service}"' in users
