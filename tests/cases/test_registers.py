"""The registers that write themselves: from rules, events, partners and terms; and what is left to people."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.command.registers import as_page, registers
from shared.registers import Controller, Recipient, impact, personal_fields, processing
from tests.cases.test_breach import record
from tests.support.clock import NOON
from tests.support.workplace import Workplace

OFFICE = Controller("jc", "Jobcenter", "jobcenter")
PARTNERS = [Recipient("drv", "Rentenversicherung", "pension_insurer"), Recipient("gym", "Studio", "landlord")]
DAY = date(2026, 3, 2)


def test_an_activity_is_a_purpose_with_its_norms_categories_and_recipients() -> None:
    found = processing(OFFICE, PARTNERS, DAY)
    by_purpose = {each["purpose"]: each for each in found["activities"]}
    task = by_purpose["recipient_statutory_task"]
    assert "§ 69 Abs. 1 Nr. 1 SGB X" in " ".join(task["norms"])
    assert "drv" in task["partners"]
    assert {"master_data", "benefit_data"} <= set(task["categories"])
    assert "data_subject_access" in by_purpose


def test_the_register_follows_the_law_of_the_day() -> None:
    def rules(day: date) -> set[str]:
        found = {each["purpose"]: each for each in processing(OFFICE, PARTNERS, day)["activities"]}
        return set(found["arbitration"]["rules"])

    assert rules(date(2026, 6, 30)) - rules(date(2026, 7, 1)) == {"sgb2-15a-1"}


def test_every_event_with_a_personal_field_is_in_the_register() -> None:
    fields = personal_fields()
    assert fields["PersonRegistered.v1"] == ["birth_date", "contact", "name"]
    assert "EntryRecorded.v1" in fields
    assert "CaseOpened.v1" not in fields


def test_the_impact_assessment_says_what_it_cannot_know() -> None:
    found = impact(OFFICE, PARTNERS, DAY, {"mode": "test"})
    assert [each["id"] for each in found["sections"]] == ["description", "necessity", "risks", "measures", "consulted"]
    assert "data_protection_officer" in found["open"]
    assert "legal review of the rules" in found["open"]
    necessity = found["sections"][1]["content"]
    assert 0 < necessity["rules_without_legal_review"] <= necessity["rules_in_force"]


def test_every_measure_names_code_that_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    for measure in processing(OFFICE, PARTNERS, DAY)["measures"]:
        module, _, name = measure["code"].partition(":")
        if not name:
            assert (root / module).exists(), module
            continue
        found = getattr(__import__(module, fromlist=[name]), name)
        assert found.__doc__


def test_a_page_marks_what_is_to_be_filled_in_and_trusts_no_text() -> None:
    page = as_page("Titel <1>", {"a": "", "b": ["x", "<y>"], "c": [{"d": True}]})
    assert "einzutragen" in page
    assert "&lt;y&gt;" in page
    assert "Titel &lt;1&gt;" in page
    assert "<dd>ja</dd>" in page


@pytest.mark.parametrize("name", ["processing", "impact"])
def test_the_command_writes_json_and_a_page(jobcenter: Workplace, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobcenter.partner()
    _here(jobcenter, monkeypatch)
    told = CliRunner().invoke(registers, [name, "--agency", jobcenter.agency, "--json"], catch_exceptions=False)
    assert (told.exit_code, json.loads(told.output)["norm"][:4]) == (0, "Art.")
    page = CliRunner().invoke(registers, [name, "--agency", jobcenter.agency, "--html"], catch_exceptions=False)
    assert page.output.startswith("<!doctype html>")


def test_the_command_ends_with_one_while_a_notice_is_overdue(
    jobcenter: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _here(jobcenter, monkeypatch)
    arguments = ["breaches", "--agency", jobcenter.agency]
    assert CliRunner().invoke(registers, arguments, catch_exceptions=False).exit_code == 0
    record(jobcenter, aware_at=NOON - timedelta(hours=100))
    told = CliRunner().invoke(registers, arguments, catch_exceptions=False)
    assert told.exit_code == 1
    assert json.loads(told.output)["breaches"][0]["nature"] == "Umschläge vertauscht"


def _here(office: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = office.platform.contexts["cases"].settings
    monkeypatch.setenv("HANDSCHLAG_STATE", str(settings.state))
    monkeypatch.setenv("HANDSCHLAG_KEYS", str(settings.keys))
