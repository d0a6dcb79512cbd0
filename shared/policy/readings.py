"""Questions the law leaves open, the readings of each, and the one that this installation follows (readings.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.policy.reading import Document, Flaw, LawError, Path
from shared.policy.words import listed

CAUTIOUS = "cautious"
_KEYS = {"id", "norm", "source", "de", "en", "readings", "chosen"}
_READING_KEYS = {"id", "de", "en"}


@dataclass(frozen=True)
class Question:
    """An open question. `readings` are its answers by id, each in both languages; `chosen` is the one followed."""

    id: str
    norm: str
    source: str
    says: Mapping[str, str]
    readings: Mapping[str, Mapping[str, str]]
    chosen: str


@dataclass(frozen=True)
class Only:
    """A rule or exception that stands in the law under one reading of an open question only."""

    question: str
    reading: str


def open_questions(document: Document) -> dict[str, Question]:
    """The questions in their file; raises LawError with every flaw. Each has a cautious reading."""
    flaws: list[Flaw] = []
    found: dict[str, Question] = {}
    for index, entry in enumerate(document.data if isinstance(document.data, list) else []):
        question = _question(document, index, entry, flaws)
        if question is None:
            continue
        if question.id in found:
            flaws.append(document.flaw((index,), f"duplicate id '{question.id}'", "Keep one of the two."))
        found[question.id] = question
    if not found:
        flaws.append(document.flaw((), "the file is not a list of open questions", "Begin each with '- id:'."))
    if flaws:
        raise LawError(flaws)
    return found


def choose(document: Document, choices: Mapping[str, str]) -> Document:
    """The document with other readings chosen; raises LawError for a question that is not in it."""
    known = [entry.get("id") for entry in document.data or () if isinstance(entry, dict)]
    flaws = [
        document.flaw((), f"there is no open question '{question}'", f"Known: {listed(known)}.")
        for question in choices
        if question not in known
    ]
    if flaws:
        raise LawError(flaws)
    data = [{**entry, "chosen": choices.get(entry["id"], entry.get("chosen"))} for entry in document.data]
    return Document(document.file, data, document.lines)


def only_under(value: Any, questions: Mapping[str, Question], document: Document, path: Path) -> Only | Flaw | None:
    """The `reading` of a rule or exception, or the flaw in it; None where there is none."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"question", "is"}:
        return document.flaw(path, "a reading is not understood", "Write {question: f-24, is: cautious}.")
    question, reading = str(value["question"]), str(value["is"])
    if question not in questions:
        return document.flaw(path, f"unknown open question '{question}'", "See readings.yaml.")
    if reading not in questions[question].readings:
        known = listed(questions[question].readings)
        return document.flaw(path, f"'{question}' has no reading '{reading}'", f"Known: {known}.")
    return Only(question, reading)


def _question(document: Document, index: int, entry: Any, flaws: list[Flaw]) -> Question | None:
    path: Path = (index,)
    if not isinstance(entry, dict) or not isinstance(entry.get("readings"), list):
        flaws.append(document.flaw(path, "an open question is not understood", f"Give it {listed(_KEYS)}."))
        return None
    before = len(flaws)
    flaws.extend(
        document.flaw((*path, key), f"unknown key '{key}'", f"Known: {listed(_KEYS)}.") for key in entry.keys() - _KEYS
    )
    flaws.extend(document.flaw(path, f"'{key}' is missing", "Every question has it.") for key in _KEYS - entry.keys())
    readings: dict[str, Mapping[str, str]] = {}
    for number, reading in enumerate(entry["readings"]):
        if not isinstance(reading, dict) or reading.keys() != _READING_KEYS:
            flaws.append(document.flaw((*path, "readings", number), "a reading has id, de and en", "Write all three."))
            continue
        readings[str(reading["id"])] = {"de": str(reading["de"]), "en": str(reading["en"])}
    if CAUTIOUS not in readings:
        flaws.append(document.flaw((*path, "readings"), f"there is no '{CAUTIOUS}' reading", "Say which one it is."))
    if entry.get("chosen") not in readings:
        detail = f"'{entry.get('chosen')}' is none of the readings"
        flaws.append(document.flaw((*path, "chosen"), detail, f"Known: {listed(readings)}."))
    if len(flaws) > before:
        return None
    return Question(
        id=str(entry["id"]),
        norm=str(entry["norm"]),
        source=str(entry["source"]),
        says={"de": str(entry["de"]), "en": str(entry["en"])},
        readings=readings,
        chosen=str(entry["chosen"]),
    )
