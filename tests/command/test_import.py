"""Answer sheets from a file: each row once, however often it is read; a faulty row is named and harms no other."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.exchange.directory import bodies
from tests.support.shared_data import shared_data

Json = dict[str, Any]
COMMAND = [sys.executable, "-m", "services.command", "import", "assessments"]
ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (*(f"DPQ0{number}0" for number in range(1, 10)), "DPQ100")
HEADER = ",".join(("SEQN", *COLUMNS))
RIGHT = "0,1,2,3,0,1,2,3,0,1"
UNKNOWN = "Zwirbelquatsch"


class Installation:
    """A state folder of its own, on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HANDSCHLAG_")}
        self.environment = {**ours, "HANDSCHLAG_STATE": str(self.state)}

    def read(self, file: Path, *options: str, instrument: str = "phq-9") -> "subprocess.CompletedProcess[str]":
        command = [*COMMAND, str(file), "--instrument", instrument, *options]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=110, check=False
        )

    def told(self, file: Path, *options: str, code: int = 0) -> Json:
        done = self.read(file, "--json", *options)
        assert done.returncode == code, done.stderr
        found: Json = json.loads(done.stdout)
        return found

    def events(self) -> Counter[str]:
        path = self.state / "health.db"
        if not path.exists():
            return Counter()
        engine = sa.create_engine(f"sqlite:///{path}")
        try:
            with engine.connect() as connection:
                return Counter(connection.exec_driver_sql("select type from events").scalars())
        except sa.exc.OperationalError:
            return Counter()
        finally:
            engine.dispose()


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def sheet(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "sheets.csv"
    file.write_text("\n".join((header, *rows)) + "\n", "utf-8")
    return file


def many(folder: Path, count: int) -> Path:
    chance = random.Random(count)
    codes = ("0", "0", "0", "1", "2", "3", "7", "9", "")
    rows = (",".join((str(number), *chance.choices(codes, k=len(COLUMNS)))) for number in range(count))
    return sheet(folder, *rows)


def expected(file: Path) -> Json:
    """The figures of the file that others have counted, in our words."""
    counted = json.loads(file.read_text("utf-8"))["first_half"]
    codes = {".": "missing", "7": "refused", "9": "not_known"}
    items = dict(zip(COLUMNS, [*(f"item_{number}" for number in range(1, 10)), "difficulty"], strict=True))
    return {
        "rows": counted["rows"],
        "complete_totals": counted["complete_totals"],
        "sum_of_totals": counted["sum_of_totals"],
        "bands": counted["bands"],
        "safety_concerns": counted["item9_nonzero"],
        "safety_concerns_with_total_below_10": counted["item9_nonzero_but_total_below_10"],
        "rows_with_refused_or_not_known": counted["rows_with_refused_or_dont_know"],
        "rows_with_missing": counted["rows_with_missing"],
        "frequencies": {
            items[column]: {codes.get(code, code): count for code, count in found.items()}
            for column, found in counted["frequencies"].items()
        },
    }


@pytest.mark.shared_data
def test_a_real_file_gives_the_figures_that_others_counted(here: Installation) -> None:
    file, figures = (shared_data("data", "nhanes-phq9", name) for name in NHANES)
    found = here.told(file)
    assert found == {**expected(figures), "known_before": 0, "faults": []}
    recorded = here.events()
    assert recorded["AssessmentRecorded"] == found["rows"]
    again = here.told(file)
    assert again == {**found, "known_before": found["rows"]}
    assert here.events() == recorded


NHANES = ("DPQ_J_first_half.csv", "expected_first_half.json")


def test_the_second_reading_records_nothing(here: Installation, tmp_path: Path) -> None:
    file = many(tmp_path, 40)
    first = here.told(file)
    recorded = here.events()
    assert recorded["AssessmentRecorded"] == first["rows"] == 40
    assert here.told(file) == {**first, "known_before": 40}
    assert here.events() == recorded


def test_a_longer_file_adds_only_what_is_new(here: Installation, tmp_path: Path) -> None:
    here.told(sheet(tmp_path, f"1,{RIGHT}"))
    found = here.told(sheet(tmp_path, f"2,{RIGHT}", f"1,{RIGHT}"))
    assert (found["rows"], found["known_before"]) == (2, 1)
    assert here.events()["AssessmentRecorded"] == 2


def test_an_import_killed_in_the_middle_goes_on_to_the_same_figures(here: Installation, tmp_path: Path) -> None:
    file = many(tmp_path, 1500)
    killed = subprocess.Popen(
        [*COMMAND, str(file), "--instrument", "phq-9"],
        cwd=ROOT,
        env=here.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 60
    while here.events()["AssessmentRecorded"] < 200:
        assert killed.poll() is None, "it was through before it was killed"
        assert time.monotonic() < ends
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = here.events()["AssessmentRecorded"]
    assert 200 <= kept < 1500
    found = here.told(file)
    assert found["known_before"] == kept
    assert here.events()["AssessmentRecorded"] == 1500
    (tmp_path / "other").mkdir()
    undisturbed = Installation(tmp_path / "other").told(file)
    assert {**found, "known_before": 0} == undisturbed


def test_faulty_rows_are_named_by_line_and_leave_the_others_alone(here: Installation, tmp_path: Path) -> None:
    file = sheet(
        tmp_path,
        f"1,{RIGHT}",
        f"2,{UNKNOWN},1,2,3,0,1,2,3,0,1",
        "3,0,0",
        f",{RIGHT}",
        '"4\n",0,1,2,3,0,1,2,3,0,1',
        "5,0,1,2,3,0,1,2,3,4,1",
        f"6,{RIGHT}",
    )
    found = here.told(file, code=1)
    assert [(fault["line"], bool(fault["detail"])) for fault in found["faults"]] == [
        (3, True),
        (4, True),
        (5, True),
        (8, True),
    ]
    assert (found["rows"], here.events()["AssessmentRecorded"]) == (3, 3)
    done = here.read(file)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["Zeile 3", "Zeile 4", "Zeile 5", "Zeile 8"]
    assert UNKNOWN not in done.stdout + done.stderr + json.dumps(found)


def test_many_faults_are_shown_in_part_and_told_in_full_as_json(here: Installation, tmp_path: Path) -> None:
    file = sheet(tmp_path, *(f"{number},x" for number in range(30)))
    done = here.read(file, "--dry-run")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 21
    assert "10 weitere" in done.stderr
    assert len(here.told(file, "--dry-run", code=1)["faults"]) == 30


def test_a_dry_run_writes_nothing(here: Installation, tmp_path: Path) -> None:
    assert here.told(sheet(tmp_path, f"1,{RIGHT}"), "--dry-run") == {"faults": []}
    assert here.told(sheet(tmp_path, f"1,{RIGHT}", "2,x"), "--dry-run", code=1)["faults"][0]["line"] == 3
    assert not here.state.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "SEQN"),
        ((HEADER + "\n").encode(), "no rows"),
        ("\n".join((HEADER.replace("DPQ050,", ""), "1,0,1,2,3,1,2,3,0,1")).encode(), "DPQ050"),
        ((HEADER + f"\n1,{RIGHT}\n").encode() + "ä".encode("latin-1") + f",{RIGHT}\n".encode(), "line 3"),
        ((HEADER + f'\n1,{RIGHT}\n2,"0"0{RIGHT[1:]}\n').encode(), "line 3"),
        ("\n".join([HEADER, *(f"{n},{RIGHT}" for n in range(2000)), ""]).encode() + b"\xff", "line 2002"),
        (HEADER.encode("utf-16"), "UTF-8"),
    ],
)
def test_what_is_no_file_of_answer_sheets_is_refused_whole(
    here: Installation, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "sheets.csv"
    file.write_bytes(content)
    done = here.read(file)
    assert done.returncode == 2
    assert done.stderr.startswith("handschlag: import."), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert here.events() == Counter()


def test_a_byte_order_mark_and_more_columns_do_no_harm(here: Installation, tmp_path: Path) -> None:
    file = tmp_path / "sheets.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f"OTHER,{HEADER}\r\nx,1,{RIGHT}\r\n".encode())
    assert here.told(file)["rows"] == 1


def test_wrong_use_says_what_would_be_right(here: Installation, tmp_path: Path) -> None:
    file = sheet(tmp_path, f"1,{RIGHT}")
    unknown = here.read(file, instrument="bdi-2")
    assert (unknown.returncode, "phq-9" in unknown.stderr) == (2, True)
    missing = here.read(tmp_path / "nowhere.csv")
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)
    early = here.read(file, "--taken-on", "2999-01-01", "--json")
    assert (early.returncode, json.loads(early.stdout)["faults"][0]["line"]) == (1, 2)
    assert here.events() == Counter()


def test_two_agencies_share_no_person(here: Installation, tmp_path: Path) -> None:
    file = sheet(tmp_path, f"1,{RIGHT}")
    here.told(file, "--agency", "one")
    assert here.told(file, "--agency", "two")["known_before"] == 0
    engine = sa.create_engine(f"sqlite:///{here.state / 'health.db'}")
    with engine.connect() as connection:
        streams = connection.exec_driver_sql("select agency, stream from events where type = 'AssessmentRecorded'")
        found = {agency: stream for agency, stream in streams}  # noqa: C416
    engine.dispose()
    assert found.keys() == {"one", "two"}
    assert found["one"] != found["two"]


@pytest.mark.shared_data
def test_the_directory_holds_the_bodies_of_the_official_lists_and_no_other() -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with shared_data("data", "traeger-verzeichnisse", name).open(encoding="utf-8", newline="") as source:
            return list(csv.DictReader(source))

    jobcenters, insurers = rows("zugelassene_kommunale_traeger.csv"), rows("krankenkassen_ik_beispiele.csv")
    pensions = [row for row in rows("drv_bereichsnummern.csv") if row["rechtskreis"]]
    known = {kind: [each for each in bodies() if each.body == kind] for kind in {each.body for each in bodies()}}
    assert len(jobcenters) == len(known["jobcenter"]) == 104
    assert Counter(each.area for each in known["jobcenter"]) == Counter(row["land"] for row in jobcenters)
    assert {each.name.removeprefix("Jobcenter ") for each in known["jobcenter"]} == {
        row["traeger"] for row in jobcenters
    }
    assert {(each.number, each.name) for each in known["health_insurer"]} == {
        (row["ik"], row["kasse"]) for row in insurers
    }
    assert Counter(each.number for each in known["pension_insurer"]) == Counter(
        row["bereichsnummer"] for row in pensions
    )
    assert {each.domain for each in known["jobcenter"]} == {"sgb_ii"}
    assert sum(map(len, known.values())) == len(jobcenters) + len(insurers) + len(pensions)
