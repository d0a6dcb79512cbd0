"""The command: it explains itself, ends with the code that it promises, and never with a traceback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from services.command.main import COMMANDS, handschlag
from tests.support.servers import free_ports

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "services.command"]
SECRET = "kennwort-4711"
Done = subprocess.CompletedProcess[str]


def tree(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and of every group."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from tree(found, (*path, name))


def leaf(path: tuple[str, ...]) -> click.Command:
    command: click.Command = handschlag
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


EVERY = sorted(tree(handschlag))


def call(state: Path, *arguments: str, **settings: str) -> Done:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HANDSCHLAG_")}
    environment = {**ours, "HANDSCHLAG_STATE": str(state / "state")}
    environment |= {f"HANDSCHLAG_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def dead_database() -> str:
    """An address at which nothing answers; with a password, since it must not be repeated."""
    (port,) = free_ports(1)
    return f"postgresql://handschlag:{SECRET}@127.0.0.1:{port}"


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(handschlag, [*path, "--help"])
    assert shown.exit_code == 0
    assert shown.output.startswith("Usage:")
    described = leaf(path).help
    assert described
    assert len(described.split()) >= 3


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_option_explains_itself(path: tuple[str, ...]) -> None:
    options = [each for each in leaf(path).params if isinstance(each, click.Option) and not each.hidden]
    assert [each.name for each in options if not each.help] == []


def test_the_list_of_commands_is_the_list_of_commands() -> None:
    shown = CliRunner().invoke(handschlag, ["--help"]).output
    for name, (_, _, text) in COMMANDS.items():
        assert f"  {name} " in shown
        assert text.split()[0] in shown


def test_a_remedy_names_only_commands_that_exist() -> None:
    """Whoever follows the advice of an error finds the command that it names."""
    named: set[str] = set()
    for folder in ("services", "shared"):
        for path in (ROOT / folder).rglob("*.py"):
            found = re.findall(r"""`handschlag ([a-z]+)|"handschlag ([a-z]+)\"""", path.read_text("utf-8"))
            named |= {first or second for first, second in found}
    assert "migrate" in named
    assert named <= COMMANDS.keys()


def test_zero_when_it_is_done(tmp_path: Path) -> None:
    first = call(tmp_path, "migrate", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    assert len(json.loads(first.stdout)["migrated"]) == 5
    again = call(tmp_path, "migrate", "--json")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert call(tmp_path, "--version").returncode == 0
    assert call(tmp_path, "doctor", "--json").returncode in (0, 1)


def test_what_was_made_is_for_its_owner_only(tmp_path: Path) -> None:
    call(tmp_path, "migrate")
    keys = tmp_path / "state" / "keys"
    open_ones = {path.name for path in keys.iterdir() if path.stat().st_mode & 0o077}
    assert open_ones == {"public.json", "log-public.json"}
    assert keys.stat().st_mode & 0o077 == 0


def test_one_when_something_was_found(tmp_path: Path) -> None:
    file = tmp_path / "sheets.csv"
    columns = ["SEQN", *(f"DPQ0{number}0" for number in range(1, 10)), "DPQ100"]
    file.write_text(",".join(columns) + "\n1,0\n", "utf-8")
    found = call(tmp_path, "import", "assessments", str(file), "--instrument", "phq-9", "--dry-run", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["faults"][0]["line"] == 2
    case = tmp_path / "case.json"
    asked = {
        "id": "A",
        "sender": {"body": "jobcenter", "domain": "sgb_ii"},
        "recipient": {"body": "health_insurer", "domain": "sgb_v"},
        "categories": ["health_data"],
        "purpose": "participation_plan_conference",
        "facts": {},
        "date": "2026-11-24",
        "expected": "permit",
    }
    case.write_text(json.dumps([asked]), "utf-8")
    ruled = call(tmp_path, "law", "check", str(case), "--json")
    assert ruled.returncode == 1, ruled.stderr
    assert json.loads(ruled.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verwandle"], "verwandle"),
        (["migrate", "--nonsense"], "--nonsense"),
        (["import", "assessments"], "FILE"),
        (["import", "assessments", __file__], "--instrument"),
        (["import", "assessments", __file__, "--instrument", "phq-9"], "import.columns_missing"),
        (["service", "weather"], "weather"),
        (["log", "verify", "receipt", "nowhere"], ""),
        (["law", "decide", "nowhere.json"], ""),
    ],
)
def test_two_when_it_is_used_wrongly(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = call(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [("MODE", "prod"), ("PORT", "many"), ("DATABASE", f"mysql://u:{SECRET}@h"), ("BROKER", f"http://u:{SECRET}@h")],
)
def test_two_and_the_name_of_the_setting_that_cannot_be_right(tmp_path: Path, variable: str, wrong: str) -> None:
    done = call(tmp_path, "migrate", **{variable: wrong})
    assert done.returncode == 2
    assert f"HANDSCHLAG_{variable}" in done.stderr
    assert len(done.stderr.splitlines()) == 2, "what is wrong, and what would be right"
    assert SECRET not in done.stderr


@pytest.mark.parametrize("arguments", [["migrate"], ["migrate", "--json"], ["doctor", "--json"], ["import"]])
def test_three_when_the_database_cannot_be_reached(tmp_path: Path, dead_database: str, arguments: list[str]) -> None:
    if arguments == ["import"]:
        file = tmp_path / "sheets.csv"
        columns = ["SEQN", *(f"DPQ0{number}0" for number in range(1, 10)), "DPQ100"]
        file.write_text(",".join(columns) + "\n1,0,0,0,0,0,0,0,0,0,0\n", "utf-8")
        arguments = ["import", "assessments", str(file), "--instrument", "phq-9"]
    done = call(tmp_path, *arguments, DATABASE=dead_database)
    assert done.returncode == 3, done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout
    assert len(done.stderr.splitlines()) <= 2


def test_three_when_the_broker_cannot_be_reached(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    done = call(tmp_path, "doctor", "--json", BROKER=f"amqp://u:{SECRET}@127.0.0.1:{port}//")
    assert done.returncode == 3, done.stdout
    assert SECRET not in done.stdout + done.stderr
