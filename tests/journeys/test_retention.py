"""Files whose time is over go by themselves: afterwards nothing says who it was, and the next run finds nothing to do.

The platform is started again years later; its clock is shifted, everything else is as it is.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services import SERVICES
from tests.journeys.acting import Office, new_key
from tests.journeys.test_erasure import SECRET, WORDS, found_with_keys, leaves, live
from tests.journeys.test_leaks import sqlite_text
from tests.support.leaks import leaks_in, leaks_under
from tests.support.platform import Platform, embedded

NAME, BIRTH_DATE = WORDS[0], WORDS[2]
FIVE_YEARS = 1827
ORDERED_WITHIN = 60.0
NOT_OURS = ("demo.json",)


def over_in_five_years(office: Office) -> str:
    """A person with entries, a case and an assessment; the work is done and nothing is open."""
    person = office.person(NAME, BIRTH_DATE)
    for category in ("contact_log", "benefit_data"):
        office.worker.post("/entries", {"person_id": person, "category": category, "content": SECRET}, new_key())
    case = office.worker.post("/cases", {"person_id": person, "main_companion": "demo-fachkraft"}, new_key())
    answers = {f"item_{number}": "1" for number in range(1, 9)} | {"item_9": "0", "difficulty": "missing"}
    taken = {"instrument": "phq-9", "instrument_version": "1", "answers": answers, "taken_on": "2026-01-01"}
    recorded = office.worker.post("/assessments", {"person_id": person, **taken}, new_key())
    office.worker.get(f"/assessments/{recorded['assessment_id']}")
    office.worker.post(f"/cases/{case['case_id']}/closing", {}, new_key())
    return person


def command(platform: Platform, shift: int, *arguments: str) -> Any:
    """What a command of the installation tells in JSON."""
    environment = {
        **platform.parts["platform"].environment,
        "HANDSCHLAG_STATE": str(platform.settings.state),
        "HANDSCHLAG_CLOCK_SHIFT": str(shift),
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.command", *arguments, "--agency", "jobcenter-demo", "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def ends(platform: Platform, shift: int, days: int = 0) -> dict[str, list[str]]:
    found = command(platform, shift, "retention", "due", "--days", str(days))
    return {each["person_id"]: each["waits_for"] for each in found["files"]}


def start_again_in(platform: Platform, days: int) -> None:
    part = platform.parts["platform"]
    part.environment = {**part.environment, "HANDSCHLAG_CLOCK_SHIFT": str(days)}
    platform.restart("platform")
    platform.wait_until_ready()


def entries_of_erasures(platform: Platform) -> list[str]:
    return [leaf["result"] for leaf in leaves(platform) if leaf["kind"] == "erasure"]


def wait_until_erased(office: Office, person: str) -> None:
    ends_at = time.monotonic() + ORDERED_WITHIN
    while office.worker.get(f"/persons/{person}")["name"] != {"$erased": True}:
        assert time.monotonic() < ends_at, "nobody ordered the erasure"
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_files_whose_time_is_over_go_by_themselves_and_nothing_is_found_afterwards(tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        office = Office(platform).open()
        person = over_in_five_years(office)
        busy, _ = live(office)
        assert found_with_keys(platform) >= {"cases", "health"}, "the search must find her first"
        assert ends(platform, 0) == {}
        ahead = ends(platform, 0, FIVE_YEARS)
        assert ahead[person] == []
        assert set(ahead[busy]) == {"open_case", "rights_request", "disclosure"}

        start_again_in(platform, FIVE_YEARS)
        office = Office(platform)
        wait_until_erased(office, person)
        assert office.worker.get(f"/persons/{busy}")["name"] == NAME, "where something is open nobody is erased"
        erased = platform.settings.state / "erased"
        told_until = time.monotonic() + ORDERED_WITHIN
        while len(entries_of_erasures(platform)) < 1 or len(list(erased.glob("*.jsonl"))) < len(SERVICES):
            assert time.monotonic() < told_until, "the erasure is not in the log"
            time.sleep(0.2)
        assert entries_of_erasures(platform) == ["person_erased"]
        assert person not in ends(platform, FIVE_YEARS)

        start_again_in(platform, FIVE_YEARS)
        time.sleep(2)
        assert entries_of_erasures(platform) == ["person_erased"], "a second run orders nothing"
        assert office.worker.get(f"/persons/{busy}")["name"] == NAME


@pytest.mark.timeout(600)
def test_nothing_is_found_of_the_only_person_there_was(tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        person = over_in_five_years(Office(platform).open())
        start_again_in(platform, FIVE_YEARS)
        office = Office(platform)
        wait_until_erased(office, person)
        ends_at = time.monotonic() + ORDERED_WITHIN
        while found_with_keys(platform):
            assert time.monotonic() < ends_at, "somebody has not done its part"
            time.sleep(0.2)
        assert office.worker.get("/ledger", person_id=person)["items"] == []
        assert list(leaks_under(tmp_path, WORDS, NOT_OURS)) == []
        assert [leak for name, text in sqlite_text(tmp_path) for leak in leaks_in(name, text, WORDS)] == []


def test_the_impact_assessment_reads_the_same_over_http_and_at_the_terminal(tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        office = Office(platform).open()
        by_command = command(platform, 0, "registers", "impact")
        over_http = office.auditor.get("/registers/impact", day=by_command["as_of"])["content"]
        assert over_http == by_command
