"""What the log forgets: what opens entries, entries themselves, whole years. Proofs of position and count stay.

All of it in the transaction of the caller, who notes what was deleted in the same transaction (`erasure`) and logs it
afterwards. Deleting entries and years takes an open door (`tables.py`).
"""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, Table, delete, insert, select, update

from services.audit.sequencer.reading import chunks
from services.audit.tables import (
    checkpoint,
    cosignature,
    entry,
    entry_key,
    erasure,
    leaf,
    node,
    opening,
    pending,
    subject,
    witness_trouble,
)

SLICE = 20_000
"""Leaves of a dropped year that go in one transaction."""


def forget(tx: Connection, agency: str, person: str) -> int:
    """Destroys keys and values of the commitments in a person's entries and takes the person out of the index (Art. 17
    DSGVO, § 84 SGB X). How many entries that were: they still verify, and no longer tell of whom or what.
    """
    mine = subject.c.agency == agency, subject.c.person == person
    places = tx.execute(select(subject.c.log, subject.c.idx).where(*mine)).all()
    for log, idx in places:
        tx.execute(delete(opening).where(opening.c.log == log, opening.c.idx == idx))
    tx.execute(delete(subject).where(*mine))
    waiting = pending.c.agency == agency, pending.c.person == person
    tx.execute(update(pending).where(*waiting).values(person=None, openings="{}"))
    return len(places)


def note(tx: Connection, name: str, agency: str, *, reason: str, details: dict[str, str], at: str) -> None:
    """Note what was deleted, to be logged as an entry. The same `name` again changes nothing."""
    if tx.execute(select(erasure.c.id).where(erasure.c.id == name)).first() is None:
        row = {"id": name, "agency": agency, "reason": reason, "details": json.dumps(details), "at": at}
        tx.execute(insert(erasure).values(**row))


def delete_openings(tx: Connection, log: str, indexes: Sequence[int]) -> int:
    """Who and what of these entries; how many of them still had any."""
    had = set[int]()
    for part in chunks(indexes):
        for table in (opening, subject):
            here = table.c.log == log, table.c.idx.in_(part)
            had |= set(tx.scalars(select(table.c.idx).where(*here)))
            tx.execute(delete(table).where(*here))
    return len(had)


def delete_entries(tx: Connection, log: str, indexes: Sequence[int]) -> int:
    """The bytes of these entries and all that opens them; how many there were."""
    delete_openings(tx, log, indexes)
    gone = 0
    for part in chunks(indexes):
        gone += tx.execute(delete(entry).where(entry.c.log == log, entry.c.idx.in_(part))).rowcount
    return gone


def delete_slice_of_year(tx: Connection, log: str) -> bool:
    """The next leaves of a year that is being dropped, with everything that hangs on them; False when all is gone."""
    first = tx.scalar(select(leaf.c.idx).where(leaf.c.log == log).order_by(leaf.c.idx).limit(1))
    if first is None:
        return _last_of_year(tx, log)
    for table in (opening, subject, entry, entry_key, leaf):
        tx.execute(delete(table).where(table.c.log == log, table.c.idx >= first, table.c.idx < first + SLICE))
    for level in range(1, 64):
        until = (first + SLICE) >> level
        tx.execute(delete(node).where(node.c.log == log, node.c.level == level, node.c.idx < until))
    return True


def _last_of_year(tx: Connection, log: str) -> bool:
    rest: tuple[Table, ...] = (node, cosignature, witness_trouble, checkpoint)
    return bool(sum(tx.execute(delete(table).where(table.c.log == log)).rowcount for table in rest))
