"""Large audit logs in a moment: the rows that the sequencer and the search would have written, put in by the thousand.

What is seeded is not signed. The log signs its head when it starts, and everything after that goes its usual way.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Table

from services.audit import tables
from services.audit.domain.log import LogName
from services.audit.search import terms
from shared.audit import Leaf
from shared.clock import SystemClock, timestamp
from shared.database import Database
from shared.merkle import Frontier, leaf_hash
from shared.notes import Checkpoint, log_verifier_key, sign_note

AGENCY = "bench"
PERSON = "sought"
RARE_PURPOSE = "reimbursement_claim"
CHUNK = 10_000
RARE = 500
"""So many entries of a log, whatever its size, are about that person and that purpose."""

Told = Callable[[int], None]


def seed(database: Database, prefix: str, size: int, told: Told) -> None:
    """An unsigned log of this year with `size` entries."""
    name = LogName(AGENCY, SystemClock().today().year)
    log, tree = name.origin(prefix), Frontier()
    every = max(1, size // RARE)
    for start in range(0, size, CHUNK):
        with database.write() as tx:
            tree = _chunk(tx, log, tree, range(start, min(start + CHUNK, size)), every)
        told(tree.size)
    with database.write() as tx:
        _put(tx, tables.head, [(log, AGENCY, name.year, name.part, size, tree.to_bytes())])
        _put(tx, tables.search_mark, [(log, size, 0)])


def _chunk(tx: Connection, log: str, tree: Frontier, indexes: range, every: int) -> Frontier:
    leaves = [_leaf(index, rare=index % every == 0) for index in indexes]
    hashes = [leaf_hash(data) for _, data, _ in leaves]
    grown, born = tree.extended(hashes)
    entries = [
        (log, index, data, "looked", None, None, at) for index, (at, data, _) in zip(indexes, leaves, strict=True)
    ]
    found = [
        (log, index, term, AGENCY, at)
        for index, (at, _, words) in zip(indexes, leaves, strict=True)
        for term in sorted(words)
    ]
    _put(tx, tables.leaf, [(log, index, each) for index, each in zip(indexes, hashes, strict=True)])
    _put(tx, tables.node, [(log, level, at, each) for (level, at), each in born.items() if level])
    _put(tx, tables.entry, entries)
    _put(tx, tables.entry_key, [(AGENCY, f"seed-{index}", log, index) for index in indexes])
    _put(tx, tables.entry_term, found)
    rare = [index for index in indexes if index % every == 0]
    _put(tx, tables.subject, [(log, index, AGENCY, PERSON) for index in rare])
    return grown


def _put(tx: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    with closing(tx.connection.cursor()) as cursor:
        if tx.dialect.name == "postgresql":
            with cursor.copy(f"copy {table.name} ({columns}) from stdin") as copy:  # type: ignore[attr-defined]
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join("?" * len(table.columns))
            cursor.executemany(f"insert into {table.name} ({columns}) values ({places})", rows)


_BEGINNING = datetime(SystemClock().today().year, 1, 1, 12, tzinfo=UTC)
_NONCE, _TIME = "5eed" * 16, timestamp(_BEGINNING)


def _pattern(purpose: str) -> tuple[str, set[str]]:
    leaf = Leaf(kind="looked", nonce=_NONCE, time=_BEGINNING, sender="jobcenter", purpose=purpose)
    return leaf.to_bytes().decode(), terms(leaf)


_COMMON, _SOUGHT = _pattern("case_conference"), _pattern(RARE_PURPOSE)


def _leaf(index: int, *, rare: bool) -> tuple[str, bytes, set[str]]:
    """The entry of one second: its time, its bytes, and the terms under which it is found."""
    text, words = _SOUGHT if rare else _COMMON
    at = timestamp(_BEGINNING + timedelta(seconds=index))
    return at, text.replace(_NONCE, f"{index:064x}").replace(_TIME, at).encode(), words


def dump_of(path: Path, size: int, told: Told) -> str:
    """A dump as `handschlag log dump` writes it; answers the verifier key of its log."""
    signer, log, tree = Ed25519PrivateKey.generate(), f"bench.example/{AGENCY}/2026", Frontier()
    with path.open("w", encoding="utf-8") as file:
        file.write(_line({"format": "handschlag-log-dump@v1", "log": log, "size": size}))
        for start in range(0, size, CHUNK):
            leaves = [_leaf(index, rare=False)[1] for index in range(start, min(start + CHUNK, size))]
            hashes = [leaf_hash(each) for each in leaves]
            tree, _ = tree.extended(hashes)
            file.writelines(_dumped(start, hashes, leaves))
            told(tree.size)
        file.write(_line({"checkpoint": sign_note(str(Checkpoint(log, size, tree.root())), (log, signer))}))
    return log_verifier_key(log, signer.public_key())


def _dumped(start: int, hashes: Iterable[bytes], leaves: Iterable[bytes]) -> Iterator[str]:
    for index, (hashed, leaf) in enumerate(zip(hashes, leaves, strict=True), start):
        yield _line({"index": index, "hash": hashed.hex(), "leaf": leaf.decode()})


def _line(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
