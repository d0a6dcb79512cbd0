"""The gate of the contracts: every promise it watches is broken once on a scratch copy and seen red."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from contracts import check
from contracts.generate import FOLDER, generated, samples
from services.cases.inbound import HANDLERS, SafetyConcernSeen
from shared.domain import value
from shared.runtime import Handler

Files = dict[str, str]


@pytest.fixture(scope="module", autouse=True)
def files() -> Iterator[Files]:
    """What the code says; it does not change while a copy is broken, so it is asked once."""
    found = generated()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "generated", lambda: found)
        yield found


@pytest.fixture
def copy(tmp_path: Path, files: Files) -> Path:
    """The contracts in a folder of their own, just generated."""
    folder = tmp_path / "contracts"
    shutil.copytree(FOLDER / "samples", folder / "samples")
    shutil.copy(FOLDER / "calls.yaml", folder)
    for name, text in {**samples(), **files}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(text, "utf-8")
    return folder


def edit(path: Path, change: object) -> None:
    path.write_text(json.dumps(change, ensure_ascii=False, indent=2, sort_keys=True) + "\n", "utf-8")


def test_the_gate_is_open_when_every_promise_holds(copy: Path) -> None:
    assert check.findings(copy) == []


@pytest.mark.parametrize(
    "name",
    [
        "commands/consent.give_consent.json",
        "views/cases.case.json",
        "events/ConsentWithdrawn.v1.json",
        "messages/consent.ConsentWithdrawn.v1.json",
        "asyncapi/health.yaml",
        "openapi.yaml",
    ],
)
def test_a_generated_file_is_not_changed_by_hand(copy: Path, name: str) -> None:
    (copy / name).write_text((copy / name).read_text("utf-8") + "\n", "utf-8")
    assert check.findings(copy) == [f"contracts/{name} is not what the code says; run make contracts"]


def test_a_generated_file_is_not_missing(copy: Path) -> None:
    (copy / "events" / "ConsentWithdrawn.v1.json").unlink()
    assert check.findings(copy) == [
        "contracts/events/ConsentWithdrawn.v1.json is not what the code says; run make contracts"
    ]


def test_an_earlier_version_of_an_event_stays_beside_the_one_that_is_written_now(copy: Path) -> None:
    shutil.copy(FOLDER / "events" / "ConsentGiven.v1.json", copy / "events")
    assert check.findings(copy) == []
    (copy / "events" / "ConsentGiven.v9.json").write_text("{}", "utf-8")
    assert check.findings(copy) == ["contracts/events/ConsentGiven.v9.json belongs to nothing; run make contracts"]


def test_a_file_that_belongs_to_nothing_does_not_stay(copy: Path) -> None:
    (copy / "commands" / "consent.forget_everything.json").write_text("{}", "utf-8")
    assert check.findings(copy) == [
        "contracts/commands/consent.forget_everything.json belongs to nothing; run make contracts"
    ]


def test_every_event_has_a_sample(copy: Path) -> None:
    (copy / "samples" / "ConsentWithdrawn.v1.json").unlink()
    assert check.findings(copy) == ["contracts/samples/ConsentWithdrawn.v1.json is missing; run make contracts"]


def test_every_sample_ever_recorded_still_loads(copy: Path) -> None:
    path = copy / "samples" / "ConsentWithdrawn.v1.json"
    sample = json.loads(path.read_text("utf-8"))
    edit(path, {name: kept for name, kept in sample.items() if name != "on"})
    assert check.findings(copy) == [
        "contracts/samples/ConsentWithdrawn.v1.json no longer loads (Invalid); add an upcaster"
    ]


def test_a_sample_of_an_event_that_nobody_knows_any_more_is_found(copy: Path) -> None:
    edit(copy / "samples" / "ConsentForgotten.v1.json", {})
    assert check.findings(copy) == [
        "contracts/samples/ConsentForgotten.v1.json no longer loads (KeyError); add an upcaster"
    ]


def test_a_field_is_heard_only_if_somebody_tells_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @value
    class HeardTooMuch:
        person_id: str
        favourite_colour: str

    usual = HANDLERS["health.SafetyConcernNoted.v1"]
    monkeypatch.setitem(HANDLERS, "health.SafetyConcernNoted.v1", Handler(HeardTooMuch, usual.function))
    assert check.findings(copy) == ["cases reads favourite_colour of health.SafetyConcernNoted.v1, which nobody tells"]


def test_a_message_is_heard_only_if_somebody_tells_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = HANDLERS["health.SafetyConcernNoted.v1"]
    monkeypatch.setitem(HANDLERS, "health.NobodyTells.v1", Handler(SafetyConcernSeen, usual.function))
    assert check.findings(copy) == [
        "cases reads person_id of health.NobodyTells.v1, which nobody tells",
        "cases reads assessment_id of health.NobodyTells.v1, which nobody tells",
    ]


def calls(copy: Path) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = yaml.safe_load((copy / "calls.yaml").read_text("utf-8"))
    return found


def test_no_call_is_granted_that_nobody_offers(copy: Path) -> None:
    granted = calls(copy)
    granted["gateway"]["consent"].append("read_minds")
    edit(copy / "calls.yaml", granted)
    assert check.findings(copy) == ["calls.yaml grants gateway the call consent.read_minds, which nobody offers"]


def test_no_call_is_offered_that_is_granted_to_nobody(copy: Path) -> None:
    granted = calls(copy)
    granted["audit"]["consent"].remove("evidence")
    edit(copy / "calls.yaml", granted)
    assert check.findings(copy) == ["consent.evidence is offered and granted to nobody"]


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def published(copy: Path) -> Path:
    """The copy on the main branch of a repository of its own."""
    git(copy.parent, "init", "--initial-branch=main")
    git(copy.parent, "add", ".")
    git(copy.parent, "commit", "--message=published")
    return copy


def test_what_was_published_and_has_not_changed_passes(published: Path) -> None:
    assert check.findings(published) == []


def test_a_new_event_beside_those_that_were_published_passes(published: Path) -> None:
    git(published.parent, "rm", "--cached", "contracts/samples/ConsentWithdrawn.v1.json")
    git(published.parent, "commit", "--message=not yet published")
    assert check.findings(published) == []


def test_a_published_sample_never_changes(published: Path) -> None:
    path = published / "samples" / "ConsentWithdrawn.v1.json"
    edit(path, {**json.loads(path.read_text("utf-8")), "on": "2026-12-24"})
    assert check.findings(published) == [
        "contracts/samples/ConsentWithdrawn.v1.json was published and has changed; make a new version instead"
    ]


@pytest.mark.parametrize("name", ["events/ConsentWithdrawn.v1.json", "messages/consent.ConsentGiven.v1.json"])
def test_a_published_event_or_message_never_changes_even_if_the_code_does(
    published: Path, files: Files, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    changed = (published / name).read_text("utf-8") + "\n"
    (published / name).write_text(changed, "utf-8")
    says = {**files, name: changed}
    monkeypatch.setattr(check, "generated", lambda: says)
    assert check.findings(published) == [f"contracts/{name} was published and has changed; make a new version instead"]


def test_a_published_event_does_not_go_away_even_if_the_code_no_longer_knows_it(
    published: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "events/ConsentWithdrawn.v1.json"
    (published / name).unlink()
    says = {path: text for path, text in files.items() if path != name}
    monkeypatch.setattr(check, "generated", lambda: says)
    assert check.findings(published) == [f"contracts/{name} was published and is gone"]


def test_commands_and_views_may_still_grow(published: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "views/cases.case.json"
    changed = (published / name).read_text("utf-8") + "\n"
    (published / name).write_text(changed, "utf-8")
    says = {**files, name: changed}
    monkeypatch.setattr(check, "generated", lambda: says)
    assert check.findings(published) == []


def test_a_red_gate_says_so_to_whoever_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "findings", lambda: ["a promise is broken"])
    assert check.main() == 1
    monkeypatch.setattr(check, "findings", list)
    assert check.main() == 0
