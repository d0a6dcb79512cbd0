"""Use limit (Nutzungsgrenze): how often, over which days' data and until when what was disclosed may be kept.

A person may say yes once, or a few times in each week, or to the entries of one year only (§ 67b Abs. 2 SGB X,
Art. 5 Abs. 1 Buchst. b, c, e DSGVO). Counted is at the moment of delivery, by legal days.
"""

from collections.abc import Callable, Hashable, Sequence
from datetime import date
from enum import StrEnum

from shared.domain import value


class Period(StrEnum):
    """Calendar periods of the legal zone; weeks begin on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_PERIOD_OF: dict[Period, Callable[[date], Hashable]] = {
    Period.DAY: lambda day: day,
    Period.WEEK: lambda day: day.isocalendar()[:2],
    Period.MONTH: lambda day: (day.year, day.month),
    Period.YEAR: lambda day: day.year,
}


@value
class UseLimit:
    """At most `times` disclosures, in each period `per` or, without one, ever: `times=1` is a consent for once.

    Only entries from `data_from` to `data_until` (days, both included) are meant; recipients erase by `erase_at`.
    """

    times: int | None = None
    per: Period | None = None
    data_from: date | None = None
    data_until: date | None = None
    erase_at: date | None = None

    @property
    def has_range(self) -> bool:
        return self.data_from is not None or self.data_until is not None

    def includes(self, days: Sequence[date]) -> bool:
        """Whether all of these days lie in the range of data; of what has no days nobody knows it."""
        first, last = self.data_from or date.min, self.data_until or date.max
        return bool(days) and all(first <= day <= last for day in days)

    def used_up(self, uses: Sequence[date], day: date) -> bool:
        """Whether nothing is left on `day`, after disclosures on the days `uses`."""
        return self.times is not None and self.counted(uses, day) >= self.times

    def counted(self, uses: Sequence[date], day: date) -> int:
        """How many of the uses up to `day` fall into its period."""
        period = _PERIOD_OF[self.per] if self.per else _whole_life
        return sum(1 for use in uses if use <= day and period(use) == period(day))

    def faults(self) -> list[tuple[str, str, str]]:
        """What cannot be right, as (pointer, detail, remedy)."""
        found: list[tuple[str, str, str]] = []
        if self.times is not None and self.times < 1:
            found.append(("/times", "a consent for no use at all is none", "write 1 or more, or refuse"))
        if self.per and self.times is None:
            found.append(("/per", "a period without a number", "add times"))
        if self.data_from and self.data_until and self.data_until < self.data_from:
            found.append(("/data_until", "the range of data ends before it begins", "exchange the two days"))
        return found


def _whole_life(day: date) -> Hashable:
    return None
