"""Locks name versions and hashes, and neither an address nor a path of the machine that made them."""

import re

import pytest

from tests.architecture.scratch import ROOT

LOCKS = ("runtime", "test", "bench")
FOREIGN = re.compile(
    r"://|--find-links|--index|--extra-index|--trusted|^\s*-[ief]\s|(?:^|\s)(?:file:/|~?/)", re.MULTILINE
)
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,]+\])?==([^\s;\\]+)", re.MULTILINE)


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    return {package.lower(): version for package, version in PINNED.findall(lock(name))}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    assert FOREIGN.findall(lock(name)) == []


@pytest.mark.parametrize(
    "line", ["--find-links /wheels", "--index-url https://mirror/index", "a @ file:///a.whl", "-e ./x", "-r /a/b.txt"]
)
def test_a_place_is_seen(line: str) -> None:
    assert FOREIGN.search(f"a==1 \\\n{line}\n")


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_its_version_and_hashes(name: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", lock(name), flags=re.MULTILINE)[1:]
    assert len(entries) > 40
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", ["test", "bench"])
def test_what_runs_is_what_is_tested_and_measured(name: str) -> None:
    assert pins("runtime").items() <= pins(name).items()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_was_asked_for(name: str) -> None:
    asked = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8")
    assert {package.lower(): version for package, version in PINNED.findall(asked)}.items() <= pins(name).items()


def test_peers_with_other_licences_stay_in_the_bench() -> None:
    assert "pymerkle" in pins("bench")
    assert not {"pymerkle", "eventsourcing"} & (pins("runtime").keys() | pins("test").keys())
