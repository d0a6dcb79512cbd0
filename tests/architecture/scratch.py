"""Copies of the code in which a rule is broken on purpose, so that no rule silently checks nothing."""

import ast
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("services", "shared", "contracts")
SERVICES = ("consent", "cases", "health", "exchange", "audit")


def copy_to(folder: Path) -> Path:
    """The packages and their settings, as far as rules about them look."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "state"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def add(root: Path, module: str, line: str) -> None:
    """Appends a line to a module, which is made if it is not there."""
    path = root / f"{module.replace('.', '/')}.py"
    package = path.with_suffix("") / "__init__.py"
    path = package if package.exists() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def imports_of(path: Path) -> set[str]:
    """The names of the modules that a file imports, `from a import b` as `a` and as `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "."} if node.level == 0 else {"."}
    return names
