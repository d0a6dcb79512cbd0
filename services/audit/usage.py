"""Where a norm was used: how often the decisions in an agency's log cite it, and when last. No persons, no content."""

import json
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, or_, select

from services.audit.sequencer.reading import heads, says
from services.audit.tables import entry
from shared.clock import legal_day
from shared.database import Database
from shared.domain import value
from shared.errors import Invalid
from shared.policy import present_law
from shared.policy.citation import is_citation

DECISIONS = ("intent", "denial")
NEWEST = 50
DAYS = 5


@value
class UsesQuestion:
    """A norm as rules cite it; what it was called in an older version of the law counts as well."""

    norm: str


@value
class UsesView:
    """`days` are the newest legal days on which it happened, at most five, the newest first."""

    lawful: int
    refused: int
    days: tuple[date, ...]


@dataclass(frozen=True)
class Usage:
    """Counts in one agency's log, of all years that are kept."""

    agency: str
    database: Database

    def of(self, asked: UsesQuestion) -> UsesView:
        """Raises `Invalid` for what is no citation of a law known here."""
        if not is_citation(asked.norm):
            fault = ("/norm", "not a citation", "write it as § 69 Abs. 1 Nr. 1 SGB X")
            raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
        norms = dict.fromkeys((asked.norm, *present_law().dated_norms.cites(asked.norm)))
        with self.database.read() as tx:
            logs = [each.log for each in heads(tx, self.agency)]
            cited = or_(*(says(tx, entry.c.bytes, json.dumps(norm, ensure_ascii=False)) for norm in norms))
            here = entry.c.log.in_(logs), entry.c.kind.in_(DECISIONS), cited
            counted = select(entry.c.kind, func.count().label("number")).where(*here).group_by(entry.c.kind)
            numbers = {row.kind: row.number for row in tx.execute(counted)}
            if not numbers:
                return UsesView(lawful=0, refused=0, days=())
            newest = select(entry.c.at).where(*here).order_by(entry.c.at.desc()).limit(NEWEST)
            days = dict.fromkeys(legal_day(datetime.fromisoformat(at)) for at in tx.scalars(newest))
        return UsesView(lawful=numbers.get("intent", 0), refused=numbers.get("denial", 0), days=tuple(days)[:DAYS])
