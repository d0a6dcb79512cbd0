"""The tamper-evident log: its key, its checkpoints, entries and proofs."""

from datetime import date
from typing import Annotated

from services.gateway.operations import SLOW, Desk, Resource, require_limit
from shared.domain import Erased, Sealed, value
from shared.errors import Invalid

LONGEST_REPORT = 3660

log = Resource("log", "The tamper-evident log and its proofs.")


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
    """Entries behind the index `after`; -1 begins at the first."""

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
    index: int
    origin: str
    leaf: str
    receipt: str


@value
class ConsistencyQuestion:
    """From the tree of size `old` to that of size `new`."""

    old: int
    new: int
    year: int | None = None


@value
class ConsistencyView:
    proof: tuple[str, ...]


@value
class BreakGlassQuestion:
    """Of the last `days`, 1 to 3660."""

    days: int = 30


@value
class BreakGlassReport:
    """How often emergencies were used among all disclosures let through, in thousandths, and which were not looked at
    again by their day.
    """

    days: int
    break_glass: int
    disclosures: int
    per_thousand: int
    reviews_overdue: int


@value
class UsesQuestion:
    """A norm as rules cite it, such as § 69 Abs. 1 Nr. 1 SGB X."""

    norm: str


@value
class UsesView:
    """Decisions of the own agency that cite the norm; `days` are the newest on which that happened."""

    lawful: int
    refused: int
    days: tuple[date, ...]


@value
class StatusQuestion:
    """Nothing to choose."""


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


@value
class LogStatus:
    """`refusal` says why nothing is signed at present. `findings` stand until the same check no longer makes them."""

    origin: str | None
    entries: int
    refusal: str | None
    findings: tuple[FindingView, ...]
    checks: tuple[CheckView, ...]


@log.reads("/log/status", "audit.status", dated=True)
def status(desk: Desk, asked: StatusQuestion) -> LogStatus:
    """Read how the log stands: its length, what the checks found, and when they last ran."""
    return desk.ask("audit", "status", asked, LogStatus)


@log.reads("/log/key", "audit.key")
def key(desk: Desk, asked: LogQuestion) -> LogKey:
    """Read the public key of the log."""
    return desk.ask("audit", "key", asked, LogKey)


@log.reads("/log/checkpoint", "audit.checkpoint")
def checkpoint(desk: Desk, asked: LogQuestion) -> CheckpointView:
    """Read the newest signed checkpoint."""
    return desk.ask("audit", "checkpoint", asked, CheckpointView)


@log.reads("/log/entries", "audit.entries")
def entries(desk: Desk, asked: EntriesQuestion) -> EntriesPage:
    """Read entries of the log in their order."""
    require_limit(asked.limit)
    return desk.ask("audit", "entries", asked, EntriesPage)


@log.reads("/log/receipts/<disclosure_id>", "audit.receipt")
def receipt(desk: Desk, asked: ReceiptQuestion) -> ReceiptView:
    """Read the receipt of a disclosure."""
    return desk.ask("audit", "receipt", asked, ReceiptView)


@log.reads("/log/consistency", "audit.consistency")
def consistency(desk: Desk, asked: ConsistencyQuestion) -> ConsistencyView:
    """Read the proof that a newer log still contains an older one."""
    return desk.ask("audit", "consistency", asked, ConsistencyView)


@log.reads("/log/break-glass", "audit.break_glass", dated=True)
def break_glass(desk: Desk, asked: BreakGlassQuestion) -> BreakGlassReport:
    """Read how often emergencies were used, and which reviews are overdue."""
    if not 1 <= asked.days <= LONGEST_REPORT:
        fault = ("/days", "out of range", f"choose 1 to {LONGEST_REPORT}")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
    return desk.ask("audit", "break_glass", asked, BreakGlassReport)


@log.reads("/log/uses", "audit.uses_of_norm", dated=True)
def uses_of_norm(desk: Desk, asked: UsesQuestion) -> UsesView:
    """Read how often the own agency's decisions cite a norm, and when last."""
    return desk.ask("audit", "uses_of_norm", asked, UsesView)


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
class NewSearch:
    """`reason` says why; it is kept sealed, and the search is an entry of the log."""

    wanted: Wanted
    reason: str
    search_id: str | None = None


@value
class SearchLog:
    search_id: str
    wanted: Wanted
    reason: Annotated[str | Erased, Sealed("search_id")]


@value
class SearchQuestion:
    """`after` is the `next` of the page before; `limit` 1 to 500."""

    search_id: str
    after: str = ""
    limit: int = 50


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
    cannot be searched yet.
    """

    deleted: int
    dropped: int
    not_yet: int


@value
class FoundPage:
    items: tuple[FoundEntry, ...]
    next: str | None
    unseen: Unseen


@value
class NewExport:
    """`what` is `subject` (with `person_id`), `case` (with `case_id` and its `person_id`) or `period` (with both days,
    which count). `open` names what is opened for a subject or a case: person, case, decided_by, facts, reasons.
    """

    what: str
    reason: str
    person_id: str | None = None
    case_id: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    open: tuple[str, ...] = ("person", "case")
    export_id: str | None = None


@value
class ExportLog:
    export_id: str
    what: str
    reason: Annotated[str | Erased, Sealed("export_id")]
    person_id: str | None
    case_id: str | None
    first_day: date | None
    last_day: date | None
    open: tuple[str, ...]


@value
class BundleQuestion:
    """`after` is the `next` of the page before; `limit` 1 to 500."""

    export_id: str
    after: str = ""
    limit: int = 200


@value
class BundlePage:
    """The next lines of a bundle, of `total`. All lines, each ended by a line feed, are the file that
    `handschlag log verify bundle` proves.
    """

    export_id: str
    lines: Annotated[tuple[str, ...] | Erased, Sealed("export_id")]
    next: str | None
    total: int


@log.reads("/log/searches/<search_id>", "audit.found", dated=True)
def found(desk: Desk, asked: SearchQuestion) -> FoundPage:
    """Read what a search of one's own finds."""
    require_limit(asked.limit)
    return desk.ask("audit", "found", asked, FoundPage)


@log.changes("POST", "/log/searches", "audit.search", shows=found, personal=("reason",))
def search(desk: Desk, new: NewSearch) -> SearchQuestion:
    """Search the log, by a person or by what entries say; the search itself is logged first."""
    search_id = desk.new_id(new.search_id, "search_id")
    command = SearchLog(search_id=search_id, wanted=new.wanted, reason=_stated(new.reason))
    desk.ask("audit", "search", command, ReceiptView)
    return SearchQuestion(search_id=search_id)


@log.reads("/log/exports/<export_id>", "audit.bundle", dated=True)
def bundle(desk: Desk, asked: BundleQuestion) -> BundlePage:
    """Read the next lines of an export of one's own."""
    require_limit(asked.limit)
    return desk.ask("audit", "bundle", asked, BundlePage, timeout=SLOW)


@log.changes("POST", "/log/exports", "audit.export", shows=bundle, personal=("reason",))
def export(desk: Desk, new: NewExport) -> BundleQuestion:
    """Take a subject, a case or a period along, to be verified elsewhere; the export itself is logged first."""
    export_id = desk.new_id(new.export_id, "export_id")
    command = ExportLog(
        export_id=export_id,
        what=new.what,
        reason=_stated(new.reason),
        person_id=new.person_id,
        case_id=new.case_id,
        first_day=new.first_day,
        last_day=new.last_day,
        open=new.open,
    )
    desk.ask("audit", "export", command, ReceiptView, timeout=SLOW)
    return BundleQuestion(export_id=export_id)


def _stated(reason: str) -> str:
    if not reason.strip():
        fault = ("/reason", "this is empty", "say why the log is read")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
    return reason
