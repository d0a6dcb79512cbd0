"""The tamper-evident log: its key, its checkpoints, entries and proofs."""

from services.gateway.operations import Desk, Resource, require_limit
from shared.domain import value
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
