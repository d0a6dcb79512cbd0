"""What stands beside the tree and follows from the entries: the columns by which they are found, what opens them, whom
they are about, and under which key they came.

All of it may be forgotten, so that none of it has to be there. What is there has to agree.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from services.audit.sequencer.entering import entry_columns, first_key
from services.audit.sequencer.reading import Finding, Head
from services.audit.tables import checkpoint, entry, entry_key, head, leaf, node, opening, subject
from shared.audit import KEY_LENGTH, Leaf, commitment
from shared.domain import Json
from shared.errors import HandschlagError

ROWS = 2000
PERSON = "person"


def beside_the_tree(tx: Connection, agency: str, log: Head, pause: Callable[[], None]) -> Iterator[Finding]:
    """What does not agree with the entries of one log. A key under which an entry came is known to its sender alone.

    `pause` is called every few thousand entries.
    """
    for table in (entry, entry_key, subject, opening):
        beyond = select(table.c.idx).where(table.c.log == log.log, table.c.idx >= log.frontier.size).limit(1)
        if (index := tx.scalar(beyond)) is not None:
            yield Finding(log.log, "log.beyond_the_end", index)
    for first in range(0, log.frontier.size, ROWS):
        pause()
        yield from _part(tx, agency, log.log, first)


def strangers(tx: Connection) -> Iterator[Finding]:
    """Rows of logs that nobody opened."""
    known = set(tx.scalars(select(head.c.log)))
    for table in (leaf, node, checkpoint, entry, entry_key, subject, opening):
        log: str | None = ""
        while log := tx.scalar(select(func.min(table.c.log)).where(table.c.log > (log or ""))):
            if log not in known:
                yield Finding(log, "log.unknown_log")


def _part(tx: Connection, agency: str, log: str, first: int) -> Iterator[Finding]:
    said = dict[int, Leaf]()
    for row in tx.execute(_rows(entry, log, first)):
        try:
            said[row.idx] = Leaf.parse(bytes(row.bytes))
        except HandschlagError:
            continue
        if any(getattr(row, name) != value for name, value in entry_columns(said[row.idx]).items()):
            yield Finding(log, "log.entry_columns", row.idx)
    yield from _openings(tx, agency, log, first, said)
    came = {row.idx: row for row in tx.execute(_rows(entry_key, log, first))}
    for index in said:
        here = came.get(index)
        if here is None or here.agency != agency or (index == 0 and here.key != first_key(log)):
            yield Finding(log, "log.key_missing", index)


def _openings(tx: Connection, agency: str, log: str, first: int, said: Mapping[int, Leaf]) -> Iterator[Finding]:
    """Of what opens entries, and of whom they are about: both are kept together, and forgotten together."""
    keys = dict[int, bytes]()
    for row in tx.execute(_rows(opening, log, first)):
        if row.field == PERSON:
            keys[row.idx] = bytes(row.key)
        if row.idx in said and not _opens(said[row.idx], row.field, bytes(row.key), row.value):
            yield Finding(log, "log.opening_differs", row.idx)
    for row in tx.execute(_rows(subject, log, first)):
        key = keys.pop(row.idx, None)
        about = row.idx not in said or (key is not None and _commits(said[row.idx], PERSON, key, row.person))
        if row.agency != agency or not about:
            yield Finding(log, "log.subject_differs", row.idx)
    for index in keys:
        yield Finding(log, "log.subject_missing", index)


def _rows(table: Table, log: str, first: int) -> Select[Any]:
    return select(table).where(table.c.log == log, table.c.idx >= first, table.c.idx < first + ROWS)


def _opens(said: Leaf, name: str, key: bytes, value: str | None) -> bool:
    """As far as it can be told: where the value lies with somebody else, only whether there is such a commitment."""
    if name not in said.commitments or len(key) != KEY_LENGTH:
        return False
    try:
        return value is None or _commits(said, name, key, json.loads(value))
    except ValueError:
        return False


def _commits(said: Leaf, name: str, key: bytes, value: Json) -> bool:
    try:
        return said.commitments.get(name) == commitment(key, value)
    except HandschlagError:
        return False
