"""How long files of each category have to be kept: the part `files` of `contracts/law/retention.yaml`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import yaml

from services.cases.domain.deadline import months_later

RETENTION = Path(__file__).resolve().parents[2] / "contracts" / "law" / "retention.yaml"
_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")


@dataclass(frozen=True)
class Duty:
    """Files of these categories are kept for `months` after their newest record."""

    id: str
    categories: frozenset[str]
    months: int
    norm: str


@dataclass(frozen=True)
class Kept:
    """A duty that still stands, and the first day on which it no longer does."""

    category: str
    norm: str
    until: date


def standing(newest: Iterable[tuple[str, date]], today: date) -> tuple[Kept, ...]:
    """The duties to keep that stand today, for categories with the day of their newest record."""
    kept = [
        Kept(category, duty.norm, months_later(last_on, duty.months))
        for category, last_on in newest
        for duty in duties()
        if category in duty.categories
    ]
    return tuple(each for each in kept if today < each.until)


@cache
def duties() -> tuple[Duty, ...]:
    """All duties of the schedule."""
    content = yaml.safe_load(RETENTION.read_text("utf-8"))
    return tuple(
        Duty(each["id"], frozenset(each["categories"]), _months(each["period"]), each["norm"])
        for each in content["files"]
    )


def _months(period: str) -> int:
    found = _PERIOD.fullmatch(period)
    if not found:
        message = f"not a period of years and months: {period}"
        raise ValueError(message)
    return int(found[1] or 0) * 12 + int(found[2] or 0)
