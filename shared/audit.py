"""What a disclosure leaves behind: the leaf in the audit log, the receipt that proves it, the commitments
inside.

`contracts/formats/leaf.md` and `receipt.md` describe both for readers without our code. A leaf says who sent
what kind of data to whom, for which purpose and by which norms (§ 78a SGB X, Art. 5 Abs. 2 and Art. 30
DSGVO), and never about whom: person, case, facts and content stand in it as keyed commitments only, whose
keys lie outside the log and can be destroyed there.

`verify_receipt` is the one check; senders, recipients and auditors all call it. Data is sealed only against
the `VerifiedReceipt` that it answers, and nothing else can make one.
"""

import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn, Self, TypeAlias
from weakref import WeakSet

from shared.canonical import Json, NotCanonical, canonical
from shared.clock import timestamp
from shared.merkle import NotProven, leaf_hash
from shared.notes import Checkpoint, Malformed, Proof, VerifierKey

__all__ = [
    "Leaf",
    "Malformed",
    "NotProven",
    "Opening",
    "Reference",
    "VerifiedReceipt",
    "commitment",
    "genuine",
    "verify_opening",
    "verify_receipt",
]

LEAF_VERSION = 1
KEY_LENGTH = 32

Text: TypeAlias = "str | None"

_HEX32 = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z_]{0,39}")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")
_FIELD = re.compile(r"[a-z][a-z0-9_-]{0,59}(\.[a-z][a-z0-9_-]{0,59})?")
_NORM = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_DETAIL = re.compile(r"[!-~]{1,200}")
_ORIGIN = re.compile(r"[^\s+]{1,300}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@dataclass(frozen=True)
class Opening:
    """The key of a commitment, and the value it commits to.

    The log keeps the key beside itself until an erasure; the value it keeps only if `kept`, and then as it is
    given: nothing that says in plain words who or what. Read back without its value, an opening has None there.
    """

    key: bytes = field(repr=False)
    value: Json = field(default=None, repr=False)
    kept: bool = False


@dataclass(frozen=True)
class Reference:
    """Another entry, by its log and place."""

    log: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One entry of the audit log. Its bytes are canonical JSON (RFC 8785) and its format is frozen.

    The nonce makes two entries of equal content differ. `commitments` are named `person`, `case`, `facts` and
    `content.<category>`. `about` is the intent that an outcome or a retraction belongs to. `previous` is the
    last checkpoint of the log that this one continues, in the first entry of a log only. `details` are tokens
    about the system itself: versions, hashes, keys; never anything about a person.
    """

    kind: str
    time: datetime | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    sender: Text = None
    recipient: Text = None
    purpose: Text = None
    categories: tuple[str, ...] = ()
    decision: Text = None
    norms: tuple[str, ...] = ()
    rule_set: Text = None
    obligations: tuple[str, ...] = ()
    commitments: Mapping[str, str] = field(default_factory=dict)
    about: Reference | None = None
    result: Text = None
    previous: Text = None
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("categories", "norms", "obligations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "categories", tuple(sorted(self.categories)))
        for name in ("commitments", "details"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.time is not None and self.time.tzinfo is None:
            raise Malformed("log.leaf", "time must be aware")
        _check(_KIND, "kind", self.kind)
        _check(_HEX32, "nonce", self.nonce)
        for name in ("sender", "recipient", "purpose", "decision", "result"):
            _check(_TOKEN, name, *_given(getattr(self, name)))
        for name in ("categories", "obligations"):
            _check(_TOKEN, name, *getattr(self, name))
        for name in ("categories", "norms", "obligations"):
            _unique(name, getattr(self, name))
        _check(_NORM, "norms", *self.norms)
        _check(_HEX32, "rule_set", *_given(self.rule_set))
        _check(_FIELD, "commitments", *self.commitments)
        _check(_HEX32, "commitments", *self.commitments.values())
        _check(_FIELD, "details", *self.details)
        _check(_DETAIL, "details", *self.details.values())
        if self.kind == "outcome" and self.about is None:
            raise Malformed("log.leaf", "an outcome names the intent that it is about")
        if self.about:
            _check(_ORIGIN, "about", self.about.log)
            _index("about", self.about.index)

    def committing(self, values: Mapping[str, Json], kept: Iterable[str] = ()) -> tuple["Leaf", dict[str, Opening]]:
        """The leaf with a fresh commitment to each value, and what opens them. `kept` names the values that
        the log may store beside the key; of all others it stores the key alone.
        """
        kept = frozenset(kept)
        openings = {
            name: Opening(secrets.token_bytes(KEY_LENGTH), value, name in kept) for name, value in values.items()
        }
        made = {name: commitment(each.key, each.value) for name, each in openings.items()}
        return replace(self, commitments={**self.commitments, **made}), openings

    def to_bytes(self) -> bytes:
        """The bytes that are hashed, kept and handed on."""
        return canonical(self.to_json())

    def to_json(self) -> dict[str, Any]:
        if self.time is None:
            raise Malformed("log.leaf", "a leaf needs its time before it has bytes")
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "version": LEAF_VERSION,
            "time": timestamp(self.time),
            "about": self.about and {"log": self.about.log, "index": self.about.index},
            "commitments": dict(self.commitments),
            "details": dict(self.details),
        }

    @staticmethod
    def parse(data: bytes) -> "Leaf":
        """Raises `Malformed` unless these are exactly the bytes of a leaf of this version."""
        document = _json_object(data)
        if document.pop("version", None) != LEAF_VERSION:
            raise Malformed("log.leaf_version", f"only leaves of version {LEAF_VERSION} are understood")
        if set(document) != {each.name for each in fields(Leaf)}:
            raise Malformed("log.leaf", "a leaf has exactly the members that its format names")
        for name in ("categories", "norms", "obligations"):
            _list_of_strings(name, document[name])
        for name in ("commitments", "details"):
            if not isinstance(document[name], dict):
                raise Malformed("log.leaf", f"{name} must be an object")
        if document["previous"] is not None and not isinstance(document["previous"], str):
            raise Malformed("log.leaf", "previous must be a checkpoint")
        document["time"] = _time(document["time"])
        document["about"] = _reference(document["about"])
        leaf = Leaf(**document)
        if leaf.to_bytes() != data:
            raise Malformed("log.leaf", "a leaf is canonical JSON")
        return leaf


def commitment(key: bytes, value: Json) -> str:
    """HMAC-SHA-256 of the canonical value, in hex. Without the key it says nothing, not even by guessing."""
    if len(key) != KEY_LENGTH:
        raise Malformed("log.opening", "the key of a commitment has 32 bytes")
    try:
        return hmac.digest(key, canonical(value), "sha256").hex()
    except NotCanonical as error:
        raise Malformed("log.opening", "only strings, integers, booleans, null, lists and objects") from error


def verify_opening(leaf: Leaf, name: str, key: bytes, value: Json) -> None:
    """Raises `NotProven` unless the leaf committed to exactly this value under `name`."""
    if name not in leaf.commitments:
        raise NotProven("log.opening", f"the entry holds no commitment {name}")
    if not hmac.compare_digest(leaf.commitments[name], commitment(key, value)):
        raise NotProven("log.opening", f"the value is not the one that was committed to as {name}")


class VerifiedReceipt:
    """The entry stands in a tree that its log signed. Only `verify_receipt` makes one.

    A copy, a subclass or an instance put together by hand is not `genuine` and opens nothing. That guards
    against mistakes, not against code that runs in the same process and means harm.
    """

    __slots__ = (
        "__weakref__",
        "checkpoint",
        "index",
        "leaf",
        "leaf_bytes",
        "leaf_hash",
        "origin",
        "receipt_text",
    )

    origin: str
    index: int
    leaf: Leaf
    leaf_bytes: bytes
    leaf_hash: bytes
    checkpoint: Checkpoint
    receipt_text: str

    def __new__(cls, *_: object, **__: object) -> Self:
        raise TypeError("a receipt becomes verified by verify_receipt")

    def __init_subclass__(cls) -> None:
        raise TypeError("there is one kind of verified receipt")

    def __setattr__(self, *_: object) -> NoReturn:
        raise AttributeError("a verified receipt does not change")

    def __delattr__(self, *_: object) -> NoReturn:
        raise AttributeError("a verified receipt does not change")

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError("a verified receipt is not copied; verify the receipt where it arrives")

    def __repr__(self) -> str:
        return f"VerifiedReceipt({self.origin} #{self.index})"


_genuine: WeakSet[VerifiedReceipt] = WeakSet()


def genuine(receipt: VerifiedReceipt) -> VerifiedReceipt:
    """The receipt itself, if `verify_receipt` made it; raises `NotProven` for anything else."""
    if not isinstance(receipt, VerifiedReceipt) or receipt not in _genuine:
        raise NotProven("log.no_receipt", "without a verified receipt nothing is disclosed")
    return receipt


def verify_receipt(receipt_text: str, leaf_bytes: bytes, log_key: str | Iterable[str]) -> VerifiedReceipt:
    """Raises unless the log that owns `log_key` signed a tree holding exactly these leaf bytes at the named
    index.

    `log_key` is the verifier key of the log, in C2SP form; several during the overlap after a change of key.
    `Malformed` says that the input is no receipt or no leaf, `NotProven` that it is one and does not hold.
    Not looked at: whether the same log showed another tree to somebody else; that takes an older checkpoint
    and a consistency proof.
    """
    proof = Proof.parse(receipt_text)
    if proof.extra is not None:
        raise Malformed("log.receipt", "a receipt carries nothing that nobody signed")
    leaf = Leaf.parse(leaf_bytes)
    keys = [log_key] if isinstance(log_key, str) else log_key
    hashed = leaf_hash(leaf_bytes)
    checkpoint = proof.verify(hashed, map(VerifierKey.parse, keys))
    receipt = object.__new__(VerifiedReceipt)
    for name, value in {
        "origin": checkpoint.origin,
        "index": proof.index,
        "leaf": leaf,
        "leaf_bytes": leaf_bytes,
        "leaf_hash": hashed,
        "checkpoint": checkpoint,
        "receipt_text": receipt_text,
    }.items():
        object.__setattr__(receipt, name, value)
    _genuine.add(receipt)
    return receipt


def _given(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,)


def _check(pattern: re.Pattern[str], name: str, *values: Any) -> None:
    for value in values:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Malformed("log.leaf", f"{name} has not the form that the format names")


def _unique(name: str, values: tuple[str, ...]) -> None:
    if len(set(values)) != len(values):
        raise Malformed("log.leaf", f"{name} names something twice")


def _index(name: str, value: Any) -> None:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise Malformed("log.leaf", f"{name} must name an index")


def _list_of_strings(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed("log.leaf", f"{name} must be a list of strings")


def _reference(value: Any) -> Reference | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"log", "index"}:
        raise Malformed("log.leaf", "about must name a log and an index")
    return Reference(value["log"], value["index"])


def _time(value: Any) -> datetime:
    _check(_TIME, "time", value)
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        raise Malformed("log.leaf", "time must be a moment in UTC") from None


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.decode())
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Malformed("log.leaf", "a leaf is JSON") from None
    if not isinstance(document, dict):
        raise Malformed("log.leaf", "a leaf is a JSON object")
    return document
