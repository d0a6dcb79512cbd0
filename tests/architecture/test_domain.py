"""domain/ is pure: it knows its own service's domain, `shared.domain`, `shared.errors` and the standard library."""

import sys
from pathlib import Path

import pytest

from tests.architecture.scratch import ROOT, SERVICES, add, copy_to, imports_of

ALLOWED = ("shared.domain", "shared.errors")
IMPURE = ("socket", "subprocess", "threading", "os", "time", "random", "secrets", "sqlite3", "urllib.request")


def intruders(root: Path) -> list[str]:
    """Every import of a domain module that is neither pure nor its own."""
    found = []
    for service in SERVICES:
        own = f"services.{service}.domain"
        for path in sorted((root / "services" / service / "domain").rglob("*.py")):
            for name in sorted(imports_of(path)):
                standard = name.split(".")[0] in sys.stdlib_module_names and name not in IMPURE
                if not (standard or name in ALLOWED or name == own or name.startswith(f"{own}.")):
                    found.append(f"{path.relative_to(root)}: {name}")
    return found


def test_the_domain_is_pure() -> None:
    assert intruders(ROOT) == []


@pytest.mark.parametrize("name", ["shared.schema", "yaml", "services.health.domain.finding", "time", "shared.clock"])
def test_an_impure_import_is_seen(tmp_path: Path, name: str) -> None:
    root = copy_to(tmp_path)
    add(root, "services.consent.domain.consent", f"import {name}")
    assert intruders(root) == [f"services/consent/domain/consent.py: {name}"]


def test_what_the_domain_leans_on_is_pure_itself() -> None:
    for name in ALLOWED:
        imported = imports_of(ROOT / f"{name.replace('.', '/')}.py")
        assert {part for part in imported if part.split(".")[0] not in sys.stdlib_module_names} <= set(ALLOWED)
