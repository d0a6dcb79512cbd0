"""The witness: cosigns a head that continues the last one it cosigned, and nothing else (c2sp.org/tlog-witness)."""

from collections import defaultdict
from collections.abc import Iterable

from shared.clock import Clock
from shared.errors import Forbidden, NotFound, Refused
from shared.merkle import EMPTY_ROOT, NotProven, verify_consistency
from shared.notes import (
    COSIGNATURE,
    ED25519,
    AddCheckpoint,
    Checkpoint,
    Malformed,
    SigningKey,
    VerifierKey,
    claimed_checkpoint,
    cosign,
    open_checkpoint,
)
from shared.witness.store import Seen, WitnessStore


class OtherSize(Refused):
    """The witness last cosigned `size`; where the log goes on from there, it is asked again."""

    def __init__(self, size: int) -> None:
        super().__init__("witness.other_size", f"the last size cosigned is {size}")
        self.size = size


class Witness:
    """`logs` are the verifier keys of the logs that are watched, each named by its origin; of one log there may be
    several keys. `name` is that of the witness in its cosignatures; its key signs for nothing else.
    """

    def __init__(
        self, name: str, key: SigningKey, store: WitnessStore, clock: Clock, logs: Iterable[VerifierKey]
    ) -> None:
        self.verifier_key = VerifierKey(name, key.public_key().public_bytes_raw(), COSIGNATURE)
        self._key = key
        self._store = store
        self._clock = clock
        self._logs = defaultdict[str, list[VerifierKey]](list)
        for each in logs:
            if each.kind != ED25519:
                raise Malformed("witness.log_key", f"{each.name} is the key of a witness, not of a log")
            self._logs[each.name].append(each)

    def add_checkpoint(self, asked: AddCheckpoint) -> str:
        """The cosignature line; what was cosigned is on the disk before it is made.

        Raises `Malformed` (400), `NotFound` for a log that is not watched (404), `Forbidden` without a good signature
        of that log (403), `OtherSize` (409) and `NotProven` for a wrong proof (422).
        """
        checkpoint = self._signed(asked.checkpoint)
        if asked.old > checkpoint.size:
            raise Malformed("witness.old_size", "the old size is above that of the checkpoint")
        with self._store.turn(checkpoint.origin) as turn:
            at = int(self._clock.now().timestamp())
            seen = turn.seen
            refusal = _refusal(seen, checkpoint, asked)
            if refusal is None:
                turn.keep(checkpoint, asked.checkpoint, at)
            elif seen and _contradicts(seen, checkpoint, refusal):
                turn.contradicted(refusal.code, asked.checkpoint, seen.note, at)
        if refusal:
            raise refusal
        return cosign(asked.checkpoint, self.verifier_key.name, self._key, at)

    def _signed(self, note: str) -> Checkpoint:
        keys = self._logs.get(claimed_checkpoint(note).origin)
        if keys is None:
            raise NotFound("witness.unknown_log", "this log is not watched here")
        try:
            return open_checkpoint(note, keys)
        except NotProven as error:
            raise Forbidden("witness.not_signed", "the log that is named did not sign this") from error


def _refusal(seen: Seen | None, checkpoint: Checkpoint, asked: AddCheckpoint) -> OtherSize | NotProven | None:
    size = seen.size if seen else 0
    if asked.old != size:
        return OtherSize(size)
    root = seen.root if seen else EMPTY_ROOT
    if checkpoint.size == size and checkpoint.root != root:
        return OtherSize(size) if size else NotProven("log.consistency", "an empty tree has one root")
    if not size:
        return NotProven("log.consistency", "from an empty tree there is nothing to show") if asked.proof else None
    try:
        verify_consistency(size, checkpoint.size, asked.proof, root, checkpoint.root)
    except NotProven as error:
        return error
    return None


def _contradicts(seen: Seen, checkpoint: Checkpoint, refusal: OtherSize | NotProven) -> bool:
    """Another tree of the same size always; a larger one when it came with a proof that fails."""
    if checkpoint.size == seen.size:
        return checkpoint.root != seen.root
    return isinstance(refusal, NotProven)
