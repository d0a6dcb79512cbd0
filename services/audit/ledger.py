"""What the log tells about persons: who read it about somebody, and whose data went out in a given time.

Both rest on the index of persons, which an erasure empties: who was erased is found here no more.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, and_, cast, select

from services.audit.sequencer import AuditLog, LoggedEntry
from services.audit.tables import entry, head, subject
from shared.audit import Leaf, Reference
from shared.clock import timestamp
from shared.database import Database
from shared.domain import value
from shared.errors import NotFound

LONGEST_PAGE = 500
LOG_READ, INTENT, NOTICE = "log_read", "intent", "notice"


@value
class ReadsQuestion:
    """Reads of the log before the mark `before` (empty: all), newest first. `limit` 1 to 500."""

    person_id: str
    before: str = ""
    limit: int = 50


@value
class Read:
    """Somebody read what the log says about the person: when, in which role, by which way; with the entry's place."""

    mark: str
    at: str
    role: str
    way: str
    log: str
    index: int


@value
class ReadPage:
    items: tuple[Read, ...]


@value
class AffectedQuestion:
    """Disclosures let through from `since` to `until`: to one partner when named, of these categories when named."""

    since: datetime
    until: datetime
    partner_id: str = ""
    categories: tuple[str, ...] = ()


@value
class Affected:
    """Ids of the persons, and how many entries that rests on."""

    persons: tuple[str, ...]
    entries: int


@value
class NotifyRecipient:
    """`change` is what became of data that the recipient has: rectified, contested, restricted, erased."""

    disclosure_id: str
    notice_id: str
    change: str


def log_notice(log: AuditLog, agency: str, intent_key: str, asked: NotifyRecipient) -> LoggedEntry:
    """The recipient is told what became of the data (Art. 19 DSGVO): an entry that names the intent, once each."""
    intent = log.find(agency, intent_key)
    if intent is None:
        raise NotFound("log.entry_unknown")
    about = Leaf.parse(intent.leaf_bytes)
    leaf = Leaf(
        kind=NOTICE,
        sender=about.sender,
        recipient=about.recipient,
        about=Reference(intent.origin, intent.idx),
        result=asked.change,
    )
    return log.append(agency, leaf, key=f"disclosure-{asked.disclosure_id}:notice-{asked.notice_id}")


@dataclass(frozen=True)
class PersonsInLog:
    """Asks one agency's log by its index of persons."""

    agency: str
    database: Database

    def reads(self, asked: ReadsQuestion) -> ReadPage:
        same = and_(subject.c.log == entry.c.log, subject.c.idx == entry.c.idx)
        mark = (entry.c.at + " read:" + entry.c.log + ":" + cast(entry.c.idx, String)).label("mark")
        found = select(entry.c.log, entry.c.idx, entry.c.at, entry.c.bytes, mark).join(subject, same)
        found = found.where(subject.c.agency == self.agency, subject.c.person == asked.person_id)
        found = found.where(entry.c.kind == LOG_READ)
        if asked.before:
            found = found.where(mark < asked.before)
        with self.database.read() as tx:
            rows = tx.execute(found.order_by(mark.desc()).limit(min(max(asked.limit, 1), LONGEST_PAGE))).all()
        details = [Leaf.parse(bytes(row.bytes)).details for row in rows]
        return ReadPage(
            items=tuple(
                Read(
                    mark=row.mark,
                    at=row.at,
                    role=told.get("role", ""),
                    way=told.get("way", ""),
                    log=row.log,
                    index=row.idx,
                )
                for row, told in zip(rows, details, strict=True)
            )
        )

    def affected(self, asked: AffectedQuestion) -> Affected:
        """Computed from the entries alone; a disclosure that was let through counts, whether or not it arrived."""
        same = and_(subject.c.log == entry.c.log, subject.c.idx == entry.c.idx)
        own = select(head.c.log).where(head.c.agency == self.agency)
        found = select(subject.c.person, entry.c.bytes).join(subject, same)
        found = found.where(subject.c.agency == self.agency, entry.c.log.in_(own), entry.c.kind == INTENT)
        found = found.where(entry.c.at >= timestamp(asked.since), entry.c.at <= timestamp(asked.until))
        with self.database.read() as tx:
            rows = tx.execute(found).all()
        touched = [row.person for row in rows if _touches(Leaf.parse(bytes(row.bytes)), asked)]
        return Affected(persons=tuple(sorted(set(touched))), entries=len(touched))


def _touches(leaf: Leaf, asked: AffectedQuestion) -> bool:
    to_them = asked.partner_id in ("", leaf.recipient)
    return to_them and (not asked.categories or bool(set(asked.categories) & set(leaf.categories)))
