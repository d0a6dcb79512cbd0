"""Time as an argument. Timestamps are UTC; legal days are those of Europe/Berlin (§ 26 SGB X, §§ 187 ff. BGB)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

LEGAL_ZONE = ZoneInfo("Europe/Berlin")


class Clock(Protocol):
    """Says what time it is: `now()` aware and in UTC, `today()` the legal day."""

    def now(self) -> datetime: ...

    def today(self) -> date: ...


@dataclass(frozen=True)
class SystemClock:
    """The clock of the machine; `shift` moves it for a demonstration and is zero everywhere else."""

    shift: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def today(self) -> date:
        return legal_day(self.now())


def legal_day(moment: datetime) -> date:
    """The day in Germany at an aware `moment`."""
    return moment.astimezone(LEGAL_ZONE).date()


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z` and microseconds: sorts as text as it sorts in time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
