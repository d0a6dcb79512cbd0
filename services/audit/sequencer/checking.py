"""The full check of a log (fsck): whatever follows from the entries is computed again and compared."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, select

from services.audit.domain.log import ORIGIN_RESTARTED
from services.audit.sequencer.kept_heads import KeptHeads
from services.audit.sequencer.reading import (
    Entry,
    Finding,
    Head,
    as_entries,
    bytes_of,
    entries_query,
    frontier_at,
    heads,
    last_checkpoint,
)
from services.audit.tables import checkpoint, leaf, node
from shared.audit import Leaf
from shared.errors import HandschlagError
from shared.merkle import Frontier, Node, leaf_hash
from shared.notes import Checkpoint, VerifierKey, open_checkpoint

ROWS = 2000


def findings(tx: Connection, agency: str, kept: KeptHeads, public_keys: Sequence[bytes]) -> list[Finding]:
    """Everything that does not agree, log by log. What others were shown is not looked at."""
    logs = heads(tx, agency)
    found = [each for log in logs for each in _tree(tx, log, public_keys)]
    for before, log in zip([None, *logs], logs, strict=False):
        found += _chain(tx, before, log)
    return [*found, *_kept(tx, agency, logs, kept)]


def _tree(tx: Connection, log: Head, public_keys: Sequence[bytes]) -> Iterator[Finding]:
    signed, bad = _checkpoints(tx, log.log, public_keys)
    yield from bad
    frontier, born = Frontier(), dict[Node, bytes]()
    for rows in _rows(tx, log.log):
        for row in rows:
            if row.idx != frontier.size:
                yield Finding(log.log, "log.entry_missing", frontier.size)
                return
            if row.leaf_bytes is not None and leaf_hash(row.leaf_bytes) != row.leaf_hash:
                yield Finding(log.log, "log.entry_changed", row.idx)
            frontier, new = frontier.extended([row.leaf_hash])
            born.update(new)
            if frontier.size in signed and signed[frontier.size].root != frontier.root():
                yield Finding(log.log, "log.root_differs", frontier.size)
        yield from _nodes(tx, log.log, born)
        born = {}
    if frontier != log.frontier:
        yield Finding(log.log, "log.head_differs", log.frontier.size)
    top = max(signed, default=0)
    if top > frontier.size:
        yield Finding(log.log, "log.entry_missing", frontier.size)
    elif top < frontier.size:
        yield Finding(log.log, "log.not_signed", top)


def _rows(tx: Connection, log: str) -> Iterator[list[Entry]]:
    after = -1
    query = entries_query().order_by(leaf.c.idx).limit(ROWS)
    while rows := as_entries(tx.execute(query.where(leaf.c.log == log, leaf.c.idx > after)).all()):
        yield rows
        after = rows[-1].idx


def _nodes(tx: Connection, log: str, born: Mapping[Node, bytes]) -> Iterator[Finding]:
    levels = defaultdict[int, dict[int, bytes]](dict)
    for (level, idx), hashed in born.items():
        if level:
            levels[level][idx] = hashed
    for level, wanted in levels.items():
        query = select(node.c.idx, node.c.hash).where(node.c.log == log, node.c.level == level)
        rows = tx.execute(query.where(node.c.idx.between(min(wanted), max(wanted))))
        there = {idx: bytes(hashed) for idx, hashed in rows}
        for idx, hashed in wanted.items():
            if there.get(idx) != hashed:
                yield Finding(log, "log.node_differs", idx << level)


def _checkpoints(tx: Connection, log: str, public_keys: Sequence[bytes]) -> tuple[dict[int, Checkpoint], list[Finding]]:
    keys = [VerifierKey(log, key) for key in public_keys]
    signed, bad = dict[int, Checkpoint](), list[Finding]()
    for row in tx.execute(select(checkpoint).where(checkpoint.c.log == log)):
        try:
            opened = open_checkpoint(row.note, keys)
        except HandschlagError as error:
            bad.append(Finding(log, error.code, row.size))
            continue
        if (opened.origin, opened.size) != (log, row.size):
            bad.append(Finding(log, "log.checkpoint_misplaced", row.size))
        signed[opened.size] = opened
    return signed, bad


def _chain(tx: Connection, before: Head | None, log: Head) -> Iterator[Finding]:
    """The first entry of a log names the last checkpoint of the one before, or declares the break."""
    first = _leaf(tx, log.log)
    if first is None or first.kind == ORIGIN_RESTARTED:
        return
    last = last_checkpoint(tx, before.log) if before else None
    if first.previous != (last[1] if last else None):
        yield Finding(log.log, "log.chain_broken", 0)


def _kept(tx: Connection, agency: str, logs: Sequence[Head], kept: KeptHeads) -> Iterator[Finding]:
    """The kept head of each log is one of its own; of a log that a declared break ended, no more is asked."""
    newest, names = kept.newest(agency), [log.name for log in logs]
    if newest and newest not in names:
        yield Finding(newest.origin(kept.prefix), "log.database_behind")
    for log, after in zip(logs, [*logs[1:], None], strict=False):
        if after is None or not _declares_break(tx, after):
            yield from _kept_head(tx, log, kept)


def _kept_head(tx: Connection, log: Head, kept: KeptHeads) -> Iterator[Finding]:
    head, signed = kept.head(log.name), last_checkpoint(tx, log.log)
    if head is None:
        if signed:
            yield Finding(log.log, "log.kept_head_missing")
        return
    known = frontier_at(tx, log.log, head.size) if head.size <= log.frontier.size else None
    if known is None:
        yield Finding(log.log, "log.database_behind", head.size)
    elif known.root() != head.root:
        yield Finding(log.log, "log.database_differs", head.size)
    if signed and signed[0] > head.size:
        yield Finding(log.log, "log.kept_head_old", head.size)


def _declares_break(tx: Connection, log: Head) -> bool:
    first = _leaf(tx, log.log)
    return first is None or first.kind == ORIGIN_RESTARTED


def _leaf(tx: Connection, log: str) -> Leaf | None:
    """The first entry, unless its bytes were deleted."""
    data = bytes_of(tx, log, 0)
    return None if data is None else Leaf.parse(data)
