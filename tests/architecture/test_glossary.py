"""The tree speaks the domain: every module in a domain/ bears a name of the glossary."""

from pathlib import Path

import yaml

from tests.architecture.scratch import ROOT, SERVICES, copy_to


def terms() -> list[dict[str, str]]:
    entries: list[dict[str, str]] = yaml.safe_load((ROOT / "contracts/glossary.yaml").read_text(encoding="utf-8"))
    return entries


def unknown(root: Path) -> list[str]:
    """Names in a domain/ that the glossary does not know."""
    known = {entry["en"].replace(" ", "_") for entry in terms()}
    modules = (path for service in SERVICES for path in (root / "services" / service / "domain").iterdir())
    names = {path.stem for path in modules if path.suffix == ".py" or (path / "__init__.py").exists()}
    return sorted(names - known - {"__init__"})


def test_domain_modules_are_named_by_the_glossary() -> None:
    assert unknown(ROOT) == []


def test_a_name_outside_the_glossary_is_seen(tmp_path: Path) -> None:
    root = copy_to(tmp_path)
    (root / "services/cases/domain/manager_utils.py").write_text('"""Whatever."""\n')
    assert unknown(root) == ["manager_utils"]


def test_a_term_stands_once_and_has_its_german_word() -> None:
    names = [entry["en"] for entry in terms()]
    assert len(names) == len(set(names))
    assert all(entry["de"] and set(entry) <= {"en", "de", "law"} for entry in terms())
    assert all("§" in entry["law"] or "Art." in entry["law"] for entry in terms() if "law" in entry)
