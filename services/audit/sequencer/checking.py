"""The full check of a log (fsck): whatever follows from the entries is computed again and compared.

All of it is read from one snapshot while the log goes on. Kept heads are read before the snapshot, so that they cannot
be ahead of it; what only lags behind because a head was just being signed is looked at once more at the end.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, select

from services.audit.domain.log import ORIGIN_RESTARTED, LogName
from services.audit.sequencer.beside import beside_the_tree, strangers
from services.audit.sequencer.cosignatures import cosignature_findings
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
from services.audit.tables import checkpoint, dropped_log, leaf, node
from shared.audit import Leaf
from shared.database import Database
from shared.errors import HandschlagError, Invalid
from shared.merkle import Frontier, Node, leaf_hash
from shared.notes import Checkpoint, VerifierKey, open_checkpoint

ROWS = 2000
ON_ITS_WAY = 0.5
"""Seconds that a head may take from the commit to its signature, before it counts as missing."""

LAGGING = ("log.not_signed", "log.kept_head_old", "log.kept_head_missing")


Pause = Callable[[], None]


def findings(
    database: Database, agency: str, kept: KeptHeads, public_keys: Sequence[bytes], *, pause: Pause
) -> list[Finding]:
    """Everything that does not agree, log by log. What others were shown is not looked at."""
    try:
        return _findings(database, agency, kept, public_keys, pause=pause)
    except (Invalid, ValueError):
        return [Finding(agency, "log.unreadable")]


def _findings(
    database: Database, agency: str, kept: KeptHeads, public_keys: Sequence[bytes], *, pause: Pause
) -> list[Finding]:
    with database.read() as tx:
        before = {log.name: kept.head(log.name) for log in heads(tx, agency)}
        newest = kept.newest(agency)
    with database.read() as tx:
        _one_snapshot(tx)
        logs = heads(tx, agency)
        found = [*strangers(tx), *(each for log in logs for each in _tree(tx, log, public_keys, pause))]
        found += [each for log in logs for each in beside_the_tree(tx, agency, log, pause)]
        found += cosignature_findings(tx, [log.log for log in logs])
        for previous, log in zip([None, *logs], logs, strict=False):
            found += _chain(tx, agency, previous, log)
        found += _kept(tx, logs, newest, kept.prefix, before)
    ends = time.monotonic() + ON_ITS_WAY
    while found and (left := [each for each in found if each.code in LAGGING]):
        with database.read() as tx:
            arrived = [each for each in left if _meanwhile(tx, each, logs, kept)]
        found = [each for each in found if each not in arrived]
        if len(arrived) == len(left) or time.monotonic() > ends:
            break
        time.sleep(0.02)
    return found


def _one_snapshot(tx: Connection) -> None:
    """On SQLite a transaction that reads sees one state anyway."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("set transaction isolation level repeatable read")


def _meanwhile(tx: Connection, finding: Finding, logs: Sequence[Head], kept: KeptHeads) -> bool:
    """Whether it was only a head on its way: signed by now, or kept by now."""
    name = next((log.name for log in logs if log.log == finding.log), None)
    signed = last_checkpoint(tx, finding.log)
    if name is None or signed is None or finding.index is None:
        return False
    if finding.code == "log.not_signed":
        size = next(log.frontier.size for log in logs if log.log == finding.log)
        return signed[0] >= size
    head = kept.head(name)
    return head is not None and head.size >= signed[0]


def _tree(tx: Connection, log: Head, public_keys: Sequence[bytes], pause: Pause) -> Iterator[Finding]:
    signed, bad = _checkpoints(tx, log.log, public_keys)
    yield from bad
    frontier, born = Frontier(), dict[Node, bytes]()
    for rows in _rows(tx, log.log):
        pause()
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


def _chain(tx: Connection, agency: str, before: Head | None, log: Head) -> Iterator[Finding]:
    """The first entry of a log names the last checkpoint of the one before, or declares the break."""
    first = _leaf(tx, log.log)
    if first is None or first.kind == ORIGIN_RESTARTED:
        return
    last = last_checkpoint(tx, before.log) if before else None
    note = last[1] if last else _dropped(tx, agency, first.previous)
    if first.previous != note:
        yield Finding(log.log, "log.chain_broken", 0)


def _dropped(tx: Connection, agency: str, previous: str | None) -> str | None:
    """The last checkpoint of the log named by `previous`, if that year was dropped when its retention ended."""
    gone = select(dropped_log.c.note).where(dropped_log.c.agency == agency)
    origin = previous.split("\n", 1)[0] if previous else ""
    return tx.scalar(gone.where(dropped_log.c.log == origin))


def _kept(
    tx: Connection,
    logs: Sequence[Head],
    newest: LogName | None,
    prefix: str,
    kept: Mapping[LogName, Checkpoint | None],
) -> Iterator[Finding]:
    """The kept head of each log is one of its own; of a log that a declared break ended, no more is asked."""
    if newest and newest not in [log.name for log in logs]:
        yield Finding(newest.origin(prefix), "log.database_behind")
    for log, after in zip(logs, [*logs[1:], None], strict=False):
        if after is None or not _declares_break(tx, after):
            yield from _kept_head(tx, log, kept.get(log.name))


def _kept_head(tx: Connection, log: Head, head: Checkpoint | None) -> Iterator[Finding]:
    signed = last_checkpoint(tx, log.log)
    if head is None:
        if signed:
            yield Finding(log.log, "log.kept_head_missing", 0)
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
