"""One bit changed anywhere in the log, and whoever the design names finds it.

`HANDSCHLAG_BIT_FLIPS` says how many; `make chaos` takes ten thousand.
"""

import os
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from services.audit.sequencer import AuditLog
from shared.audit import Leaf, verify_opening
from shared.errors import HandschlagError
from tests.audit.conftest import AGENCY, Installation
from tests.support.receipts import CONTENT, intent

FLIPS = int(os.environ.get("HANDSCHLAG_BIT_FLIPS", "300"))
TABLES = ("head", "leaf", "node", "checkpoint", "entry", "entry_key", "subject", "opening")
VALUES = {"person": "p-1", "case": "c-1", **{f"content.{category}": value for category, value in CONTENT.items()}}


@dataclass
class Change:
    """A bit of one field of one row."""

    table: str
    row: int
    column: str
    before: Any
    after: Any


def flipped(chance: random.Random, value: Any) -> Any:
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(max(value.bit_length(), 4)))
    data = bytearray(value.encode() if isinstance(value, str) else value)
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(7 if isinstance(value, str) else 8)
    return data.decode() if isinstance(value, str) else bytes(data)


def any_change(chance: random.Random, file: sqlite3.Connection) -> Change:
    while True:
        table = chance.choice(TABLES)
        rows = file.execute(f"select rowid, * from {table} order by rowid").fetchall()
        columns = [each[1] for each in file.execute(f"pragma table_info({table})")]
        rowid, *values = chance.choice(rows)
        there = [(column, value) for column, value in zip(columns, values, strict=True) if value not in (None, "", b"")]
        column, value = chance.choice(there)
        return Change(table, rowid, column, value, flipped(chance, value))


def write(file: sqlite3.Connection, change: Change, value: Any) -> bool:
    try:
        with file:
            file.execute(f"update {change.table} set {change.column} = ? where rowid = ?", (value, change.row))
    except sqlite3.IntegrityError:
        return False
    return True


def found_by(log: AuditLog, keys: dict[str, int], origin: str) -> str:
    """Who finds that something is wrong: the full check, whoever holds the values, or whoever asks by the key."""
    if log.fsck(AGENCY):
        return "full check"
    for index in keys.values():
        said = log.entries(AGENCY, after=index - 1, limit=1)[0]
        opened = log.openings(AGENCY, origin, index)
        for name, each in opened.items():
            try:
                verify_opening(Leaf.parse(said.leaf_bytes or b""), name, each.key, VALUES[name])
            except (HandschlagError, KeyError):
                return "holder of the values"
    if any((entry := log.find(AGENCY, key)) is None or entry.idx != index for key, index in keys.items()):
        return "whoever asks by the key"
    return "nobody"


@pytest.mark.timeout(0)
def test_no_bit_changes_unseen(on_file: Installation) -> None:
    log, keys = on_file.log(), {}
    for number in range(5):
        leaf, openings = intent()
        keys[f"d-{number}"] = log.append(AGENCY, leaf, key=f"d-{number}", openings=openings, person="p-1").idx
    origin = log.origins(AGENCY)[-1]
    log.stop()
    chance, finders, unseen = random.Random(4), Counter[str](), list[Change]()
    with closing(sqlite3.connect(on_file.folder / "audit.db")) as file:
        for (trigger,) in file.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            file.execute(f"drop trigger {trigger}")
        assert found_by(log, keys, origin) == "nobody"
        while finders.total() < FLIPS:
            change = any_change(chance, file)
            if write(file, change, change.after):
                finder = found_by(log, keys, origin)
                finders[finder] += 1
                if finder == "nobody":
                    unseen.append(change)
                write(file, change, change.before)
    assert unseen == []
    assert finders["full check"] > finders.total() / 2
