"""Retention (Aufbewahrung), Art. 5 Abs. 1 Buchst. e DSGVO, § 84 Abs. 2 SGB X: how long the log keeps what.

Three things go at three times: what opens an entry (who and what), the bytes of the entry (codes), and a whole year.
Each rule of the schedule is carried out by itself, so where two apply the shorter one decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from shared.errors import Invalid

ANY = "any"
_PERIOD = re.compile(r"P(?:(?P<years>[1-9]\d?)Y)?(?:(?P<months>[1-9]\d?)M)?")
_CERTAINTIES = ("text", "secondary", "unverified", "conservative", "convention")
_REQUIRED = ("id", "de", "what", "kinds", "period", "start", "norm", "source", "certainty")


class What(StrEnum):
    OPENINGS = "openings"
    ENTRY = "entry"
    YEAR = "year"


class Start(StrEnum):
    ENTRY = "entry"
    YEAR_END = "year_end"


@dataclass(frozen=True)
class Period:
    years: int = 0
    months: int = 0

    @staticmethod
    def parse(text: str) -> "Period":
        match = _PERIOD.fullmatch(text)
        if not match or text == "P":
            raise ValueError(text)
        return Period(int(match["years"] or 0), int(match["months"] or 0))

    @property
    def all_months(self) -> int:
        return 12 * self.years + self.months

    @property
    def fewest_days(self) -> int:
        """However the months fall."""
        return 365 * self.years + 28 * self.months

    def before(self, day: date) -> date:
        """The latest day whose period, begun on it, has ended by `day` (§ 188 Abs. 2 BGB, also for short months)."""
        month = day.year * 12 + day.month - 1 - self.all_months
        first = date(month // 12, month % 12 + 1, 1)
        length = ((first + timedelta(days=31)).replace(day=1) - first).days
        if day.day > length or (day + timedelta(days=1)).day == 1:
            return first.replace(day=length)
        return first.replace(day=day.day)


@dataclass(frozen=True)
class Rule:
    """One line of the schedule."""

    id: str
    what: What
    kinds: tuple[str, ...]
    period: Period
    start: Start
    norm: str
    certainty: str
    token: str = ""

    def due_before(self, today: date) -> date:
        """Entries of days before this one are due today."""
        if self.start is Start.ENTRY:
            return self.period.before(today) + timedelta(days=1)
        ended = self.period.before(today)
        return date(ended.year, 1, 1)

    @property
    def mark(self) -> str:
        """Names what the rule looks for: a rule that looks for something else begins anew."""
        return ":".join((self.id, self.what, ",".join(sorted(self.kinds)), self.token))


@dataclass(frozen=True)
class Schedule:
    """The lines, and the hash of the file that they come from."""

    rules: tuple[Rule, ...]
    digest: str

    def of(self, what: What) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.what is what)


def schedule(content: object, digest: str) -> Schedule:
    """From the content of the file. Raises `Invalid` naming each line that is not understood, and a year that would go
    before its entries.
    """
    lines = content.get("retention") if isinstance(content, Mapping) else None
    if not isinstance(lines, Sequence) or not lines:
        raise Invalid("retention.invalid", "the schedule has no lines", "write them under retention:")
    faults: list[tuple[str, str, str]] = []
    rules = [rule for number, line in enumerate(lines) if (rule := _rule(line, f"/retention/{number}", faults))]
    longest = max((rule.period.all_months for rule in rules if rule.what is not What.YEAR), default=0)
    faults += [
        (f"/{rule.id}", "the year would go before its entries", "give it a longer period")
        for rule in rules
        if rule.what is What.YEAR and (rule.period.all_months < longest or rule.start is not Start.YEAR_END)
    ]
    ids = [rule.id for rule in rules]
    faults += [(f"/{each}", "this id is there twice", "name it otherwise") for each in ids if ids.count(each) > 1]
    if faults:
        raise Invalid("retention.invalid", faults[0][1], faults[0][2], faults)
    return Schedule(tuple(rules), digest)


def _rule(line: Any, pointer: str, faults: list[tuple[str, str, str]]) -> Rule | None:
    if not isinstance(line, Mapping):
        faults.append((pointer, "this is no line of a schedule", f"it needs {', '.join(_REQUIRED)}"))
        return None
    missing = [(f"{pointer}/{name}", "this is missing", "see the head of the file") for name in _REQUIRED]
    found = [fault for name, fault in zip(_REQUIRED, missing, strict=True) if not line.get(name)]
    if line.get("certainty") not in _CERTAINTIES:
        found.append((f"{pointer}/certainty", "unknown certainty", f"write one of {', '.join(_CERTAINTIES)}"))
    if found:
        faults.extend(found)
        return None
    try:
        return Rule(
            id=str(line["id"]),
            what=What(line["what"]),
            kinds=tuple(map(str, line["kinds"])),
            period=Period.parse(str(line["period"])),
            start=Start(line["start"]),
            norm=str(line["norm"]),
            certainty=str(line["certainty"]),
            token=str(line.get("token") or ""),
        )
    except ValueError as error:
        faults.append((pointer, f"not understood: {error}", "see the head of the file"))
        return None
