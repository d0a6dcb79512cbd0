"""Searching the log: by what entries say, in the order of their time, page by page.

The terms of an entry are drawn from its bytes, beside the sequencer and never in its way; a trigger takes them away
with the bytes. A person is looked up in the index of persons, which an erasure empties, and a consent by the rulings
that rest on it. What a search cannot see is counted and answered with every page.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from threading import Event
from time import monotonic
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from services.audit.evidence import audit_log
from services.audit.projections import consent_ruling
from services.audit.sequencer.reading import as_entries, entries_query, heads
from services.audit.tables import dropped_log, entry, entry_key, entry_term, leaf, rule_set, search_mark, subject
from shared.audit import Leaf
from shared.canonical import canonical
from shared.clock import LEGAL_ZONE, timestamp
from shared.database import Database
from shared.domain import value
from shared.errors import Invalid
from shared.policy import RuleSet, present_law
from shared.policy.citation import places
from shared.runtime import ServiceContext

ANY = "any"
AT_ONCE = 1000
PACE = 1.0
"""Seconds between two looks at what is new in the log."""

RULING = "disclosure-{}:ruling"
_RULING = re.compile(r"disclosure-(.+):ruling")
_CURSOR = re.compile(r"(?P<at>[0-9TZ:.-]{27})_(?P<name>[0-9-]{4,20})_(?P<idx>[0-9]{1,16})")


@value
class Wanted:
    """What is looked for; what is left out does not matter. `norm` is one as it was cited, or a section of a law such
    as § 67d SGB X. `first_day` and `last_day` are legal days and both count.
    """

    person_id: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    category: str | None = None
    decision: str | None = None
    norm: str | None = None
    consent_id: str | None = None
    kind: str | None = None
    first_day: date | None = None
    last_day: date | None = None


@value
class FoundEntry:
    """`leaf` is the entry, `consents` what its ruling rests on."""

    origin: str
    index: int
    leaf: str
    consents: tuple[str, ...]


@value
class Unseen:
    """What no search can find: entries whose bytes were deleted, those of years that were dropped, and those that
    cannot be searched yet. How many entries are about persons who were erased, nobody knows.
    """

    deleted: int
    dropped: int
    not_yet: int


@value
class FoundPage:
    items: tuple[FoundEntry, ...]
    next: str | None
    unseen: Unseen


def terms(said: Leaf) -> set[str]:
    """Under what an entry is found."""
    single = {
        "kind": said.kind,
        "recipient": said.recipient,
        "purpose": said.purpose,
        "decision": said.decision,
        "result": said.result,
        "rule_set": said.rule_set,
    }
    found = {f"{name}:{word}" for name, word in single.items() if word}
    found |= {f"category:{each}" for each in said.categories}
    found |= {f"norm:{each}" for norm in said.norms for each in (norm, *_sections(norm))}
    return found | {ANY}


def catch_up(database: Database, agency: str, seconds: float = 2.0) -> int:
    """Draw the terms of what is new, for at most so long; how many entries are left to be drawn."""
    until = monotonic() + seconds
    with database.read() as tx:
        logs = heads(tx, agency)
    for each in logs:
        while monotonic() < until and _draw(database, agency, each.log):
            pass
    with database.read() as tx:
        return _not_drawn(tx, agency)


def keep_terms(context: ServiceContext, stop: Event) -> None:
    """The loop that keeps the log searchable, and the present rules under their hash."""
    keep_rule_set(context.database, present_law())
    while not stop.is_set():
        for agency in audit_log(context).agencies():
            while catch_up(context.database, agency) and not stop.is_set():
                pass
        stop.wait(PACE)


def keep_rule_set(database: Database, law: RuleSet) -> None:
    """Keep the rules, so that an export of later years can show what decided today."""
    try:
        with database.write() as tx:
            if tx.execute(select(rule_set.c.hash).where(rule_set.c.hash == law.hash)).first() is None:
                tx.execute(insert(rule_set).values(hash=law.hash, content=canonical(law.content).decode()))
    except IntegrityError:
        return


@dataclass(frozen=True)
class Search:
    """In the logs of one agency."""

    agency: str
    database: Database

    def page(self, wanted: Wanted, after: str = "", limit: int = 50) -> FoundPage:
        """The oldest first; `after` is the `next` of the page before. Raises `Invalid` for any other."""
        not_yet = catch_up(self.database, self.agency)
        with self.database.read() as tx:
            rows = tx.execute(self._query(tx, wanted, after).limit(limit + 1)).all()
            shown = rows[:limit]
            items = tuple(self._found(tx, row) for row in shown)
            unseen = Unseen(deleted=self._deleted(tx), dropped=self._dropped(tx), not_yet=not_yet)
        return FoundPage(items=items, next=_cursor(shown[-1]) if len(rows) > limit else None, unseen=unseen)

    def at(self, origin: str, index: int) -> FoundEntry | None:
        """What an entry that was found is about."""
        with self.database.read() as tx:
            here = entry.c.log == origin, entry.c.idx == index
            row = tx.execute(select(entry.c.log, entry.c.idx, entry.c.bytes).where(*here)).first()
            known = {each.log for each in heads(tx, self.agency)}
            return self._found(tx, row) if row is not None and origin in known else None

    def _query(self, tx: Connection, wanted: Wanted, after: str) -> Select[Any]:
        chosen = _terms_of(wanted)
        if wanted.person_id is not None:
            place: FromClause = entry
            same = and_(subject.c.log == entry.c.log, subject.c.idx == entry.c.idx)
            mine = subject.c.agency == self.agency, subject.c.person == wanted.person_id
            query = select(entry.c.at, entry.c.log, entry.c.idx, entry.c.bytes).join(subject, same).where(*mine)
        else:
            first = entry_term.alias()
            place, leading = first, chosen.pop(0) if chosen else ANY
            same = and_(first.c.log == entry.c.log, first.c.idx == entry.c.idx)
            query = select(first.c.at, first.c.log, first.c.idx, entry.c.bytes).join(entry, same)
            query = query.where(first.c.agency == self.agency, first.c.term == leading)
        for term in chosen:
            here = entry_term.c.log == place.c.log, entry_term.c.idx == place.c.idx, entry_term.c.term == term
            query = query.where(exists().where(*here))
        if wanted.consent_id is not None:
            query = query.where(tuple_(place.c.log, place.c.idx).in_(self._resting_on(wanted.consent_id)))
        if wanted.first_day:
            query = query.where(place.c.at >= day_begins(wanted.first_day))
        if wanted.last_day:
            query = query.where(place.c.at < day_begins(wanted.last_day + timedelta(days=1)))
        order: Sequence[ColumnElement[Any]] = (place.c.at, place.c.log, place.c.idx)
        if after:
            query = query.where(tuple_(*order) > tuple_(*self._place(tx, after)))
        return query.order_by(*order)

    def _resting_on(self, consent_id: str) -> Select[Any]:
        key = "disclosure-" + consent_ruling.c.disclosure_id + ":ruling"
        same = and_(entry_key.c.agency == consent_ruling.c.agency, entry_key.c.key == key)
        rows = select(entry_key.c.log, entry_key.c.idx).join_from(consent_ruling, entry_key, same)
        return rows.where(consent_ruling.c.agency == self.agency, consent_ruling.c.consent_id == consent_id)

    def _found(self, tx: Connection, row: Any) -> FoundEntry:
        return FoundEntry(
            origin=row.log, index=row.idx, leaf=bytes(row.bytes).decode(), consents=self._consents(tx, row.log, row.idx)
        )

    def _consents(self, tx: Connection, log: str, idx: int) -> tuple[str, ...]:
        here = entry_key.c.agency == self.agency, entry_key.c.log == log, entry_key.c.idx == idx
        ruling = _RULING.fullmatch(tx.scalar(select(entry_key.c.key).where(*here)) or "")
        if not ruling:
            return ()
        mine = consent_ruling.c.agency == self.agency, consent_ruling.c.disclosure_id == ruling[1]
        return tuple(tx.scalars(select(consent_ruling.c.consent_id).where(*mine).order_by(consent_ruling.c.consent_id)))

    def _place(self, tx: Connection, after: str) -> tuple[str, str, int]:
        match = _CURSOR.fullmatch(after)
        logs = [each.log for each in heads(tx, self.agency) if match and each.log.endswith(f"/{match['name']}")]
        if not match or not logs:
            fault = ("/after", "not a place in this answer", "send the next of the page before")
            raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
        return match["at"], logs[0], int(match["idx"])

    def _deleted(self, tx: Connection) -> int:
        logs = [each.log for each in heads(tx, self.agency)]
        return int(tx.scalar(select(func.sum(search_mark.c.deleted)).where(search_mark.c.log.in_(logs))) or 0)

    def _dropped(self, tx: Connection) -> int:
        return int(tx.scalar(select(func.sum(dropped_log.c.size)).where(dropped_log.c.agency == self.agency)) or 0)


def day_begins(day: date) -> str:
    """The moment at which a legal day begins, as entries write times."""
    return timestamp(datetime.combine(day, time.min, LEGAL_ZONE).astimezone(UTC))


def _terms_of(wanted: Wanted) -> list[str]:
    """What usually narrows most comes first."""
    norm = wanted.norm and next(iter(_sections(wanted.norm, whole=True)), wanted.norm)
    named = {
        "norm": norm,
        "category": wanted.category,
        "recipient": wanted.recipient,
        "purpose": wanted.purpose,
        "kind": wanted.kind,
        "decision": wanted.decision,
    }
    return [f"{name}:{word}" for name, word in named.items() if word]


def _sections(norm: str, *, whole: bool = False) -> list[str]:
    """The sections that a citation lies in; with `whole` only if it cites a section and nothing below."""
    found = [each for each in places(norm) if each.path and (len(each.path) == 1 or not whole)]
    return [f"{' '.join(each.path[0])} {each.law}" for each in found]


def _draw(database: Database, agency: str, log: str) -> bool:
    """The terms of the next entries of a log; whether there were any."""
    try:
        with database.write() as tx:
            mark = tx.execute(select(search_mark).where(search_mark.c.log == log).with_for_update()).first()
            if mark is None:
                tx.execute(insert(search_mark).values(log=log, upto=0, deleted=0))
            upto, deleted = (mark.upto, mark.deleted) if mark else (0, 0)
            query = entries_query().where(leaf.c.log == log, leaf.c.idx >= upto).order_by(leaf.c.idx).limit(AT_ONCE)
            fresh = as_entries(tx.execute(query).all())
            rows = [
                {"log": log, "idx": each.idx, "term": term, "agency": agency, "at": said["time"]}
                for each in fresh
                if each.leaf_bytes is not None and (said := json.loads(each.leaf_bytes))
                for term in terms(Leaf.parse(each.leaf_bytes))
            ]
            if rows:
                tx.execute(insert(entry_term), rows)
            if fresh:
                gone = sum(each.leaf_bytes is None for each in fresh)
                grown = {"upto": fresh[-1].idx + 1, "deleted": deleted + gone}
                tx.execute(update(search_mark).where(search_mark.c.log == log).values(**grown))
    except IntegrityError:
        return True
    return bool(fresh)


def _not_drawn(tx: Connection, agency: str) -> int:
    drawn = {row.log: row.upto for row in tx.execute(select(search_mark.c.log, search_mark.c.upto))}
    return sum(each.frontier.size - drawn.get(each.log, 0) for each in heads(tx, agency))


def _cursor(row: Row[Any]) -> str:
    return f"{row.at}_{row.log.rsplit('/', 1)[1]}_{row.idx}"
