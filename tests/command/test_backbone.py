"""What somebody who looks after the platform does about read models and about messages that wait."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.command.main import handschlag
from services.command.platform import DEFINITIONS
from shared.config import Settings
from shared.errors import Invalid, NotFound
from shared.eventstore import run_once
from shared.messaging import Inbox, Message
from shared.runtime import ServiceContext, context

CONCERN = "health.SafetyConcernNoted.v1"


FILES = DEFINITIONS["cases"].work.projections[0]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANDSCHLAG_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert handschlag_("migrate").exit_code == 0
    return tmp_path


def handschlag_(*arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(handschlag, arguments, input=said)


@pytest.fixture
def cases(state: Path) -> ServiceContext:
    return context("cases", Settings.from_environment())


def park_a_message(cases: ServiceContext, data: dict[str, object]) -> None:
    Inbox(cases, DEFINITIONS["cases"].work.inbound).handle([Message(id="m-1", type=CONCERN, agency="a", data=data)])


def test_read_models_are_listed_and_rebuilt(cases: ServiceContext) -> None:
    run_once(cases.store, FILES)
    rows = json.loads(handschlag_("projections", "list", "cases", "--json").stdout)
    assert rows[0] == {"service": "cases", "name": FILES.name, "version": 1, "position": 0, "end": 0, **rows[0]}
    assert json.loads(handschlag_("projections", "rebuild", "cases", FILES.name, "--json").stdout)["events"] == 0
    assert "new rows are in use" in handschlag_("projections", "rebuild", "cases", FILES.name).stdout
    assert f"cases  {FILES.name}  version 1" in handschlag_("projections", "list").stdout


def test_a_read_model_that_is_not_there_is_named_with_those_that_are(state: Path) -> None:
    failed = handschlag_("projections", "rebuild", "cases", "file").exception
    assert isinstance(failed, NotFound)
    assert FILES.name in failed.remedy


def test_an_older_read_model_is_a_finding(cases: ServiceContext, monkeypatch: pytest.MonkeyPatch) -> None:
    handschlag_("projections", "rebuild", "cases", FILES.name)
    known = DEFINITIONS["cases"]
    newer = replace(known.work, projections=(replace(FILES, version=2),))
    monkeypatch.setitem(DEFINITIONS, "cases", replace(known, work=newer))
    listed = handschlag_("projections", "list", "cases")
    assert listed.exit_code == 1
    assert "version 1 (this program has version 2)" in listed.stdout
    handschlag_("projections", "rebuild", "cases", FILES.name)
    assert handschlag_("projections", "list", "cases").exit_code == 0


def test_a_message_that_waits_is_shown_repaired_and_handled(cases: ServiceContext, tmp_path: Path) -> None:
    park_a_message(cases, {"person_id": "p-1"})
    assert handschlag_("parked", "list", "cases").exit_code == 1
    shown = json.loads(handschlag_("parked", "show", "cases", "m-1").stdout)
    assert (shown["code"], shown["data"]) == ("message.invalid", {"person_id": "p-1"})
    assert isinstance(handschlag_("parked", "repair", "cases", "m-1", "-", said="no").exception, Invalid)
    assert isinstance(handschlag_("parked", "repair", "cases", "m-1", "-", said="{}").exception, Invalid)
    right = json.dumps({"person_id": "p-1", "assessment_id": "a-1"})
    assert "repaired" in handschlag_("parked", "repair", "cases", "m-1", "-", said=right).stdout
    assert handschlag_("parked", "retry", "cases").stdout == "1 handled, 0 waiting\n"
    assert handschlag_("parked", "list", "cases").exit_code == 0


def test_a_message_can_be_given_up(cases: ServiceContext) -> None:
    park_a_message(cases, {})
    assert handschlag_("parked", "give-up", "cases", "m-1").exit_code == 0
    for command in ("give-up", "show"):
        assert handschlag_("parked", command, "cases", "m-1").exit_code == 1
    assert handschlag_("parked", "repair", "cases", "m-1", "-", said="{}").exit_code == 1
