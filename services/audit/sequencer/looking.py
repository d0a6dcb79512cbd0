"""What can be asked of the log without proving anything: which entries there are, about what and about whom.

Everything reads the tables and changes nothing. Receipts, proofs and the full check are `AuditLog`'s own.
"""

from datetime import datetime

from sqlalchemy import Connection, and_, exists, func, or_, select

from services.audit.domain.log import BREAK_GLASS, FINISHING, INTENT, OUTCOME, REVIEWED, UNFINISHED
from services.audit.sequencer.reading import Entry, as_entries, entries_query, heads, openings_of, says
from services.audit.tables import dropped_log, entry, entry_key, leaf, subject
from shared.audit import Leaf, Opening, Reference
from shared.clock import timestamp
from shared.database import Database
from shared.errors import NotFound


class Looking:
    """Questions to the logs in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, agency: str, after: int = -1, limit: int = 100, year: int | None = None) -> list[Entry]:
        """Entries in their order, beginning behind the index `after`."""
        with self._database.read() as tx:
            query = entries_query().where(leaf.c.log == self._log(tx, agency, year), leaf.c.idx > after)
            return as_entries(tx.execute(query.order_by(leaf.c.idx).limit(limit)).all())

    def by_person(self, agency: str, person: str) -> list[Entry]:
        """Every entry about a person that the index still knows, oldest first, of all years."""
        both = and_(subject.c.log == leaf.c.log, subject.c.idx == leaf.c.idx)
        query = entries_query().join(subject, both)
        query = query.where(subject.c.agency == agency, subject.c.person == person)
        with self._database.read() as tx:
            order = {each.log: at for at, each in enumerate(heads(tx, agency))}
            found = as_entries(tx.execute(query).all())
        return sorted(found, key=lambda each: (order[each.origin], each.idx))

    def openings(self, agency: str, origin: str, idx: int) -> dict[str, Opening]:
        """What still opens the commitments of an entry."""
        with self._database.read() as tx:
            if origin not in {each.log for each in heads(tx, agency)}:
                raise NotFound("log.no_log", "the agency has no such log")
            return openings_of(tx, origin, idx)

    def open_intents(self, agency: str, before: datetime) -> list[Entry]:
        """Intents older than `before` without an outcome: somebody has to find out what became of them."""
        outcome = entry.alias()
        with self._database.read() as tx:
            unfinished = [says(tx, outcome.c.bytes, f'"result":"{result}"') for result in UNFINISHED]
            answered = exists().where(
                outcome.c.about_log == entry.c.log,
                outcome.c.about_idx == entry.c.idx,
                outcome.c.kind.in_(FINISHING),
                ~or_(*unfinished),
            )
            logs = [each.log for each in heads(tx, agency)]
            query = entries_query().where(leaf.c.log.in_(logs), entry.c.kind == INTENT, ~answered)
            query = query.where(entry.c.at < timestamp(before)).order_by(entry.c.at, leaf.c.log, leaf.c.idx)
            return as_entries(tx.execute(query).all())

    def count(self, agency: str, kind: str, since: datetime) -> int:
        """How many entries of a kind were logged since then."""
        with self._database.read() as tx:
            here = entry.c.log.in_([each.log for each in heads(tx, agency)]), entry.c.kind == kind
            found = select(func.count()).select_from(entry).where(*here, entry.c.at >= timestamp(since))
            return int(tx.execute(found).scalar_one())

    def unreviewed(self, agency: str) -> list[Leaf]:
        """The entries that say an emergency was used, of whose intent no outcome says that it was reviewed."""
        with self._database.read() as tx:
            logs = [each.log for each in heads(tx, agency)]
            found = select(entry.c.bytes).where(entry.c.log.in_(logs), entry.c.kind == BREAK_GLASS)
            leaves = [Leaf.parse(bytes(each)) for each in tx.scalars(found)]
            return [leaf for leaf in leaves if leaf.about and not self._reviewed(tx, leaf.about)]

    def _reviewed(self, tx: Connection, intent: Reference) -> bool:
        about = entry.c.about_log == intent.log, entry.c.about_idx == intent.index
        outcomes = tx.scalars(select(entry.c.bytes).where(*about, entry.c.kind == OUTCOME))
        return any(Leaf.parse(bytes(each)).result == REVIEWED for each in outcomes)

    def origins(self, agency: str) -> list[str]:
        """The logs of an agency, oldest first; the last one is being written."""
        with self._database.read() as tx:
            return [each.log for each in heads(tx, agency)]

    def agencies(self) -> list[str]:
        """Whose logs are kept here."""
        with self._database.read() as tx:
            return sorted({each.name.agency for each in heads(tx)})

    def size(self, agency: str) -> int:
        """How many entries the agency's logs have together."""
        with self._database.read() as tx:
            return sum(each.frontier.size for each in heads(tx, agency))

    def latest(self, agency: str, kind: str) -> Leaf | None:
        """The newest entry of a kind."""
        with self._database.read() as tx:
            for each in reversed(heads(tx, agency)):
                here = entry.c.log == each.log, entry.c.kind == kind
                found = tx.scalar(select(entry.c.bytes).where(*here).order_by(entry.c.idx.desc()).limit(1))
                if found is not None:
                    return Leaf.parse(bytes(found))
        return None

    def key_of(self, agency: str, origin: str, idx: int) -> str | None:
        """Under which key the entry was logged."""
        with self._database.read() as tx:
            here = entry_key.c.agency == agency, entry_key.c.log == origin, entry_key.c.idx == idx
            return tx.scalar(select(entry_key.c.key).where(*here))

    def about(self, agency: str, intent: Reference) -> list[Leaf]:
        """The entries that name this one."""
        with self._database.read() as tx:
            logs = [each.log for each in heads(tx, agency)]
            here = entry.c.log.in_(logs), entry.c.about_log == intent.log, entry.c.about_idx == intent.index
            return [Leaf.parse(bytes(each)) for each in tx.scalars(select(entry.c.bytes).where(*here))]

    def dropped(self, agency: str) -> list[str]:
        """Logs that are gone as a whole, at the end of retention."""
        with self._database.read() as tx:
            return list(tx.scalars(select(dropped_log.c.log).where(dropped_log.c.agency == agency)))

    def of_kind(self, agency: str, kind: str, after: tuple[str, int] = ("", -1), limit: int = 500) -> list[Entry]:
        """Entries of a kind whose bytes are still there, by log and index, behind the place `after`."""
        with self._database.read() as tx:
            logs = sorted(each.log for each in heads(tx, agency) if each.log >= after[0])
            found = list[Entry]()
            for log in logs:
                query = entries_query().where(leaf.c.log == log, entry.c.kind == kind)
                if log == after[0]:
                    query = query.where(leaf.c.idx > after[1])
                found += as_entries(tx.execute(query.order_by(leaf.c.idx).limit(limit - len(found))).all())
                if len(found) >= limit:
                    break
            return found

    def _log(self, tx: Connection, agency: str, year: int | None) -> str:
        logs = [each.log for each in heads(tx, agency) if year is None or each.name.year == year]
        if not logs:
            raise NotFound("log.no_log", "the agency has no such log")
        return logs[-1]
