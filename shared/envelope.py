"""What travels to a partner: the sealed content, bound to its entry in the log, and the acknowledgement that
returns.

`contracts/formats/envelope.md` is the description for partners. Content is sealed only against a
`VerifiedReceipt`, and only the content that this entry committed to; the recipient opens it only against the
same. JWE compact (RFC 7516) with exactly the algorithms of the two suites, no others, no compression. The
signature over what is sealed is the log's: it covers the leaf, the leaf covers the content by its
commitments, and their keys travel inside.

The acknowledgement is a JWS compact (RFC 7515) with Ed25519 (RFC 9864) by the recipient.
"""

import base64
import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from joserfc import jwe, jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwe import JWERegistry
from joserfc.jwk import OKPKey, RSAKey
from joserfc.registry import HeaderParameter

from shared.audit import Opening, VerifiedReceipt, genuine, verify_opening
from shared.canonical import Json, NotCanonical, canonical
from shared.clock import timestamp
from shared.merkle import NotProven
from shared.notes import Malformed

ENVELOPE_TYPE = "handschlag-envelope+jwe"
ACKNOWLEDGEMENT_TYPE = "handschlag-acknowledgement+jws"
DELIVERY_TYPE = "handschlag.delivery.v1"
MAX_CIPHERTEXT = 4 * 1024 * 1024
MIN_RSA_BITS = 4096
SUITES = {
    "ECDH-ES+A256KW/A256GCM": ("ECDH-ES+A256KW", "A256GCM"),
    "RSA-OAEP-256/A256GCM": ("RSA-OAEP-256", "A256GCM"),
}
DEFAULT_SUITE = "ECDH-ES+A256KW/A256GCM"
SIGNATURES = ["Ed25519", "EdDSA"]

_PARAMETERS = {
    "suite": HeaderParameter("Algorithm suite agreed with the partner", "str", required=True),
    "sender": HeaderParameter("Agency that discloses", "str", required=True),
    "recipient": HeaderParameter("Partner that receives", "str", required=True),
    "purpose": HeaderParameter("Purpose of the disclosure", "str", required=True),
    "categories": HeaderParameter("Categories of data inside", "list[str]", required=True),
    "log": HeaderParameter("Origin of the sender's log", "str", required=True),
    "index": HeaderParameter("Index of the intent in that log", "int", required=True),
    "leaf_hash": HeaderParameter("RFC 6962 hash of the intent, in hex", "str", required=True),
    "reference": HeaderParameter("The partner's own name for the person", "str", required=True),
}


class _Registry(JWERegistry):
    max_ciphertext_length = MAX_CIPHERTEXT
    max_protected_header_length = 8192


def _registry() -> JWERegistry:
    return _Registry(_PARAMETERS, algorithms=sorted({name for suite in SUITES.values() for name in suite}))


class Result(StrEnum):
    """What the recipient found for the person described; nothing is guessed."""

    MATCHED = "matched"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Opened:
    """What was inside, shown to be what the log committed to."""

    content: Mapping[str, Json] = field(repr=False)
    header: Mapping[str, Any]


@dataclass(frozen=True)
class Acknowledgement:
    """The recipient has opened the envelope of this entry. `checkpoint` is its own log's newest head, if any;
    `cosigned` the checkpoint of the sender's log that came with the delivery, with the recipient's cosignature below,
    if it is a witness of that log.
    """

    log: str
    index: int
    leaf_hash: str
    result: Result
    at: datetime
    checkpoint: str | None = None
    cosigned: str | None = None


def seal(
    verified: VerifiedReceipt,
    content: Mapping[str, Json],
    openings: Mapping[str, Opening | bytes],
    recipient_jwk: Mapping[str, Any],
    *,
    sender: str,
    recipient: str,
    purpose: str,
    categories: Collection[str],
    reference: str,
    suite: str = DEFAULT_SUITE,
) -> str:
    """The content for one recipient, as JWE compact.

    `reference` is the name under which this partner, and no other, knows the person; it stays the same from one
    disclosure to the next and is bound to the content.

    `content` and `openings` are named by category. Raises `NotProven` if the receipt is not genuine, or if
    anything differs from what the logged intent says: then nothing is sealed and nothing may leave.
    """
    leaf = genuine(verified).leaf
    keys = {name: each.key if isinstance(each, Opening) else each for name, each in openings.items()}
    said = (sender, recipient, purpose, tuple(sorted(categories)))
    if leaf.kind != "intent" or said != (leaf.sender, leaf.recipient, leaf.purpose, leaf.categories):
        raise NotProven("envelope.other_intent", "the logged intent is about another disclosure")
    _is_what_was_logged(verified, content, keys)
    header = {
        "alg": _algorithms(suite)[0],
        "enc": _algorithms(suite)[1],
        "typ": ENVELOPE_TYPE,
        "cty": "json",
        "reference": reference,
    }
    key = _encryption_key(recipient_jwk, suite)
    if key.kid:
        header["kid"] = key.kid
    document = {"content": dict(content), "openings": {name: key.hex() for name, key in keys.items()}}
    plaintext = _canonical(document)
    if len(plaintext) > MAX_CIPHERTEXT * 3 // 4:
        raise Malformed("envelope.too_large", "an envelope holds at most three MiB")
    return jwe.encrypt_compact({**header, **_bound(verified, suite)}, plaintext, key, registry=_registry())


def open_envelope(
    envelope: str, recipient_jwk: Mapping[str, Any], verified: VerifiedReceipt, *, recipient: str
) -> Opened:
    """What `envelope` holds. `verified` is the receipt that came with it, `recipient` the name we are known
    by.

    Raises `NotProven` if our key does not open it, if it is bound to another entry or another recipient, or
    if what is inside is not what was logged; `Malformed` if it is no envelope at all.
    """
    leaf = genuine(verified).leaf
    if leaf.kind != "intent" or leaf.recipient != recipient:
        raise NotProven("envelope.other_recipient", "the logged intent is about another recipient")
    header, plaintext = _decrypted(envelope, recipient_jwk)
    bound = _bound(verified, header["suite"])
    if any(header[name] != value for name, value in bound.items()):
        raise NotProven("envelope.other_entry", "the envelope is bound to another entry of the log")
    content, keys = _payload(plaintext)
    _is_what_was_logged(verified, content, keys)
    return Opened(content, header)


def sign_acknowledgement(acknowledgement: Acknowledgement, private_jwk: Mapping[str, Any]) -> str:
    """The acknowledgement as JWS compact, signed by the recipient."""
    key = _signature_key(private_jwk)
    header = {"alg": "Ed25519", "typ": ACKNOWLEDGEMENT_TYPE, **({"kid": key.kid} if key.kid else {})}
    document = {
        "log": acknowledgement.log,
        "index": acknowledgement.index,
        "leaf_hash": acknowledgement.leaf_hash,
        "result": acknowledgement.result.value,
        "at": timestamp(acknowledgement.at),
        **({"checkpoint": acknowledgement.checkpoint} if acknowledgement.checkpoint else {}),
        **({"cosigned": acknowledgement.cosigned} if acknowledgement.cosigned else {}),
    }
    return jws.serialize_compact(header, canonical(document), key, algorithms=SIGNATURES)


def verify_acknowledgement(text: str, public_jwk: Mapping[str, Any], verified: VerifiedReceipt) -> Acknowledgement:
    """Raises unless the partner with this key signed it, for the very entry that the receipt proves."""
    genuine(verified)
    key = _signature_key(public_jwk)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            opened = jws.deserialize_compact(text, key, algorithms=SIGNATURES)
    except (JoseError, ValueError) as error:
        raise NotProven("acknowledgement.signature", "the partner's key did not sign this") from error
    if opened.headers().get("typ") != ACKNOWLEDGEMENT_TYPE:
        raise Malformed("acknowledgement.type", "this is signed, and is no acknowledgement")
    acknowledgement = _acknowledgement(opened.payload)
    named = (acknowledgement.log, acknowledgement.index, acknowledgement.leaf_hash)
    if named != (verified.origin, verified.index, verified.leaf_hash.hex()):
        raise NotProven("acknowledgement.other_entry", "the acknowledgement is about another entry")
    return acknowledgement


def delivery_document(
    verified: VerifiedReceipt, envelope: str, *, delivery_id: str, sequence: int, checkpoint: str
) -> dict[str, str | int]:
    """What is handed to the partner, whichever way it travels. `sequence` counts the partner's own
    deliveries, `checkpoint` is the sender's newest signed head.
    """
    genuine(verified)
    return {
        "type": DELIVERY_TYPE,
        "id": delivery_id,
        "sequence": sequence,
        "receipt": verified.receipt_text,
        "leaf": verified.leaf_bytes.decode(),
        "envelope": envelope,
        "checkpoint": checkpoint,
    }


def _bound(verified: VerifiedReceipt, suite: str) -> dict[str, Any]:
    """The header parameters that tie the ciphertext to its entry."""
    leaf = verified.leaf
    return {
        "suite": suite,
        "sender": leaf.sender,
        "recipient": leaf.recipient,
        "purpose": leaf.purpose,
        "categories": list(leaf.categories),
        "log": verified.origin,
        "index": verified.index,
        "leaf_hash": verified.leaf_hash.hex(),
    }


def _is_what_was_logged(verified: VerifiedReceipt, content: Mapping[str, Json], keys: Mapping[str, bytes]) -> None:
    wanted = set(verified.leaf.categories)
    if set(content) != wanted or set(keys) != wanted:
        raise NotProven("envelope.categories", "content and openings cover exactly the categories of the intent")
    for category, value in content.items():
        verify_opening(verified.leaf, f"content.{category}", keys[category], value)


def _decrypted(envelope: str, recipient_jwk: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    header = _header(envelope)
    suite = header.get("suite")
    if not isinstance(suite, str) or (header.get("alg"), header.get("enc")) != _algorithms(suite):
        raise NotProven("envelope.algorithm", "the algorithms are not those of the suite")
    key = _encryption_key(recipient_jwk, suite)
    try:
        opened = jwe.decrypt_compact(envelope, key, registry=_registry())
    except (JoseError, ValueError) as error:
        raise NotProven("envelope.not_opened", "this key does not open the envelope") from error
    if opened.plaintext is None or header.get("typ") != ENVELOPE_TYPE:
        raise Malformed("envelope.type", "this is encrypted, and is no envelope")
    return dict(opened.headers()), opened.plaintext


def _header(envelope: str) -> dict[str, Any]:
    """The protected header, not yet trusted: the decryption shows whether it is the one that was sealed."""
    encoded = envelope.partition(".")[0]
    try:
        return dict(json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))))
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed("envelope.form", "this is no envelope") from error


def _payload(plaintext: bytes) -> tuple[dict[str, Json], dict[str, bytes]]:
    try:
        document = json.loads(plaintext)
        keys = {name: bytes.fromhex(key) for name, key in document["openings"].items()}
        return dict(document["content"]), keys
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Malformed("envelope.payload", "the payload holds content and openings") from None


def _acknowledgement(payload: bytes) -> Acknowledgement:
    try:
        document = json.loads(payload)
        at = datetime.fromisoformat(document["at"])
        found = Acknowledgement(
            str(document["log"]),
            int(document["index"]),
            str(document["leaf_hash"]),
            Result(document["result"]),
            at.astimezone(UTC),
            document.get("checkpoint"),
            _text_or_none(document.get("cosigned")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Malformed("acknowledgement.payload", "an acknowledgement names entry, result and time") from None
    if at.tzinfo is None:
        raise Malformed("acknowledgement.payload", "the time of an acknowledgement is UTC")
    return found


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def _algorithms(suite: str) -> tuple[str, str]:
    if suite not in SUITES:
        raise Malformed("envelope.suite", "this suite was not agreed")
    return SUITES[suite]


def _encryption_key(jwk: Mapping[str, Any], suite: str) -> OKPKey | RSAKey:
    try:
        if suite.startswith("RSA"):
            rsa = RSAKey.import_key(dict(jwk))
            if rsa.raw_value.key_size < MIN_RSA_BITS:
                raise Malformed("envelope.key", f"an RSA key has at least {MIN_RSA_BITS} bits")
            return rsa
        okp = OKPKey.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Malformed("envelope.key", "the key does not fit the suite") from error
    if okp.curve_name != "X25519":
        raise Malformed("envelope.key", "this suite uses X25519")
    return okp


def _signature_key(jwk: Mapping[str, Any]) -> OKPKey:
    try:
        key = OKPKey.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Malformed("acknowledgement.key", "acknowledgements are signed with Ed25519") from error
    if key.curve_name != "Ed25519":
        raise Malformed("acknowledgement.key", "acknowledgements are signed with Ed25519")
    return key


def _canonical(document: object) -> bytes:
    try:
        return canonical(document)
    except NotCanonical as error:
        raise Malformed("envelope.content", "only strings, integers, booleans, null, lists and objects") from error
