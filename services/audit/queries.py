"""What may be asked of the audit service, and what it answers."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from services.audit.domain.ruling import CategoryRuling, Extent
from services.audit.sequencer import AuditLog
from shared.audit import Leaf
from shared.domain import Json, Personal, value
from shared.errors import NotFound

LONGEST_PAGE = 500
LONGEST_REPORT = 3660


@value
class Kind:
    """Which body in which legal domain, in the words of `contracts/law/vocabulary.yaml`."""

    body: str
    domain: str


@value
class AuthorizeDisclosure:
    """`held` are the categories of which the sender has something; `commitments` bind their content, by
    `content.<category>`, to the log entry without telling it. `unable` are obligations that the sender cannot keep
    towards this recipient; `undertaking_given` says that the recipient committed itself (§ 78 Abs. 1 Satz 2 SGB X),
    `days` are the first and last day of what is held of each category, for consents that mean a range of data; None: it
    was looked at when it was ruled on first. `restricted` that the person's data may be kept only (Art. 18 DSGVO).
    """

    disclosure_id: str
    person_id: str
    case_id: str | None
    sender: Kind
    partner_id: str
    recipient: Kind
    categories: tuple[str, ...]
    held: tuple[str, ...]
    purpose: str
    basis: str | None
    extent: Extent
    facts: Personal[Json] = field(default_factory=dict)
    facts_by_category: Personal[Json] = field(default_factory=dict)
    commitments: dict[str, str] = field(default_factory=dict)
    reasons: Personal[str] = ""
    decided_by: str = ""
    undertaking_given: bool = False
    unable: tuple[str, ...] = ()
    restricted: bool = False
    days: dict[str, tuple[date, ...]] | None = field(default_factory=dict)


@value
class RuledAgain:
    """Whether what was let through before would be let through at this moment."""

    permitted: bool


@value
class LogBreakGlass:
    disclosure_id: str
    ends_at: datetime
    review_by: date | None


@value
class RetractDisclosure:
    """`reason` is a code such as `consent_withdrawn`."""

    disclosure_id: str
    reason: str


@value
class RetractDisclosures:
    """Several for one reason."""

    disclosure_ids: tuple[str, ...]
    reason: str


@value
class Answer:
    """The ruling and the proof that it stands in the log: `leaf` is the entry, `receipt` a C2SP tlog-proof. The
    recipient has to erase by `erase_by`, when what the disclosure rests on has an end.
    """

    sent: tuple[str, ...]
    categories: tuple[CategoryRuling, ...]
    obligations: tuple[str, ...]
    rule_set: str
    day: str
    origin: str
    index: int
    leaf: str
    receipt: str
    consents: tuple[str, ...]
    explanation: str
    erase_by: date | None = None


@value
class LogQuestion:
    """The log of a year; without one, the log that is being written."""

    year: int | None = None


@value
class LogKey:
    origin: str
    key: str


@value
class CheckpointView:
    origin: str
    checkpoint: str


@value
class EntriesQuestion:
    """Entries behind the index `after`; -1 begins at the first. `limit` 1 to 500."""

    after: int = -1
    limit: int = 100
    year: int | None = None


@value
class EntryView:
    """`leaf` is null when its bytes were deleted at the end of retention."""

    index: int
    leaf: str | None


@value
class EntriesPage:
    items: tuple[EntryView, ...]
    next: int | None


@value
class ReceiptQuestion:
    disclosure_id: str


@value
class ReceiptView:
    origin: str
    index: int
    leaf: str
    receipt: str


@value
class ReceiptsView:
    """In the order of the question."""

    receipts: tuple[ReceiptView, ...]


@value
class BreakGlassQuestion:
    """Of the last `days`, 1 to 3660."""

    days: int = 30


@value
class BreakGlassReport:
    """How often emergencies were used among all disclosures let through, in thousandths, and which were not looked at
    again by their day (of any age).
    """

    days: int
    break_glass: int
    disclosures: int
    per_thousand: int
    reviews_overdue: int


@value
class ConsistencyQuestion:
    """From the tree of size `old` to that of size `new`."""

    old: int
    new: int
    year: int | None = None


@value
class ConsistencyView:
    """Hashes in hex, as RFC 6962 section 2.1.2 orders them."""

    proof: tuple[str, ...]


@dataclass(frozen=True)
class LogReader:
    """Reads one agency's log."""

    agency: str
    log: AuditLog

    def key(self, asked: LogQuestion) -> LogKey:
        origin = self._origin(asked.year)
        return LogKey(origin=origin, key=self.log.verifier_key(origin))

    def checkpoint(self, asked: LogQuestion) -> CheckpointView:
        note = self.log.checkpoint(self.agency, asked.year)
        return CheckpointView(origin=note.split("\n", 1)[0], checkpoint=note)

    def entries(self, asked: EntriesQuestion) -> EntriesPage:
        limit = min(max(asked.limit, 1), LONGEST_PAGE)
        found = self.log.entries(self.agency, asked.after, limit + 1, asked.year)
        items = tuple(
            EntryView(index=entry.idx, leaf=entry.leaf_bytes.decode() if entry.leaf_bytes else None)
            for entry in found[:limit]
        )
        return EntriesPage(items=items, next=items[-1].index if len(found) > limit else None)

    def receipt(self, key: str) -> ReceiptView:
        found = self.log.find(self.agency, key)
        if found is None:
            raise NotFound("log.entry_unknown")
        entry = self.log.receipt(self.agency, found.origin, found.idx)
        return ReceiptView(
            origin=entry.origin, index=entry.idx, leaf=entry.leaf_bytes.decode(), receipt=entry.receipt_text
        )

    def break_glass(self, asked: BreakGlassQuestion, now: datetime, today: date) -> BreakGlassReport:
        """Counted from the entries of the log alone."""
        days = min(max(asked.days, 1), LONGEST_REPORT)
        since = now - timedelta(days=days)
        used, disclosures = (self.log.count(self.agency, kind, since) for kind in ("break_glass", "intent"))
        return BreakGlassReport(
            days=days,
            break_glass=used,
            disclosures=disclosures,
            per_thousand=0 if not disclosures else round(1000 * used / disclosures),
            reviews_overdue=sum(self._overdue(leaf, today) for leaf in self.log.unreviewed(self.agency)),
        )

    def _overdue(self, leaf: Leaf, today: date) -> bool:
        due = leaf.details.get("review_by")
        return due is not None and date.fromisoformat(due) < today

    def consistency(self, asked: ConsistencyQuestion) -> ConsistencyView:
        proof = self.log.consistency(self.agency, asked.old, asked.new, asked.year)
        return ConsistencyView(proof=tuple(each.hex() for each in proof))

    def _origin(self, year: int | None) -> str:
        if year is None:
            return self.checkpoint(LogQuestion()).origin
        found = [origin for origin in self.log.origins(self.agency) if f"/{year}" in origin]
        if not found:
            raise NotFound("log.no_log")
        return found[-1]
