"""Entering entries into the tables: the tree, the entries, and what may be forgotten beside them."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from services.audit.domain.log import LogName
from services.audit.sequencer.reading import AT_ONCE, Head
from services.audit.tables import entry, entry_key, head, leaf, node, opening, pending, subject
from shared.audit import Leaf, Opening
from shared.clock import timestamp
from shared.errors import HandschlagError
from shared.merkle import Frontier, Node, leaf_hash

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """What is to be logged."""

    agency: str
    key: str
    leaf: Leaf
    data: bytes
    openings: Mapping[str, Opening] = field(default_factory=dict)
    person: str | None = None


@dataclass(frozen=True)
class Batch:
    """What one round added to one log."""

    name: LogName
    log: str
    before: Frontier
    after: Frontier
    born: Mapping[Node, bytes]
    items: Sequence[tuple[int, Item]]


def first_key(log: str) -> str:
    """The key of the entry that opens a log."""
    return f"log:{log}"


def open_log(tx: Connection, name: LogName, log: str) -> Head:
    """An empty log."""
    row = {"log": log, "agency": name.agency, "year": name.year, "part": name.part, "size": 0, "frontier": b""}
    tx.execute(insert(head).values(row))
    return Head(name, log, Frontier())


def enter(tx: Connection, onto: Head, items: Sequence[Item]) -> Batch:
    """Put the items behind what is there: leaves, inner nodes, and everything kept beside them."""
    log, before = onto.log, onto.frontier
    hashes = [leaf_hash(item.data) for item in items]
    after, born = before.extended(hashes)
    placed = list(enumerate(items, start=before.size))
    _insert(
        tx,
        leaf,
        [{"log": log, "idx": before.size + at, "leaf_hash": each} for at, each in enumerate(hashes)],
    )
    _insert(
        tx,
        node,
        [{"log": log, "level": level, "idx": idx, "hash": each} for (level, idx), each in born.items() if level],
    )
    _insert(tx, entry, [_entry_row(log, idx, item) for idx, item in placed])
    _insert(tx, entry_key, [{"agency": i.agency, "key": i.key, "log": log, "idx": idx} for idx, i in placed])
    _insert(
        tx,
        subject,
        [
            {"log": log, "idx": idx, "agency": item.agency, "person": item.person}
            for idx, item in placed
            if item.person is not None
        ],
    )
    _insert(tx, opening, [row for idx, item in placed for row in _opening_rows(log, idx, item)])
    grown = {"size": after.size, "frontier": after.to_bytes()}
    tx.execute(update(head).where(head.c.log == log).values(grown))
    return Batch(onto.name, log, before, after, born, placed)


def pending_row(item: Item) -> dict[str, Any]:
    openings = {
        name: [each.key.hex(), each.value if each.kept else None, each.kept] for name, each in item.openings.items()
    }
    return {
        "agency": item.agency,
        "key": item.key,
        "bytes": item.data,
        "person": item.person,
        "openings": json.dumps(openings),
    }


def pending_openings(text: str) -> dict[str, Opening]:
    return {name: Opening(bytes.fromhex(key), value, kept) for name, (key, value, kept) in json.loads(text).items()}


def left_for(tx: Connection, agency: str) -> tuple[list[Item], list[int]]:
    """What other processes left, in their order, and the rows it lies in. A row that holds no leaf was not
    written by us: it goes without becoming an entry.
    """
    query = select(pending).where(pending.c.agency == agency).order_by(pending.c.id).limit(AT_ONCE)
    items, ids = list[Item](), list[int]()
    for row in tx.execute(query.with_for_update()):
        ids.append(row.id)
        try:
            items.append(_item(row))
        except (HandschlagError, ValueError):
            _logger.warning("a pending entry of the audit log was no entry and is dropped")
    return items, ids


def _item(row: Any) -> Item:
    data = bytes(row.bytes)
    return Item(row.agency, row.key, Leaf.parse(data), data, pending_openings(row.openings), row.person)


def entry_columns(said: Leaf) -> dict[str, Any]:
    """By what an entry is found, drawn from what it says."""
    about, time = said.about, said.time
    return {
        "kind": said.kind,
        "about_log": about.log if about else None,
        "about_idx": about.index if about else None,
        "at": timestamp(time) if time else "",
    }


def _entry_row(log: str, idx: int, item: Item) -> dict[str, Any]:
    return {"log": log, "idx": idx, "bytes": item.data, **entry_columns(item.leaf)}


def _opening_rows(log: str, idx: int, item: Item) -> list[dict[str, Any]]:
    return [
        {
            "log": log,
            "idx": idx,
            "field": name,
            "key": each.key,
            "value": json.dumps(each.value) if each.kept else None,
        }
        for name, each in item.openings.items()
    ]


def _insert(tx: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        tx.execute(insert(table), rows)
