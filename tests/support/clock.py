"""Clocks that tests hold in their hands."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.clock import legal_day

NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)


@dataclass
class FixedClock:
    """Stands still until it is moved; satisfies `shared.clock.Clock`."""

    moment: datetime = NOON

    def now(self) -> datetime:
        return self.moment

    def today(self) -> date:
        return legal_day(self.moment)

    def move(self, **by: float) -> None:
        """Forward, or backward with negative numbers: `clock.move(days=1, hours=2)`."""
        self.moment += timedelta(**by)
