"""Cosignatures in the tables: what witnesses signed below the checkpoints, and what is served with them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from services.audit.sequencer.reading import Finding, last_checkpoint, nodes_of, receipt_of
from services.audit.tables import checkpoint, cosignature, witness_trouble
from shared.clock import timestamp
from shared.errors import HandschlagError
from shared.merkle import inclusion_path
from shared.notes import Proof, VerifierKey, open_note
from shared.witness import Policy

LOOKED_AT = 200
"""How many cosigned checkpoints behind an entry are looked at for one that met the policy."""


@dataclass(frozen=True)
class Standing:
    """How far one witness got with one log: `cosigned` of the `size` entries of its newest checkpoint; `code` and
    `since` say what has kept it from more, where something did.
    """

    log: str
    witness: str
    cosigned: int
    size: int
    code: str | None = None
    since: str | None = None


def with_cosignatures(tx: Connection, log: str, size: int, note: str) -> str:
    """The checkpoint with a line of each witness that has cosigned it."""
    lines = tx.scalars(
        select(cosignature.c.line)
        .where(cosignature.c.log == log, cosignature.c.size == size)
        .order_by(cosignature.c.at, cosignature.c.witness)
    )
    return note + "".join(lines)


def cosigners(tx: Connection, log: str, size: int) -> set[VerifierKey]:
    """Whose cosignature below this checkpoint holds; what the table merely says counts nothing."""
    note = tx.scalar(select(checkpoint.c.note).where(checkpoint.c.log == log, checkpoint.c.size == size))
    rows = tx.execute(select(cosignature).where(cosignature.c.log == log, cosignature.c.size == size)).all()
    return {VerifierKey.parse(row.witness) for row in rows if note is not None and _holds(note, row)}


def cosignature_findings(tx: Connection, logs: Iterable[str]) -> Iterator[Finding]:
    """Cosignatures that do not belong to the checkpoint they stand below."""
    for log in logs:
        both = (checkpoint.c.log == cosignature.c.log) & (checkpoint.c.size == cosignature.c.size)
        found = select(cosignature, checkpoint.c.note).join_from(cosignature, checkpoint, both, isouter=True)
        for row in tx.execute(found.where(cosignature.c.log == log)):
            if row.note is None or not _holds(row.note, row):
                yield Finding(log, "log.cosignature", row.size)


def is_witnessed(tx: Connection, log: str, policy: Policy) -> bool:
    """Whether the last checkpoint of the log has the cosignatures that the policy asks for."""
    signed = last_checkpoint(tx, log)
    return signed is not None and policy.met_by_keys(cosigners(tx, log, signed[0]))


def witnessed_receipt_of(tx: Connection, log: str, idx: int, policy: Policy) -> str | None:
    """Under the first checkpoint behind the entry that met the policy; before there is one, under the first at all,
    with what cosignatures it has.
    """
    known = cosignature.c.witness.in_([str(key) for key in policy.keys])
    sizes = select(cosignature.c.size).where(cosignature.c.log == log, cosignature.c.size > idx, known)
    enough = sizes.group_by(cosignature.c.size).having(func.count() >= policy.fewest)
    for size in tx.scalars(enough.order_by(cosignature.c.size).limit(LOOKED_AT)).all():
        if policy.met_by_keys(cosigners(tx, log, size)):
            note = tx.scalar(select(checkpoint.c.note).where(checkpoint.c.log == log, checkpoint.c.size == size))
            if note is not None:
                path = inclusion_path(idx, size, nodes_of(tx, log))
                return str(Proof(idx, path, with_cosignatures(tx, log, size, note)))
    receipt = receipt_of(tx, log, idx)
    if receipt is None:
        return None
    proof = Proof.parse(receipt)
    size = int(proof.checkpoint.split("\n", 2)[1])
    return str(Proof(idx, proof.path, with_cosignatures(tx, log, size, proof.checkpoint)))


def keep_cosignatures(tx: Connection, log: str, size: int, note: str, keys: Iterable[VerifierKey]) -> int:
    """Keep the good cosignatures of these witnesses below `note`, a checkpoint that we signed ourselves; how many are
    new. Raises `NotProven` when none is good, or one is bad.
    """
    good = [each for each in open_note(note, keys).signatures if each.time is not None]
    here = cosignature.c.log == log, cosignature.c.size == size
    known = set(tx.scalars(select(cosignature.c.witness).where(*here)))
    rows = [
        {"log": log, "size": size, "witness": str(each.key), "at": each.time, "line": each.line}
        for each in good
        if str(each.key) not in known
    ]
    if rows:
        tx.execute(insert(cosignature), rows)
    return len(rows)


def cosigned_up_to(tx: Connection, log: str, key: VerifierKey) -> int:
    """The largest size that this witness has cosigned, as far as we know; 0 for none."""
    mine = cosignature.c.log == log, cosignature.c.witness == str(key)
    query = select(cosignature.c.size).where(*mine).order_by(cosignature.c.size.desc()).limit(1)
    return tx.scalar(query) or 0


def trouble(tx: Connection, log: str, key: VerifierKey, *, code: str, size: int, now: datetime) -> None:
    """Note what kept a witness from cosigning; `since` stays that of the first time."""
    here = witness_trouble.c.log == log, witness_trouble.c.witness == str(key)
    known = tx.execute(select(witness_trouble).where(*here)).first()
    if known is not None and known.code == code:
        values = {"size": size, "attempts": known.attempts + 1}
        tx.execute(update(witness_trouble).where(*here).values(**values))
        return
    tx.execute(delete(witness_trouble).where(*here))
    row = {"log": log, "witness": str(key), "code": code, "size": size, "since": timestamp(now), "attempts": 1}
    tx.execute(insert(witness_trouble).values(**row))


def no_trouble(tx: Connection, log: str, key: VerifierKey) -> None:
    tx.execute(delete(witness_trouble).where(witness_trouble.c.log == log, witness_trouble.c.witness == str(key)))


def standings(tx: Connection, logs: Sequence[str], policy: Policy) -> list[Standing]:
    """How far each witness of the policy got with each log that has signed something."""
    found = []
    for log in logs:
        signed = last_checkpoint(tx, log)
        if signed is None:
            continue
        query = select(witness_trouble).where(witness_trouble.c.log == log)
        troubles = {row.witness: row for row in tx.execute(query)}
        for each in policy.witnesses.values():
            row = troubles.get(str(each.key))
            about = (row.code, row.since) if row else (None, None)
            found.append(Standing(log, each.name, cosigned_up_to(tx, log, each.key), signed[0], *about))
    return found


def _holds(note: str, row: Row[Any]) -> bool:
    try:
        open_note(note + row.line, [VerifierKey.parse(row.witness)])
    except HandschlagError:
        return False
    return True
