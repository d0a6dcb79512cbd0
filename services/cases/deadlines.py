"""The terms of the law as data: `contracts/law/deadlines.yaml`, each with the days on which it is in force."""

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.cases.domain.breach import Notice
from services.cases.domain.deadline import Term, easter
from shared.errors import Refused

DEADLINES = Path(__file__).resolve().parents[2] / "contracts" / "law" / "deadlines.yaml"


def rights_term(day: date) -> Term:
    """The term for requests of data subjects that are received on `day`."""
    found = [each for each in _content()["rights"] if _in_force(each, day)]
    if not found:
        raise Refused("rights.no_term", "no term is known for that day", "check the day of receipt")
    return Term(
        norm=found[0]["norm"],
        months=found[0]["months"],
        extended_to_months=found[0]["extended_to_months"],
        remind_days_before=tuple(found[0]["remind_days_before"]),
        is_holiday=is_holiday,
    )


def breach_notices(day: date) -> tuple[Notice, ...]:
    """Who has to be told of a breach that the agency learns of on `day`."""
    return tuple(
        Notice(
            to=each["to"],
            norm=each["norm"],
            within=timedelta(hours=each["hours"]) if "hours" in each else None,
            when=each.get("when", ""),
            unless=each.get("unless", ""),
            voluntary=each.get("voluntary", False),
        )
        for each in _content()["breach_notices"]
        if _in_force(each, day)
    )


def is_holiday(day: date) -> bool:
    """Whether the day is a public holiday everywhere in Germany."""
    return any(_falls_on(each, day) for each in _content()["holidays"])


def _falls_on(holiday: dict[str, Any], day: date) -> bool:
    if "easter" in holiday:
        return day == easter(day.year) + timedelta(days=holiday["easter"])
    return day.strftime("%m-%d") == str(holiday["day"])


def _in_force(dated: dict[str, Any], day: date) -> bool:
    """`valid_from` belongs to it, `valid_until` no longer does."""
    return bool(dated["valid_from"] <= day < dated.get("valid_until", date.max))


@cache
def _content() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DEADLINES.read_text("utf-8"))
    return found
