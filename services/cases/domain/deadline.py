"""Deadline (Frist): the last day of a term in months, § 26 SGB X with §§ 187, 188, 193 BGB.

The day of the event is not counted. A month ends on the day of the same number, or on its last day when there is none.
A term whose last day is a Saturday, a Sunday or a public holiday ends with the next working day.
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

Holiday = Callable[[date], bool]
SATURDAY = 5


@dataclass(frozen=True)
class Term:
    """How long a request may take: `months`, and after an extension `extended_to_months`, counted from its receipt.

    `remind_days_before` its end its owner is reminded.
    """

    norm: str
    months: int
    extended_to_months: int
    remind_days_before: tuple[int, ...]
    is_holiday: Holiday

    def due(self, received_on: date) -> date:
        return last_day(received_on, self.months, self.is_holiday)

    def extended(self, received_on: date) -> date:
        return last_day(received_on, self.extended_to_months, self.is_holiday)


def last_day(event: date, months: int, is_holiday: Holiday) -> date:
    """The last day of a term of whole months that an event on that day sets going."""
    day = months_later(event, months)
    while day.weekday() >= SATURDAY or is_holiday(day):
        day += timedelta(days=1)
    return day


def months_later(day: date, months: int) -> date:
    """The day of the same number, or the last one of a month that has none (§ 188 Abs. 2, 3 BGB)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    golden, century, rest = year % 19, year // 100, year % 100
    corrected = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - corrected - rest % 4) % 7
    late = (golden + 11 * corrected + 22 * weekday) // 451
    month, day = divmod(corrected + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
