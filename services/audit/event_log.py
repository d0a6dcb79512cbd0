"""Hashes of the services' events in the log, and the comparison of a store with them.

An entry of kind `event` commits to the hashes of the events of one service and agency behind one position and up to
another. The list and the key of the commitment stand beside the entry. So each event of a store can be held against
what the log committed to: one that was edited, removed, or put in afterwards is named. Events that were written and
changed before they were hashed look as they were hashed.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any

from services.audit.domain.retention import What
from services.audit.retention import load_schedule
from services.audit.sequencer import AuditLog, Entry
from shared.audit import Leaf, Opening, commitment, verify_opening
from shared.clock import LEGAL_ZONE, Clock
from shared.errors import HandschlagError
from shared.event_hashes import Batch, event_hash
from shared.eventstore.codec import Row

EVENT = "event"
PAGE = 500

CHANGED, REMOVED, NOT_IN_LOG = "event.changed", "event.removed", "event.not_in_log"
LIST_CHANGED, LIST_MISSING = "event.list_changed", "event.list_missing"

Rows = Callable[[int, int], list[Row]]
"""Events of a store behind a position, at most so many."""


def log_batch(log: AuditLog, batch: Batch, key: str) -> None:
    """Commit to a batch. The same `key` again is the same entry."""
    details = {
        "service": batch.service,
        "after": str(batch.after),
        "last": str(batch.last),
        "count": str(len(batch.events)),
    }
    opening = Opening(batch.key, batch.committed, kept=True)
    made = {EVENT: commitment(opening.key, opening.value)}
    leaf = Leaf(kind=EVENT, sender=batch.agency, details=details, commitments=made)
    log.append(batch.agency, leaf, key=key, openings={EVENT: opening})


def lists_kept_since(clock: Clock) -> datetime:
    """Lists of older entries are gone by the schedule of retention; a younger one that is missing was removed."""
    rules = [rule for rule in load_schedule().of(What.OPENINGS) if EVENT in rule.kinds]
    day = max((rule.due_before(clock.today()) for rule in rules), default=date(1970, 1, 1))
    return datetime.combine(day, time(), LEGAL_ZONE)


@dataclass(frozen=True, order=True)
class EventFinding:
    """What is wrong with which event: its stream and version in the store of a service, or the place of an entry."""

    service: str
    agency: str
    code: str
    stream: str
    version: int


@dataclass
class Compared:
    """`events` were held against the log; `unlisted` entries have no list any more, at the end of its retention;
    `not_yet` events are newer than the newest entry.
    """

    events: int = 0
    unlisted: int = 0
    not_yet: int = 0
    findings: set[EventFinding] = field(default_factory=set)


@dataclass
class Span:
    """What one entry says about the events behind `after` up to `last`. `missing` are those that were not met yet."""

    after: int
    last: int
    entry: Entry
    leaf: Leaf
    hashes: Mapping[tuple[str, int], str] = field(default_factory=dict)
    missing: set[tuple[str, int]] = field(default_factory=set)
    listed: bool = True


@dataclass(frozen=True)
class Comparison:
    """Holds the store of one service against the log. Lists from before `kept_since` may be gone."""

    log: AuditLog
    service: str
    rows: Rows
    kept_since: datetime
    compared: Compared = field(default_factory=Compared)

    def run(self) -> Compared:
        """All events of all agencies, once from front to end."""
        ahead = {agency: deque(self._spans(agency)) for agency in self.log.agencies()}
        reach = max((span.last for spans in ahead.values() for span in spans), default=0)
        within: dict[str, list[Span]] = {agency: [] for agency in ahead}
        after = 0
        while page := self.rows(after, PAGE):
            for row in page:
                if row.position > reach:
                    self.compared.not_yet += 1
                    continue
                spans = self._reached(row, ahead.get(row.agency, deque()), within.get(row.agency, []))
                within[row.agency] = spans
                self._hold(row, spans)
            after = page[-1].position
        for agency, rest in ahead.items():
            for span in [*within[agency], *(self._opened(agency, each) for each in rest)]:
                self._left(agency, span)
        return self.compared

    def _spans(self, agency: str) -> list[Span]:
        found, after = list[Span](), ("", -1)
        while page := self.log.of_kind(agency, EVENT, after, PAGE):
            for entry in page:
                leaf = Leaf.parse(entry.leaf_bytes or b"")
                if leaf.details.get("service") == self.service:
                    found.append(Span(int(leaf.details["after"]), int(leaf.details["last"]), entry, leaf))
            after = (page[-1].origin, page[-1].idx)
        return sorted(found, key=lambda span: (span.after, span.last))

    def _reached(self, row: Row, ahead: deque[Span], within: list[Span]) -> list[Span]:
        """The spans in which the row stands; those that it has left behind are closed."""
        for span in within:
            if span.last < row.position:
                self._left(row.agency, span)
        inside = [span for span in within if span.last >= row.position]
        while ahead and ahead[0].after < row.position:
            span = self._opened(row.agency, ahead.popleft())
            if span.last < row.position:
                self._left(row.agency, span)
            else:
                inside.append(span)
        return inside

    def _hold(self, row: Row, spans: list[Span]) -> None:
        place, found = (row.stream, row.version), event_hash(row)
        if spans and not all(span.listed for span in spans):
            return
        self.compared.events += 1
        wanted = {span.hashes.get(place) for span in spans}
        for span in spans:
            span.missing.discard(place)
        if wanted != {found}:
            self._find(row.agency, CHANGED if wanted - {None} else NOT_IN_LOG, *place)

    def _opened(self, agency: str, span: Span) -> Span:
        """With the list beside the entry, if it is the one that was committed to."""
        opening = self.log.openings(agency, span.entry.origin, span.entry.idx).get(EVENT)
        if opening is None:
            gone = span.leaf.time is not None and span.leaf.time < self.kept_since
            self.compared.unlisted += 1
            if not gone:
                self._find(agency, LIST_MISSING, span.entry.origin, span.entry.idx)
            return replace(span, listed=False)
        try:
            verify_opening(span.leaf, EVENT, opening.key, opening.value)
        except HandschlagError:
            self._find(agency, LIST_CHANGED, span.entry.origin, span.entry.idx)
            return replace(span, listed=False)
        committed: Any = opening.value
        hashes = {(stream, version): digest for stream, version, digest in committed["events"]}
        return replace(span, hashes=hashes, missing=set(hashes))

    def _left(self, agency: str, span: Span) -> None:
        for place in span.missing:
            self._find(agency, REMOVED, *place)

    def _find(self, agency: str, code: str, stream: str, version: int) -> None:
        self.compared.findings.add(EventFinding(self.service, agency, code, stream, version))
