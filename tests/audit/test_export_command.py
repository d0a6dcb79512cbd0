"""`handschlag export` and `handschlag log search`: from a running installation to files that others can use."""

import csv
import io
import json
import stat
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fhir.resources.R4B.auditevent import AuditEvent

from services.command.main import handschlag
from tests.support.bundles import Rulings
from tests.support.local_platform import local_platform
from tests.support.workplace import Workplace, fresh

READER = ("--by", "pruefung", "--reason", "Beschwerde 7/26")


@pytest.fixture
def at(tmp_path, monkeypatch):
    """An installation whose log is being written by its service, while the command is used beside it."""
    state = tmp_path / "state"
    state.mkdir()
    for name, text in {
        "STATE": state,
        "DATABASE": f"sqlite:///{state}",
        "KEYS": state / "keys",
        "MODE": "demo",
    }.items():
        monkeypatch.setenv(f"HANDSCHLAG_{name}", str(text))
    with local_platform(state) as platform:
        rulings = Rulings(Workplace.of(platform))
        person, case = fresh("person"), fresh("case")
        asked = rulings.ruled("benefit_data", "master_data", person_id=person, case_id=case)
        rulings.went(asked, "handed_over")
        rulings.went(asked, "matched")
        rulings.ruled("coaching_content")
        today = platform.contexts["audit"].clock.today().isoformat()
        yield SimpleNamespace(at=rulings.at, person=person, case=case, today=today)


def command(*arguments):
    return CliRunner().invoke(handschlag, [str(each) for each in arguments], catch_exceptions=False)


def test_what_was_exported_is_proved_with_the_key_that_the_command_names(at, tmp_path):
    wanted = {
        "subject": ("subject", at.person, "--open", "facts"),
        "case": ("case", at.case, "--person", at.person),
        "period": ("period", at.today, at.today),
        "nobody": ("subject", "person-never-seen"),
    }
    for name, asked in wanted.items():
        file = tmp_path / name
        told = command("export", *asked, "--agency", at.at.agency, *READER, "-o", file, "--json")
        assert told.exit_code == 0, told.output
        answer = json.loads(told.output)
        assert (answer["file"], answer["lines"]) == (str(file), len(file.read_text("utf-8").splitlines()))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        keys = [part for key in answer["keys"] for part in ("--key", key)]
        assert command("log", "verify", "bundle", file, *keys).exit_code == 0
        assert at.at.leaves()[-1]["details"]["way"] == "export"


def test_a_file_that_is_there_is_not_overwritten_and_nothing_is_logged(at, tmp_path):
    (tmp_path / "there").write_text("mine", encoding="utf-8")
    before = at.at.leaves()
    told = command("export", "subject", at.person, "--agency", at.at.agency, *READER, "-o", tmp_path / "there")
    assert (told.exit_code, (tmp_path / "there").read_text("utf-8"), at.at.leaves()) == (2, "mine", before)


@pytest.mark.parametrize("missing", ["--reason", "--by"])
def test_nobody_reads_the_log_without_name_and_reason(at, tmp_path, missing):
    said = [
        each for name, text in zip(READER[::2], READER[1::2], strict=True) if name != missing for each in (name, text)
    ]
    for asked in (("export", "subject", at.person, "-o", tmp_path / "x"), ("log", "search")):
        assert command(*asked, "--agency", at.at.agency, *said).exit_code == 2
    assert not (tmp_path / "x").exists()


def search(at, *arguments):
    return command("log", "search", "--agency", at.at.agency, *READER, *arguments)


def test_a_search_goes_on_page_by_page_as_one_search(at):
    first = json.loads(search(at, "--kind", "outcome", "--json", "--limit", 1).output)
    assert ([each["result"] for each in first["items"]], first["unseen"]["deleted"]) == (["handed_over"], 0)
    more = ("--json", "--limit", 1, "--search-id", first["search_id"], "--after", first["next"])
    second = json.loads(search(at, *more).output)
    assert ([each["result"] for each in second["items"]], second["next"]) == (["matched"], None)
    assert [leaf["kind"] for leaf in at.at.leaves()].count("log_read") == 1


def test_every_form_holds_the_same_entries(at):
    lines = search(at, "--category", "benefit_data", "--format", "jsonl").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    table = list(csv.DictReader(io.StringIO(search(at, "--category", "benefit_data", "--format", "csv").stdout)))
    assert [row["leaf_hash"] for row in rows] == [row["leaf_hash"] for row in table]
    assert (len(rows), table[0]["categories"], table[0]["recipient"]) == (1, "benefit_data; master_data", "drv")
    assert "benefit_data; master_data" in search(at, "--category", "benefit_data").stdout


def test_rulings_and_outcomes_become_audit_events_and_the_rest_is_counted(at):
    told = search(at, "--format", "fhir")
    events = [AuditEvent.model_validate_json(line) for line in told.stdout.splitlines()]
    profiles = [event.meta.profile[0].rsplit(".", 1)[1] for event in events]
    assert sorted(profiles) == ["AuthZconsent", "AuthZconsent", "Recipient", "Source"]
    assert [event.outcome for event in events if event.type.code == "110113"] == ["0", "8"]
    assert "have no pattern of AuditEvent" in told.stderr
    assert at.person not in told.stdout
    assert at.person in search(at, "--person", at.person, "--format", "fhir").stdout


def test_what_a_search_cannot_find_is_said(at):
    assert "erased" in search(at, "--kind", "intent").stderr
