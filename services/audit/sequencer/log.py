"""The audit log of all agencies of one installation: append, find, prove, forget, check.

Promises: an entry that `append` has answered for is durable, signed, and kept at its place for ever. The same
key with the same content is one entry with one receipt, however often it is sent and whatever died in
between; the same key with other content is refused. Without a signed head there is no answer, and so no
disclosure.

We trust the signing key and the folder of kept heads. Somebody who can change the database alone cannot make
it sign anything that contradicts the kept head; somebody who has key, folder and database is seen by those
who hold an older checkpoint, and by nobody else.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from services.audit.domain.log import LogName
from services.audit.sequencer.checking import findings
from services.audit.sequencer.cosignatures import (
    Standing,
    is_witnessed,
    standings,
    with_cosignatures,
    witnessed_receipt_of,
)
from services.audit.sequencer.entering import Item, pending_openings, pending_row
from services.audit.sequencer.forgetting import forget
from services.audit.sequencer.kept_heads import KeptHeads
from services.audit.sequencer.leadership import leadership
from services.audit.sequencer.looking import Looking
from services.audit.sequencer.reading import (
    Finding,
    LoggedEntry,
    Said,
    as_entries,
    bytes_of,
    entries_query,
    heads,
    keys_taken,
    last_checkpoint,
    nodes_of,
    openings_of,
    place_of,
    receipt_of,
    said_under,
)
from services.audit.sequencer.sequencing import PACE, Sequencer, Waiting
from services.audit.tables import checkpoint, leaf, pending
from shared.audit import Leaf, Opening, commitment, verify_opening, verify_receipt
from shared.clock import Clock
from shared.database import Database
from shared.errors import NotFound, Refused, Unavailable
from shared.merkle import consistency_path
from shared.notes import SigningKey, VerifierKey, log_verifier_key
from shared.witness import Policy

DUMP_FORMAT = "handschlag-log-dump@v1"
DUMP_ROWS = 2000


class AuditLog(Looking):
    """`head_dir` keeps the signed heads and must not be part of the database's backup. `former` is the key before the
    last change: for an overlap period both sign, so that readers can change theirs in peace. `retired` are public keys
    that signed before and sign no more; what they signed still counts. `policy` names the witnesses; what they cosigned
    is served with their lines, and no append waits for them.
    """

    def __init__(
        self,
        database: Database,
        signer: SigningKey,
        origin_prefix: str,
        head_dir: Path,
        clock: Clock,
        *,
        former: SigningKey | None = None,
        retired: Sequence[bytes] = (),
        policy: Policy | None = None,
    ) -> None:
        VerifierKey(origin_prefix, signer.public_key().public_bytes_raw())
        signers = [signer, *([former] if former else [])]
        super().__init__(database)
        self._prefix = origin_prefix
        self._clock = clock
        self._policy = policy or Policy()
        self._public_keys = [*(each.public_key().public_bytes_raw() for each in signers), *retired]
        self._kept = KeptHeads(Path(head_dir), origin_prefix, self._public_keys)
        lock = leadership(database, origin_prefix, Path(head_dir))
        self._sequencer = Sequencer(database, signers, origin_prefix, kept=self._kept, leadership=lock, clock=clock)

    def start(self) -> None:
        """Sequence in this process, unless another one does. Without it `append` waits for that other one."""
        self._sequencer.start()

    def stop(self) -> None:
        self._sequencer.stop()

    def append(
        self,
        agency: str,
        leaf: Leaf,
        *,
        key: str,
        openings: Mapping[str, Opening] | None = None,
        person: str | None = None,
        timeout: float = 5.0,
    ) -> LoggedEntry:
        """Log the leaf and wait for the signed head over it.

        `key` names the occasion, such as `disclosure-<id>:intent`. `openings` must open commitments of the
        leaf. `person` goes into the index of persons only. A leaf without a time gets the present one. Sent
        again, nonce, time and commitment keys are those of the first entry, and so are the openings in the
        answer. Raises `Refused` for a key that stands for something else, and `Unavailable` if no head was
        signed in time: then the entry may still come to be, and the same call will find it.
        """
        return self._appended([self._item(agency, leaf, key, openings or {}, person)], timeout)[0]

    def append_together(self, agency: str, leaves: Mapping[str, Leaf], *, timeout: float = 5.0) -> list[LoggedEntry]:
        """As `append`, for leaves by their keys, waiting once for all: the entries in the same order."""
        return self._appended([self._item(agency, leaf, key, {}, None) for key, leaf in leaves.items()], timeout)

    def _appended(self, items: Sequence[Item], timeout: float) -> list[LoggedEntry]:
        deadline = time.monotonic() + timeout
        offers = [(each, self._sequencer.offer(each)) for each in map(Waiting, items)]
        return [self._settled(each, deadline, offered=taken) for each, taken in offers]

    def _settled(self, waiting: Waiting, deadline: float, *, offered: bool) -> LoggedEntry:
        if offered:
            if not waiting.done.wait(max(deadline - time.monotonic(), 0)):
                raise self._too_late(waiting.item.agency)
            if waiting.error:
                raise _not_logged(waiting.error)
            if waiting.entry:
                return self._verified(waiting.entry)
        return self._append_by_database(waiting.item, deadline)

    def said(self, agency: str, keys: Sequence[str]) -> dict[str, Said]:
        """What was logged under each of the keys that are taken, as the tables have it. Unlike `find` it proves
        nothing: whoever relies on it looks at a receipt.
        """
        with self._database.read() as tx:
            return said_under(tx, agency, keys)

    def find(self, agency: str, key: str) -> LoggedEntry | None:
        """The entry this key led to, with its receipt; None if there is none, or no signed head yet."""
        with self._database.read() as tx:
            found = self._find(tx, agency, key)
        return self._verified(found) if found else None

    def checkpoint(self, agency: str, year: int | None = None) -> str:
        """The newest signed head of that year, with its cosignatures; without a year, of the log being written."""
        with self._database.read() as tx:
            log = self._log(tx, agency, year)
            signed = last_checkpoint(tx, log)
            if signed is None:
                raise NotFound("log.no_checkpoint", "this log has signed nothing yet")
            return with_cosignatures(tx, log, *signed)

    def consistency(self, agency: str, old: int, new: int, year: int | None = None) -> tuple[bytes, ...]:
        """What shows that the tree of `new` continues the tree of `old` (RFC 6962, 2.1.2)."""
        with self._database.read() as tx:
            log = self._log(tx, agency, year)
            signed = last_checkpoint(tx, log)
            if not 0 < old <= new <= (signed[0] if signed else 0):
                raise NotFound("log.no_such_size", "both sizes lie between 1 and the newest signed one")
            return consistency_path(old, new, nodes_of(tx, log))

    def receipt(self, agency: str, origin: str, idx: int) -> LoggedEntry:
        """The entry at a place, with its receipt: under the first checkpoint behind it that met the policy of the
        witnesses, and before there is one, under the first at all, as `append` answered it.
        """
        with self._database.read() as tx:
            if origin not in {each.log for each in heads(tx, agency)}:
                raise NotFound("log.no_log", "the agency has no such log")
            found = self._logged(tx, origin, idx)
            witnessed = witnessed_receipt_of(tx, origin, idx, self._policy) if found else None
        if found is None or witnessed is None:
            raise NotFound("log.no_entry", "no signed entry stands there")
        return self._verified(replace(found, receipt_text=witnessed))

    def witnessed(self, origin: str) -> bool:
        """Whether the last checkpoint of this log has the cosignatures that the policy asks for. Never without one."""
        with self._database.read() as tx:
            return bool(self._policy.witnesses) and is_witnessed(tx, origin, self._policy)

    def witnesses(self, agency: str) -> list[Standing]:
        """How far each witness got with each log of the agency. For information: nothing waits for a witness."""
        with self._database.read() as tx:
            return standings(tx, [each.log for each in heads(tx, agency)], self._policy)

    def forget(self, agency: str, person: str) -> int:
        """Destroys what opens a person's entries (`forgetting.forget`). The caller logs the erasure."""
        with self._database.write() as tx:
            return forget(tx, agency, person)

    def verifier_key(self, origin: str) -> str:
        """What a partner needs to check receipts of this log."""
        return log_verifier_key(origin, self._public_keys[0])

    def former_keys(self, origin: str) -> list[str]:
        """The verifier keys from before the changes of key: older receipts are checked with them."""
        return [log_verifier_key(origin, key) for key in self._public_keys[1:]]

    def fsck(self, agency: str, pause: Callable[[], None] = lambda: None) -> list[Finding]:
        """Recomputes every log of the agency from its entries; an empty list says that all of it agrees.

        The log may go on meanwhile. `pause` is called every few thousand entries; whatever it raises ends the check.
        """
        return findings(self._database, agency, self._kept, self._public_keys, pause=pause)

    def refusal(self, agency: str) -> str | None:
        """The code of why this log is not being signed, as far as the sequencer of this process knows."""
        reason = self._sequencer.refusal(agency)
        return reason.code if reason else None

    def declare_break(self, agency: str, reason: str) -> str:
        """An operator's step after a restore: go on under a new origin, which is answered. Its first entry
        holds the last kept head, how far the database goes, and `reason`, a token without spaces.
        """
        self._sequencer.declare_break(agency, reason)
        return self.origins(agency)[-1]

    def dump(self, agency: str, year: int | None = None) -> Iterator[str]:
        """The whole log, line by line, for `handschlag log verify dump` (contracts/formats/receipt.md)."""
        with self._database.read() as tx:
            log = self._log(tx, agency, year)
            sizes = list(tx.scalars(select(checkpoint.c.size).where(checkpoint.c.log == log).order_by("size")))
        yield _line({"format": DUMP_FORMAT, "log": log, "size": max(sizes, default=0)})
        start = 0
        for end in sizes:
            while start < end:
                until = min(start + DUMP_ROWS, end)
                yield from self._dumped(log, start, until)
                start = until
            with self._database.read() as tx:
                here = checkpoint.c.log == log, checkpoint.c.size == end
                note = tx.scalar(select(checkpoint.c.note).where(*here)) or ""
                yield _line({"checkpoint": with_cosignatures(tx, log, end, note)})

    def _dumped(self, log: str, start: int, end: int) -> Iterator[str]:
        query = entries_query().where(leaf.c.log == log, leaf.c.idx >= start, leaf.c.idx < end)
        with self._database.read() as tx:
            rows = as_entries(tx.execute(query.order_by(leaf.c.idx)).all())
        for each in rows:
            known = {"leaf": each.leaf_bytes.decode()} if each.leaf_bytes is not None else {}
            yield _line({"index": each.idx, "hash": each.leaf_hash.hex(), **known})

    def _item(self, agency: str, leaf: Leaf, key: str, openings: Mapping[str, Opening], person: str | None) -> Item:
        LogName(agency, 1)
        if leaf.time is None:
            leaf = replace(leaf, time=self._clock.now())
        for name, each in openings.items():
            verify_opening(leaf, name, each.key, each.value)
        return Item(agency, key, leaf, leaf.to_bytes(), dict(openings), person)

    def _append_by_database(self, item: Item, deadline: float) -> LoggedEntry:
        """By way of the table of pending entries; whoever sequences will take it from there."""
        left = False
        while True:
            found = self.find(item.agency, item.key)
            if found:
                return self._same(found, item)
            left = left or self._leave_for_sequencer(item)
            self._sequencer.wake()
            reason = self._sequencer.refusal(item.agency)
            if reason:
                raise _not_logged(reason)
            if time.monotonic() >= deadline:
                raise self._too_late(item.agency)
            time.sleep(PACE / 2)

    def _leave_for_sequencer(self, item: Item) -> bool:
        """True once somebody has left it: we, or an earlier call with the same content."""
        mine = pending.c.agency == item.agency, pending.c.key == item.key
        try:
            with self._database.write() as tx:
                if keys_taken(tx, item.agency, [item.key]):
                    return True
                row = tx.execute(select(pending).where(*mine)).first()
                if row:
                    _same_content(bytes(row.bytes), pending_openings(row.openings), item)
                else:
                    tx.execute(insert(pending).values(pending_row(item)))
        except IntegrityError:
            return False
        return True

    def _find(self, tx: Connection, agency: str, key: str) -> LoggedEntry | None:
        place = place_of(tx, agency, key)
        return self._logged(tx, *place) if place else None

    def _logged(self, tx: Connection, log: str, idx: int) -> LoggedEntry | None:
        receipt = receipt_of(tx, log, idx)
        if receipt is None:
            return None
        data = bytes_of(tx, log, idx)
        if data is None:
            raise Refused("log.entry_deleted", "the bytes of this entry were deleted at the end of retention")
        return LoggedEntry(idx, log, data, receipt, openings_of(tx, log, idx))

    def _same(self, found: LoggedEntry, item: Item) -> LoggedEntry:
        """The entry with the keys it was logged under and the values that the caller has."""
        _same_content(found.leaf_bytes, found.openings, item)
        opened = {
            name: replace(each, value=item.openings[name].value if name in item.openings else each.value)
            for name, each in found.openings.items()
        }
        return replace(found, openings=opened)

    def _verified(self, found: LoggedEntry) -> LoggedEntry:
        keys = [log_verifier_key(found.origin, key) for key in self._public_keys]
        verify_receipt(found.receipt_text, found.leaf_bytes, keys)
        return found

    def _too_late(self, agency: str) -> Unavailable:
        reason = self._sequencer.refusal(agency)
        return _not_logged(reason) if reason else Unavailable("log.not_signed", "no head was signed in time", _AGAIN)


_AGAIN = "send the same again; nothing was disclosed"


def _not_logged(reason: Exception) -> Unavailable:
    code = getattr(reason, "code", "log.not_signed")
    return Unavailable(code, getattr(reason, "detail", ""), getattr(reason, "remedy", "") or _AGAIN)


def _same_content(stored: bytes, openings: Mapping[str, Opening], item: Item) -> None:
    """Raises `Refused` unless the stored entry says what the item says. Nonce and time are its own; a
    commitment is the same if it is equal, or if its key opens it to the value that the caller has now.
    """
    before, now = Leaf.parse(stored), item.leaf
    alike = replace(now, nonce=before.nonce, time=before.time, commitments=before.commitments) == before
    if (
        not alike
        or set(before.commitments) != set(now.commitments)
        or not all(
            made == now.commitments[name] or _opens(made, openings.get(name), item.openings.get(name))
            for name, made in before.commitments.items()
        )
    ):
        raise Refused("log.key_taken", "under this key something else was logged")


def _opens(made: str, stored: Opening | None, offered: Opening | None) -> bool:
    return stored is not None and offered is not None and commitment(stored.key, offered.value) == made


def _line(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
