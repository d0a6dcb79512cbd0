"""Imprecise dates on the safe side, and sets of days.

FHIR writes `2024`, `2024-03`, a day, or a moment. Where a date leaves it open, a permission gets the shortest and a
prohibition the longest time that may be meant. Days are legal days (Europe/Berlin); both ends count.
"""

import re
from dataclasses import dataclass
from datetime import MINYEAR, date, datetime, time, timedelta

from shared.clock import LEGAL_ZONE

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ONE = timedelta(1)


@dataclass(frozen=True)
class When:
    """A point of time as far as it was named: in the days `first` to `last`, or at an hour `within_day`."""

    first: date
    last: date
    within_day: bool = False


def read(text: str) -> When | None:
    """A FHIR dateTime; None when it is none."""
    if _MOMENT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text).astimezone(LEGAL_ZONE)
        except (ValueError, OverflowError):
            return None
        return When(moment.date(), moment.date(), within_day=moment.time() != time())
    found = _DATE.fullmatch(text)
    if not found:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        if month is None:
            return When(date(int(year or 0), 1, 1), date(int(year or 0), 12, 31))
        if day is None:
            first = date(int(year or 0), month, 1)
            return When(first, _month_end(first))
        return When(*(date(int(year or 0), month, day),) * 2)
    except ValueError:
        return None


def _month_end(first: date) -> date:
    return (first.replace(day=28) + timedelta(4)).replace(day=1) - ONE if first.month < 12 else first.replace(day=31)


@dataclass(frozen=True)
class Days:
    """From `first` to `last`, both included. Nothing when it ends before it begins."""

    first: date = date.min
    last: date = date.max

    @property
    def empty(self) -> bool:
        return self.last < self.first

    def __and__(self, other: "Days") -> "Days":
        return Days(max(self.first, other.first), min(self.last, other.last))

    def without(self, other: "Days") -> tuple["Days", ...]:
        """What remains when `other` is taken away."""
        cut = self & other
        if cut.empty or other.empty:
            return (self,)
        before = (Days(self.first, cut.first - ONE),) if cut.first > self.first else ()
        after = (Days(cut.last + ONE, self.last),) if cut.last < self.last else ()
        return (*before, *after)


ALWAYS = Days()


def shortest(start: When | None, end: When | None) -> Days:
    """The days that are certainly meant: it begins when its first date is over, it ends when its last one begins."""
    first = date.min if start is None else _after(start.last) if start.within_day else start.last
    if end is None:
        return Days(first)
    return Days(first, end.first - ONE if end.within_day and end.first > date(MINYEAR, 1, 1) else end.first)


def longest(start: When | None, end: When | None) -> Days:
    """All days that may be meant."""
    return Days(start.first if start else date.min, end.last if end else date.max)


def together(days: tuple[Days, ...], more: Days) -> tuple[Days, ...]:
    """The union, in order and without overlap."""
    found: list[Days] = []
    for each in sorted((*days, more), key=lambda one: one.first):
        if each.empty:
            continue
        if found and each.first <= _after(found[-1].last):
            found[-1] = Days(found[-1].first, max(found[-1].last, each.last))
        else:
            found.append(each)
    return tuple(found)


def apart(days: tuple[Days, ...], less: Days) -> tuple[Days, ...]:
    """What is left of the set."""
    return tuple(piece for each in days for piece in each.without(less))


def _after(day: date) -> date:
    return day + ONE if day < date.max else day
