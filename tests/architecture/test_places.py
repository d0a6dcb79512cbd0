"""Nothing in the repository depends on the machine on which it was written."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.scratch import ROOT

# Written so that the patterns do not find themselves.
MACHINE = re.compile(
    r"(?<![\w.-])/(?:wor[k]/[a-z.]|tm[p]/bash_jobs|hom[e]/[a-z]|roo[t]/[.a-z]|op[t]/(?:pypi|wheels))"
    r"|https?://(?:registr[y]|file[s]|de[b])\.[a-z]|https?://[^ \"]+/simpl[e](?:/|$|\")",
    re.MULTILINE,
)
BINARY = {".woff2", ".png", ".jpg", ".ico", ".db", ".gz"}


def files() -> list[Path]:
    """What git would keep: committed or about to be."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / line for line in listed.splitlines())
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


def test_no_file_names_a_place_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files()
        for match in MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["/" + "work/main", "https://" + "files.example.org/a", "/" + "root/.cache", "/" + "opt/wheels"],
)
def test_a_place_is_seen(text: str) -> None:
    assert MACHINE.search(text)
