"""Answer sheets from files: each row becomes an assessment, once, however often the file is read.

A person of the file gets an id that only this installation can compute, so that two agencies that read the same file
share none. A faulty row is named by its line and leaves the others alone.
"""

import csv
import hmac
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from services.health import handlers
from services.health.domain.assessment import Assessment, Instrument, RecordAssessment
from services.health.instruments import INSTRUMENTS
from shared.domain import known, value
from shared.errors import HandschlagError, Invalid
from shared.eventstore import AgencyStore
from shared.schema import parse


@value
class Layout:
    """How the rows of a file are read: the column of the person, columns to items, codes to answers."""

    person: str
    columns: dict[str, str]
    codes: dict[str, str]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one line of the file (the header is line 1), and what would be right."""

    line: int
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Sheet:
    line: int
    person: str
    answers: dict[str, str]


def layout(instrument: str) -> tuple[Instrument, Layout]:
    """The newest instrument of that key, and how its files are read."""
    path = INSTRUMENTS / f"{instrument}.yaml"
    if not path.exists():
        known_ones = ", ".join(sorted(found.stem for found in INSTRUMENTS.glob("*.yaml")))
        fault = ("/instrument", "no such instrument", f"choose one of: {known_ones}")
        raise Invalid("import.instrument_unknown", fault[1], fault[2], [fault])
    described = yaml.safe_load(path.read_text("utf-8"))
    return parse(Instrument, described["instrument"]), parse(Layout, described["imports"])


def sheets(path: Path, wanted: Layout) -> Iterator[Sheet | Fault]:
    """The rows of a CSV file. Raises `Invalid` when it is no CSV with these columns."""
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = next(rows, [])
        missing = [name for name in (wanted.person, *wanted.columns) if name not in header]
        if missing:
            detail = f"the first line lacks the columns {', '.join(missing)}"
            raise Invalid("import.columns_missing", detail, "add them, or choose another instrument")
        for row in rows:
            yield _sheet(rows.line_num, dict(zip(header, row, strict=False)), len(row) == len(header), wanted)
    except csv.Error:
        raise _not_csv(rows.line_num) from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_csv(error.object[: error.start].count(b"\n") + 1) from None


def _not_csv(line: int) -> Invalid:
    return Invalid("import.not_csv", f"line {line} is not CSV in UTF-8", "save the file as CSV in UTF-8")


def _sheet(line: int, row: dict[str, str], complete: bool, wanted: Layout) -> Sheet | Fault:  # noqa: FBT001
    if not complete:
        return Fault(line, "the number of fields is not that of the first line", "add the missing fields")
    person = row[wanted.person].strip()
    if not person:
        return Fault(line, f"{wanted.person} is empty", "name the respondent")
    answers: dict[str, str] = {}
    for column, item in wanted.columns.items():
        code = row[column].strip()
        if code not in wanted.codes:
            allowed = ", ".join(code or "(empty)" for code in wanted.codes)
            return Fault(line, f"{column} holds a code that is not known", f"one of {allowed}")
        answers[item] = wanted.codes[code]
    return Sheet(line, person, answers)


@dataclass
class Import:
    """Reads one file for one agency. `secret` keys the ids of persons; the same secret makes the same ids."""

    store: AgencyStore
    secret: bytes
    instrument: Instrument
    today: date
    taken_on: date
    faults: list[Fault] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    known_before: int = 0

    def take(self, found: Sheet | Fault) -> None:
        """Record one row; a row that was recorded before is only counted."""
        if isinstance(found, Fault):
            self.faults.append(found)
            return
        assessment_id = str(self._id("assessment", found.person))
        if self.store.load(Assessment, assessment_id)[1]:
            self.known_before += 1
        else:
            try:
                self._record(assessment_id, found)
            except HandschlagError as error:
                self.faults.append(Fault(found.line, error.detail or error.code, error.remedy))
                return
        self.recorded.append(assessment_id)

    def _record(self, assessment_id: str, sheet: Sheet) -> None:
        command = RecordAssessment(
            assessment_id=assessment_id,
            person_id=str(self._id("person", sheet.person)),
            instrument=self.instrument.key,
            instrument_version=self.instrument.version,
            answers=sheet.answers,
            taken_on=self.taken_on,
        )
        handlers.record_assessment(command, self.store, self.today, command_id=f"import-{assessment_id}")

    def _id(self, kind: str, person: str) -> UUID:
        digest = hmac.digest(self.secret, f"{self.store.name}\n{kind}\n{person}".encode(), "sha256")
        return UUID(bytes=digest[:16], version=4)


def summary(store: AgencyStore, assessment_ids: Sequence[str], instrument: Instrument) -> dict[str, Any]:
    """What stands in the store about these assessments: frequencies of answers, totals, bands, safety items."""
    frequencies: dict[str, Counter[str]] = {item: Counter() for item in (*instrument.scored, *instrument.unscored)}
    bands, counts = Counter[str](), Counter[str]()
    for assessment_id in assessment_ids:
        assessment, _ = store.load(Assessment, assessment_id)
        if assessment.recorded is None:
            continue
        answers, total = known(assessment.recorded.answers, {}), known(assessment.recorded.total, None)
        for item, answer in answers.items():
            frequencies[item][answer] += 1
        scored = [answers.get(item, "missing") for item in instrument.scored]
        counts["rows"] += 1
        counts["rows_with_refused_or_not_known"] += any(answer in ("refused", "not_known") for answer in scored)
        counts["rows_with_missing"] += "missing" in scored
        counts["safety_concerns"] += assessment.safety_concern
        if total is not None:
            counts["complete_totals"] += 1
            counts["sum_of_totals"] += total
            bands[str(known(assessment.recorded.band, None))] += 1
            counts["safety_concerns_with_total_below_10"] += assessment.safety_concern and total < MODERATE
    return {
        **counts,
        "bands": dict(bands),
        "frequencies": {item: dict(sorted(found.items())) for item, found in frequencies.items()},
    }


MODERATE = 10
