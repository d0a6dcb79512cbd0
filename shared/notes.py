"""The C2SP text formats of transparency logs: signed note, checkpoint, proof of inclusion, cosignature, and what
a log asks of a witness; Ed25519 throughout.

c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof and, for witnesses,
c2sp.org/tlog-cosignature and c2sp.org/tlog-witness. The text of a note means nothing until `open_note` has found
a good signature of a key that the reader already knew; a bad signature of a known key condemns the whole note.
Readers are strict: one meaning has one spelling, and whatever is spelled otherwise is `Malformed`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.errors import Invalid
from shared.merkle import HASH_LENGTH, NotProven, verify_inclusion

ED25519 = 0x01
COSIGNATURE = 0x04
MAX_SIGNATURES = 100
MAX_CONSISTENCY = 63
LATEST_TIME = (1 << 63) - 1
PROOF_HEADER = "c2sp.org/tlog-proof@v1"

_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_KEY_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_SIGNATURE_LINE = re.compile(r"— (\S+) (\S+)")


class Malformed(Invalid):
    """The input is not what it should be at all, so that nothing can be said about what it proves."""


class PublicKey(Protocol):
    def public_bytes_raw(self) -> bytes: ...


class SigningKey(Protocol):
    """An Ed25519 private key, or whatever stands for one: a key service, a hardware module."""

    def sign(self, data: bytes, /) -> bytes: ...

    def public_key(self) -> PublicKey: ...


@dataclass(frozen=True)
class VerifierKey:
    """Whose signature is looked for: a name, a kind and a public key; written `name+id+base64`."""

    name: str
    public_key: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        if not _KEY_NAME.fullmatch(self.name):
            raise Malformed("log.key_name", "a key name has neither spaces nor plus signs")
        if self.kind not in (ED25519, COSIGNATURE) or len(self.public_key) != 32:
            raise Malformed("log.key", "only Ed25519 keys are understood")

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.kind]) + self.public_key)}"

    @staticmethod
    def parse(text: str) -> "VerifierKey":
        name, id_, encoded = _exactly(3, text.split("+", 2), "a verifier key has the form name+id+key")
        material = _decode(encoded)
        key = VerifierKey(name, material[1:], material[0] if material else 0)
        if id_ != key.id.hex():
            raise Malformed("log.key_id", "the key id does not belong to the key")
        return key

    def check(self, text: str, signature: bytes) -> int | None:
        """Raises `NotProven` for a bad signature over `text`; answers the Unix time of a cosignature."""
        if self.kind == COSIGNATURE:
            moment = cosignature_time(signature)
            message, signature = _cosigned(text, moment), signature[8:]
        else:
            moment, message = None, text.encode()
        if not ed25519_holds(self.public_key, message, signature):
            raise NotProven("log.signature", f"the signature of {self.name} is not one over this text")
        return moment


@dataclass(frozen=True)
class Signature:
    """A good one. `time` is that of a cosignature in Unix seconds; a log's own signature has none. `line` is how it
    stands below the text.
    """

    name: str
    key: VerifierKey
    time: int | None = None
    line: str = ""


@dataclass(frozen=True)
class Note:
    """A text, and whose good signatures stand below it: at least one."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Checkpoint:
    """What a log says about itself: the tree of `size` has this `root`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in (self.origin, self.size, _encode(self.root), *self.extensions))

    @staticmethod
    def parse(text: str) -> "Checkpoint":
        *lines, end = text.split("\n")
        if end or len(lines) < 3 or not all(lines):
            raise Malformed("log.checkpoint", "a checkpoint has an origin, a size and a root, each on its own line")
        return Checkpoint(lines[0], _decimal(lines[1]), _hash(lines[2]), tuple(lines[3:]))


@dataclass(frozen=True)
class Proof:
    """The entry at `index` is in the tree of the checkpoint. `extra` is signed by nobody."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __str__(self) -> str:
        extra = [] if self.extra is None else [f"extra {_encode(self.extra)}"]
        lines = [PROOF_HEADER, *extra, f"index {self.index}", *map(_encode, self.path), ""]
        return "".join(f"{line}\n" for line in lines) + self.checkpoint

    @staticmethod
    def parse(text: str) -> "Proof":
        """Reads the frame only; the checkpoint inside is for `open_checkpoint`."""
        head, blank, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != PROOF_HEADER or not blank or not checkpoint:
            raise Malformed("log.proof", f"a proof begins with {PROOF_HEADER} and ends with a checkpoint")
        extra = _decode(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        if not lines or not lines[0].startswith("index "):
            raise Malformed("log.proof", "a proof names the index of its entry")
        return Proof(_decimal(lines[0][6:]), tuple(map(_hash, lines[1:])), checkpoint, extra)

    def verify(self, leaf: bytes, keys: Iterable[VerifierKey]) -> Checkpoint:
        """Raises unless one of the keys signed, for its log, a tree with the leaf hash at the index."""
        checkpoint = open_checkpoint(self.checkpoint, keys)
        verify_inclusion(self.index, checkpoint.size, leaf, self.path, checkpoint.root)
        return checkpoint


@dataclass(frozen=True)
class AddCheckpoint:
    """What a log asks of a witness: to cosign `checkpoint`, a note, `proof` being the consistency proof from the tree
    of size `old`, the last one that the witness cosigned (c2sp.org/tlog-witness).
    """

    old: int
    proof: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in (f"old {self.old}", *map(_encode, self.proof), "")) + self.checkpoint

    @staticmethod
    def parse(body: str | bytes) -> "AddCheckpoint":
        """Reads the frame only; what the note inside is worth is for `open_checkpoint`."""
        head, blank, checkpoint = _decoded(body).partition("\n\n")
        first, *proof = head.split("\n")
        if not blank or not first.startswith("old "):
            raise Malformed("log.add_checkpoint", "an old size, the hashes of a proof, an empty line, a checkpoint")
        if len(proof) > MAX_CONSISTENCY:
            raise Malformed("log.add_checkpoint", f"a consistency proof has at most {MAX_CONSISTENCY} hashes")
        return AddCheckpoint(_decimal(first[4:]), tuple(map(_hash, proof)), checkpoint)


def log_verifier_key(origin: str, public_key: PublicKey | bytes) -> str:
    """What a third party must be given once, by another way than the receipts: the log's key as text."""
    raw = public_key if isinstance(public_key, bytes) else public_key.public_bytes_raw()
    return str(VerifierKey(origin, raw))


def sign_note(text: str, *signers: tuple[str, SigningKey]) -> str:
    """Each signer, a name and a key, adds a line below the text; equal input gives equal output."""
    _note_text(text)
    lines = []
    for name, key in signers:
        verifier = VerifierKey(name, key.public_key().public_bytes_raw())
        lines.append(_signature_line(verifier, key.sign(text.encode())))
    return f"{text}\n{''.join(lines)}"


def cosign(note: str, name: str, key: SigningKey, at: int) -> str:
    """A witness's line for a checkpoint, to be put below its other signatures; `at` in Unix seconds."""
    if not 0 <= at <= LATEST_TIME:
        raise Malformed("log.cosignature", "the time of a cosignature is at most 2^63 - 1")
    text, _ = _split(note)
    verifier = VerifierKey(name, key.public_key().public_bytes_raw(), COSIGNATURE)
    return _signature_line(verifier, at.to_bytes(8, "big") + key.sign(_cosigned(text, at)))


def open_note(note: str | bytes, keys: Iterable[VerifierKey]) -> Note:
    """Raises `Malformed` or `NotProven` unless a known key signed it well, and no known key badly."""
    text, lines = _split(_decoded(note))
    known = {(key.name, key.id): key for key in keys}
    good = dict[VerifierKey, Signature]()
    for name, id_, signature in lines:
        key = known.get((name, id_))
        if key and key not in good:
            good[key] = Signature(name, key, key.check(text, signature), _signature_line(key, signature))
    if not good:
        raise NotProven("log.no_known_signature", "no key that is known signed this")
    return Note(text, tuple(good.values()))


def claimed_checkpoint(note: str | bytes) -> Checkpoint:
    """What a note says, whoever wrote it: enough to look for the key, and nothing to rely on."""
    return Checkpoint.parse(_split(_decoded(note))[0])


def open_checkpoint(note: str | bytes, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that its own log signed; a witness or another log alone will not do.

    A note that was good is remembered: the receipts of a batch all stand under the same one.
    """
    return _opened_checkpoint(_decoded(note), tuple(keys))


@lru_cache(maxsize=256)
def _opened_checkpoint(note: str, keys: tuple[VerifierKey, ...]) -> Checkpoint:
    opened = open_note(note, keys)
    checkpoint = Checkpoint.parse(opened.text)
    if not any(s.name == checkpoint.origin and s.key.kind == ED25519 for s in opened.signatures):
        raise NotProven("log.foreign_signature", "the log that is named did not sign this")
    return checkpoint


def cosignature_time(signature: bytes) -> int:
    """The Unix time in front of a timestamped cosignature."""
    if len(signature) != 72:
        raise Malformed("log.cosignature", "a cosignature is a time and an Ed25519 signature")
    moment = int.from_bytes(signature[:8], "big")
    if moment > LATEST_TIME:
        raise Malformed("log.cosignature", "the time of a cosignature is at most 2^63 - 1")
    return moment


def ed25519_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text, and of each signature the name, the key id and the rest."""
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Malformed("log.note", "a note is a text, an empty line and lines of signatures")
    _note_text(text + "\n")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed("log.note", f"a note has at most {MAX_SIGNATURES} signatures")
    return text + "\n", [_signature(line) for line in lines]


def _note_text(text: str) -> None:
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise Malformed("log.note", "the text of a note consists of whole lines without control characters")


def _signature(line: str) -> tuple[str, bytes, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line)
    if not match or not _KEY_NAME.fullmatch(match[1]):
        raise Malformed("log.note", "a signature is a dash, a name and base64")
    material = _decode(match[2])
    if len(material) < 5:
        raise Malformed("log.note", "a signature begins with the id of its key")
    return match[1], material[:4], material[4:]


def _signature_line(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {_encode(key.id + signature)}\n"


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _decoded(note: str | bytes) -> str:
    try:
        return note if isinstance(note, str) else note.decode()
    except UnicodeDecodeError:
        raise Malformed("log.note", "a note is UTF-8") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not text or _encode(data) != text:
        raise Malformed("log.base64", "this is not base64 in its one spelling")
    return data


def _hash(text: str) -> bytes:
    data = _decode(text)
    if len(data) != HASH_LENGTH:
        raise Malformed("log.hash_length", "a hash has 32 bytes")
    return data


def _decimal(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or len(text) > 20 or int(text) >= 1 << 64:
        raise Malformed("log.decimal", "a number is decimal, without sign or leading zeros, and below 2^64")
    return int(text)


def _exactly(count: int, parts: Sequence[str], otherwise: str) -> Sequence[str]:
    if len(parts) != count:
        raise Malformed("log.form", otherwise)
    return parts
