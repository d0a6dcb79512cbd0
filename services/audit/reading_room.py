"""The reading room (Protokolleinsicht): somebody searches the log or takes a part along. First the look is logged.

A look is a reading of the log with an entry of its own (`reads.py`). What was asked for is fixed in it, so the pages
that follow need no more than its id, and go to whoever looked and to nobody else, for a day.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from services.audit.domain.reading import LogRead, Reading
from services.audit.exporting import Bundle, Plan, planned
from services.audit.projections import CONSENT_RULINGS
from services.audit.reads import log_read
from services.audit.search import FoundPage, Search, Wanted
from services.audit.sequencer import AuditLog, LoggedEntry
from shared.audit import Leaf
from shared.clock import Clock
from shared.database import Database
from shared.domain import Erased, Json, Sealed, known, value
from shared.errors import Invalid, NotFound, Refused
from shared.eventstore import AgencyStore, EventStore, catch_up
from shared.schema import dump, parse

SEARCH, EXPORT = "search", "export"
LASTS = timedelta(days=1)
LONGEST_PAGE = 500
OPENABLE = ("person", "case", "decided_by", "facts", "reasons")
"""What may be opened for whoever checks the decisions about one person (§ 67c Abs. 5 SGB X)."""


@value
class SearchLog:
    """Look for entries, and say why: the reason is kept sealed, the search is itself an entry."""

    search_id: str
    wanted: Wanted
    reason: Annotated[str | Erased, Sealed("search_id")]


@value
class SearchQuestion:
    search_id: str
    after: str = ""
    limit: int = 50


@value
class ExportLog:
    """Take a part of the log along. `what` is `subject` (with `person_id`), `case` (with `case_id` and the `person_id`
    whose case it is) or `period` (with both days, which count). `open` names the commitments that are opened, for a
    subject or a case; a period is about everybody, so nothing is.
    """

    export_id: str
    what: str
    reason: Annotated[str | Erased, Sealed("export_id")]
    person_id: str | None = None
    case_id: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    open: tuple[str, ...] = ("person", "case")


@value
class BundleQuestion:
    export_id: str
    after: str = ""
    limit: int = 200


@value
class BundlePage:
    """The next lines of a bundle (`contracts/formats/bundle.md`), of `total`. All lines, each ended by a line feed, are
    the file. They travel sealed, since they may open whom an entry is about.
    """

    export_id: str
    lines: Annotated[tuple[str, ...] | Erased, Sealed("export_id")]
    next: str | None
    total: int


@dataclass(frozen=True)
class Looker:
    """Who looks, and in which role."""

    by: str
    role: str


@dataclass(frozen=True)
class ReadingRoom:
    """Of the logs of one agency."""

    events: EventStore
    store: AgencyStore
    log: AuditLog
    database: Database
    clock: Clock

    def search(self, asked: SearchLog, looker: Looker) -> LoggedEntry:
        """Log the search. The same id again is the same search, whatever it asks for."""
        query = {name: text for name, text in dump(asked.wanted).items() if text is not None}
        return self._log(
            asked.search_id, SEARCH, known(asked.reason, ""), looker, person_id=asked.wanted.person_id, query=query
        )

    def found(self, asked: SearchQuestion, looker: Looker) -> FoundPage:
        """A page of what a search of the same looker finds now."""
        query = self._query(asked.search_id, SEARCH, looker)[1]
        catch_up(self.events, CONSENT_RULINGS)
        limit = min(max(asked.limit, 1), LONGEST_PAGE)
        return Search(self.store.name, self.database).page(parse(Wanted, query), asked.after, limit)

    def export(self, asked: ExportLog, looker: Looker) -> LoggedEntry:
        """Fix what the bundle holds, and log it, before any of it is shown."""
        _check(asked)
        plan = Plan(
            what=asked.what,
            person=asked.person_id,
            case=asked.case_id,
            first_day=asked.first_day,
            last_day=asked.last_day,
            open=() if asked.what == "period" else tuple(sorted(set(asked.open))),
        )
        query = planned(plan, self.store, self.database)
        return self._log(
            asked.export_id, EXPORT, known(asked.reason, ""), looker, person_id=asked.person_id, query=query
        )

    def bundle(self, asked: BundleQuestion, looker: Looker) -> BundlePage:
        """The next lines of an export of the same looker."""
        read, query = self._query(asked.export_id, EXPORT, looker)
        entry = self.log.find(self.store.name, f"read-{asked.export_id}")
        if entry is None:
            raise NotFound("log.reading_unknown")
        bundle = Bundle(self.store, self.log, self.database, query, entry, read)
        lines, after = bundle.lines(asked.after, min(max(asked.limit, 1), LONGEST_PAGE))
        return BundlePage(export_id=asked.export_id, lines=tuple(lines), next=after, total=bundle.total)

    def _log(
        self, read_id: str, way: str, reason: str, looker: Looker, *, person_id: str | None, query: Json
    ) -> LoggedEntry:
        return log_read(
            self.store,
            self.log,
            self.clock,
            read_id=read_id,
            by=looker.by,
            role=looker.role,
            way=way,
            reason=reason,
            person_id=person_id,
            query=query,
        )

    def _query(self, read_id: str, way: str, looker: Looker) -> tuple[LogRead, Json]:
        """What was asked for; to others than the looker the reading does not exist."""
        read = self.store.load(Reading, read_id)[0].read
        if read is None or read.way != way or read.by != looker.by or isinstance(read.openings, Erased):
            raise NotFound("log.reading_unknown", "no such search or export of yours", "begin a new one")
        if self.clock.now() > _time_of(read) + LASTS:
            raise Refused("log.reading_over", "it is older than a day", "begin a new one, and say why")
        query: Any = read.openings["query"]["value"]
        return read, query


def _time_of(read: LogRead) -> datetime:
    time = Leaf.parse(read.entry.encode()).time
    if time is None:
        raise Refused("log.reading_over")
    return time


def _check(asked: ExportLog) -> None:
    """Raises `Invalid` naming each field that is missing, too much, or not understood."""
    needed = {
        "subject": {"person_id"},
        "case": {"person_id", "case_id"},
        "period": {"first_day", "last_day"},
    }
    if asked.what not in needed:
        remedy = f"write one of {', '.join(needed)}"
        raise Invalid("request.invalid", "unknown kind of export", remedy, [("/what", "unknown", remedy)])
    given = {
        name for name in ("person_id", "case_id", "first_day", "last_day") if getattr(asked, name) not in (None, "")
    }
    wanted = needed[asked.what]
    faults = [(f"/{name}", "this is missing", f"a {asked.what} needs it") for name in sorted(wanted - given)]
    faults += [(f"/{name}", "this is too much", f"leave it out of a {asked.what}") for name in sorted(given - wanted)]
    if asked.first_day and asked.last_day and asked.last_day < asked.first_day:
        faults.append(("/last_day", "before the first day", "name the later day second"))
    if not set(asked.open) <= set(OPENABLE):
        faults.append(("/open", "not openable", f"choose of {', '.join(OPENABLE)}"))
    if faults:
        raise Invalid("request.invalid", "the request has faulty fields", faults[0][2], faults)
