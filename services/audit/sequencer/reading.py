"""Reading the log: heads, nodes, entries, receipts. Everything takes a connection and changes nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, and_, cast, func, or_, select

from services.audit.domain.log import LogName
from services.audit.tables import checkpoint, entry, entry_key, head, leaf, node, opening
from shared.audit import Opening, Reference
from shared.merkle import HASH_LENGTH, Frontier, Node, ReadNodes, complete_subtrees, inclusion_path
from shared.notes import Proof

AT_ONCE = 400
T = TypeVar("T")


@dataclass(frozen=True)
class Head:
    """How far a log goes."""

    name: LogName
    log: str
    frontier: Frontier


@dataclass(frozen=True)
class LoggedEntry:
    """An entry with its receipt. `openings` opens the commitments, as far as they have not been destroyed."""

    idx: int
    origin: str
    leaf_bytes: bytes
    receipt_text: str
    openings: Mapping[str, Opening] = field(default_factory=dict, repr=False)

    @property
    def reference(self) -> Reference:
        return Reference(self.origin, self.idx)


@dataclass(frozen=True)
class Entry:
    """A row of the log. The bytes are None once they were deleted; place and hash remain."""

    idx: int
    origin: str
    leaf_hash: bytes
    leaf_bytes: bytes | None


@dataclass(frozen=True)
class Finding:
    """What is wrong with a log, and where."""

    log: str
    code: str
    index: int | None = None


def heads(tx: Connection, agency: str | None = None) -> list[Head]:
    """All logs, oldest first."""
    query = select(head).order_by(head.c.agency, head.c.year, head.c.part)
    return [_head(row) for row in tx.execute(query if agency is None else query.where(head.c.agency == agency))]


def latest_head(tx: Connection, agency: str) -> Head | None:
    """The log that is being written, its row locked until the transaction ends."""
    query = select(head).where(head.c.agency == agency).order_by(head.c.year.desc(), head.c.part.desc()).limit(1)
    row = tx.execute(query.with_for_update()).first()
    return _head(row) if row else None


def nodes_of(tx: Connection, log: str) -> ReadNodes:
    """Hashes of complete subtrees, as the tables have them. One that is missing reads as no hash at all."""

    def read(nodes: Sequence[Node]) -> Mapping[Node, bytes]:
        leaves = [index for level, index in nodes if not level]
        found: dict[Node, bytes] = dict.fromkeys(nodes, b"")
        for part in chunks(leaves):
            rows = tx.execute(select(leaf.c.idx, leaf.c.leaf_hash).where(leaf.c.log == log, leaf.c.idx.in_(part)))
            found.update({(0, idx): bytes(hashed) for idx, hashed in rows})
        for inner in chunks([each for each in nodes if each[0]]):
            # Each place in full: for `(level, idx) in (...)` SQLite reads all nodes of the log.
            places = (and_(node.c.log == log, node.c.level == level, node.c.idx == index) for level, index in inner)
            rows = tx.execute(select(node.c.level, node.c.idx, node.c.hash).where(or_(*places)))
            found.update({(row.level, row.idx): bytes(row.hash) for row in rows})
        return found

    return read


def frontier_at(tx: Connection, log: str, size: int) -> Frontier | None:
    """The right edge of the tree of `size`, from leaves and nodes themselves; None if some are missing."""
    wanted = complete_subtrees(0, size)
    found = nodes_of(tx, log)(wanted)
    peaks = tuple(found[each] for each in wanted)
    return Frontier(size, peaks) if all(len(peak) == HASH_LENGTH for peak in peaks) else None


def last_checkpoint(tx: Connection, log: str) -> tuple[int, str] | None:
    query = select(checkpoint.c.size, checkpoint.c.note).where(checkpoint.c.log == log)
    row = tx.execute(query.order_by(checkpoint.c.size.desc()).limit(1)).first()
    return (row.size, row.note) if row else None


def keys_taken(tx: Connection, agency: str, keys: Iterable[str]) -> set[str]:
    taken: set[str] = set()
    for part in chunks(list(keys)):
        query = select(entry_key.c.key).where(entry_key.c.agency == agency, entry_key.c.key.in_(part))
        taken.update(tx.scalars(query))
    return taken


def place_of(tx: Connection, agency: str, key: str) -> tuple[str, int] | None:
    query = select(entry_key.c.log, entry_key.c.idx).where(entry_key.c.agency == agency, entry_key.c.key == key)
    row = tx.execute(query).first()
    return (row.log, row.idx) if row else None


class Said(NamedTuple):
    """An entry as the tables have it, without its receipt."""

    origin: str
    idx: int
    leaf_bytes: bytes


def said_under(tx: Connection, agency: str, keys: Sequence[str]) -> dict[str, Said]:
    """By key; keys under which nothing stands, or nothing any more, are absent."""
    found: dict[str, Said] = {}
    here = and_(entry.c.log == entry_key.c.log, entry.c.idx == entry_key.c.idx)
    for part in chunks(list(keys)):
        query = select(entry_key.c.key, entry.c.log, entry.c.idx, entry.c.bytes).join_from(entry_key, entry, here)
        for row in tx.execute(query.where(entry_key.c.agency == agency, entry_key.c.key.in_(part))):
            if row.bytes is not None:
                found[row.key] = Said(row.log, row.idx, bytes(row.bytes))
    return found


def receipt_of(tx: Connection, log: str, idx: int) -> str | None:
    """Under the first checkpoint that covers the entry, so that the receipt is the same for ever."""
    query = select(checkpoint.c.size, checkpoint.c.note).where(checkpoint.c.log == log, checkpoint.c.size > idx)
    row = tx.execute(query.order_by(checkpoint.c.size).limit(1)).first()
    if row is None:
        return None
    return str(Proof(idx, inclusion_path(idx, row.size, nodes_of(tx, log)), row.note))


def bytes_of(tx: Connection, log: str, idx: int) -> bytes | None:
    found = tx.scalar(select(entry.c.bytes).where(entry.c.log == log, entry.c.idx == idx))
    return None if found is None else bytes(found)


def openings_of(tx: Connection, log: str, idx: int) -> dict[str, Opening]:
    rows = tx.execute(select(opening).where(opening.c.log == log, opening.c.idx == idx))
    return {
        row.field: Opening(bytes(row.key), None if row.value is None else json.loads(row.value), row.value is not None)
        for row in rows
    }


def entries_query() -> Select[tuple[str, int, bytes, bytes | None]]:
    both = and_(entry.c.log == leaf.c.log, entry.c.idx == leaf.c.idx)
    return select(leaf.c.log, leaf.c.idx, leaf.c.leaf_hash, entry.c.bytes).join_from(leaf, entry, both, isouter=True)


def as_entries(rows: Iterable[Row[tuple[str, int, bytes, bytes | None]]]) -> list[Entry]:
    return [
        Entry(row.idx, row.log, bytes(row.leaf_hash), None if row.bytes is None else bytes(row.bytes)) for row in rows
    ]


def says(tx: Connection, column: ColumnElement[bytes], text: str) -> ColumnElement[bool]:
    """Whether the bytes of an entry contain the text."""
    if tx.dialect.name == "sqlite":
        return func.instr(cast(column, Text), text) > 0
    return func.strpos(func.convert_from(column, "UTF8"), text) > 0


def chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _head(row: Row[tuple[str, str, int, int, int, bytes]]) -> Head:
    name = LogName(row.agency, row.year, row.part)
    return Head(name, row.log, Frontier.from_bytes(row.size, bytes(row.frontier)))
