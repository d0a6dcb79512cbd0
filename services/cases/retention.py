"""How long files of each category are kept: the part `files` of `contracts/law/retention.yaml`.

A duty to keep stands against an erasure that is asked for. Without being asked, files go when no period runs any more.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import yaml

from services.cases.domain.deadline import months_later

RETENTION = Path(__file__).resolve().parents[2] / "contracts" / "law" / "retention.yaml"
UNVERIFIED = "unverified"
_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")


@dataclass(frozen=True)
class Period:
    """Files of these categories are kept for `months`; `duty`: the law wants it, also against the person's wish.

    `rest`: for every category that no other period names. `verified`: somebody found the length of it in a source.
    """

    id: str
    categories: frozenset[str]
    months: int
    norm: str
    duty: bool
    rest: bool
    verified: bool


@dataclass(frozen=True)
class Kept:
    """A period that runs, and the first day on which it no longer does."""

    category: str
    norm: str
    until: date


@dataclass(frozen=True)
class End:
    """The first day on which nothing has to be kept any more. `verified`: a program may act on it."""

    on: date
    verified: bool


def standing(newest: Iterable[tuple[str, date]], today: date) -> tuple[Kept, ...]:
    """The duties to keep that stand today, for categories with the day of their newest record."""
    kept = [
        Kept(category, period.norm, months_later(last_on, period.months))
        for category, last_on in newest
        for period in periods()
        if period.duty and category in period.categories
    ]
    return tuple(each for each in kept if today < each.until)


def end(newest: Mapping[str, date], closed_on: date | None, last_on: date) -> End:
    """When all periods of a person's files end.

    The period of a category begins with its newest record, or with `closed_on`, the end of the last case, if that came
    later. What holds for the rest begins with the last day on which anything happened with the files.
    """
    begun = [(_of(category), max(day, closed_on or day)) for category, day in newest.items()]
    begun.append((rest(), max((last_on, *(day for _, day in begun)))))
    return End(
        on=max(months_later(day, period.months) for period, day in begun),
        verified=all(period.verified for period, _ in begun),
    )


@cache
def periods() -> tuple[Period, ...]:
    """All periods of the schedule."""
    content = yaml.safe_load(RETENTION.read_text("utf-8"))
    return tuple(
        Period(
            id=each["id"],
            categories=frozenset(each["categories"]),
            months=_months(each["period"]),
            norm=each["norm"],
            duty=each.get("duty", True),
            rest=each.get("rest", False),
            verified=each["certainty"] != UNVERIFIED,
        )
        for each in content["files"]
    )


@cache
def rest() -> Period:
    """What holds for a category that no other period names, and for every person at least."""
    return next(period for period in periods() if period.rest)


def _of(category: str) -> Period:
    return next((period for period in periods() if category in period.categories), rest())


def _months(period: str) -> int:
    found = _PERIOD.fullmatch(period)
    if not found:
        message = f"not a period of years and months: {period}"
        raise ValueError(message)
    return int(found[1] or 0) * 12 + int(found[2] or 0)
