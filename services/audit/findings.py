"""What the checks that run by themselves have found: kept until the same check no longer finds it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from services.audit.sequencer import Finding
from services.audit.tables import check_run, finding
from shared import telemetry
from shared.clock import timestamp
from shared.domain import value

SWEEP, CHECK, RECONCILE, RETENTION = "sweep", "check", "reconcile", "retention"


@value
class FindingView:
    """`place` is the index of an entry, or where else to look; `since` when it was found first."""

    source: str
    log: str
    code: str
    place: str
    since: str


@value
class CheckView:
    """When a check last came to its end, and how many things it looked at."""

    source: str
    at: str
    count: int


@dataclass(frozen=True)
class Findings:
    """Those of one agency."""

    agency: str

    def replace(self, tx: Connection, source: str, found: Iterable[Finding], now: datetime, *, count: int) -> int:
        """Keep what a check found in place of what it found before; how many are new. What is still there keeps its
        first time.
        """
        mine = finding.c.agency == self.agency, finding.c.source == source
        wanted = {(each.log, each.code, "" if each.index is None else str(each.index)) for each in found}
        known = {(row.log, row.code, row.place) for row in tx.execute(select(finding).where(*mine))}
        for log, code, place in known - wanted:
            here = finding.c.log == log, finding.c.code == code, finding.c.place == place
            tx.execute(delete(finding).where(*mine, *here))
        fresh = sorted(wanted - known)
        since = {"agency": self.agency, "source": source, "since": timestamp(now)}
        if fresh:
            tx.execute(
                insert(finding), [{"log": log, "code": code, "place": place, **since} for log, code, place in fresh]
            )
        ran = check_run.c.agency == self.agency, check_run.c.source == source
        tx.execute(delete(check_run).where(*ran))
        tx.execute(insert(check_run).values(agency=self.agency, source=source, at=timestamp(now), count=count))
        for code in sorted({code for _, code, _ in fresh}):
            number = sum(each[1] == code for each in fresh)
            telemetry.logger("audit").error("a check found something", agency=self.agency, code=code, count=number)
        return len(fresh)

    def all(self, tx: Connection) -> tuple[FindingView, ...]:
        query = select(finding).where(finding.c.agency == self.agency)
        rows = tx.execute(query.order_by(finding.c.source, finding.c.log, finding.c.code, finding.c.place))
        return tuple(
            FindingView(source=row.source, log=row.log, code=row.code, place=row.place, since=row.since) for row in rows
        )

    def checks(self, tx: Connection) -> tuple[CheckView, ...]:
        rows = tx.execute(select(check_run).where(check_run.c.agency == self.agency).order_by(check_run.c.source))
        return tuple(CheckView(source=row.source, at=row.at, count=int(row[3])) for row in rows)

    def last(self, tx: Connection, source: str) -> datetime | None:
        """When the check last came to its end."""
        mine = check_run.c.agency == self.agency, check_run.c.source == source
        found = tx.scalar(select(check_run.c.at).where(*mine))
        return None if found is None else datetime.fromisoformat(found)
