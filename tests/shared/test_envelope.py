import base64
import json
import time
import warnings
from datetime import UTC, datetime

import pytest
from joserfc import jwe, jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from shared.audit import Leaf, Malformed, NotProven, VerifiedReceipt
from shared.canonical import canonical
from shared.envelope import (
    ACKNOWLEDGEMENT_TYPE,
    MAX_CIPHERTEXT,
    Acknowledgement,
    Result,
    _registry,
    delivery_document,
    open_envelope,
    seal,
    sign_acknowledgement,
    verify_acknowledgement,
)
from tests.support.receipts import CONTENT, ToyLog, intent

LOG = ToyLog()
LEAF, OPENINGS = intent()
VERIFIED = LOG.verified(LOG.add(LEAF))
OTHER_LEAF, OTHER_OPENINGS = intent()
OTHER = LOG.verified(LOG.add(OTHER_LEAF))
KEYS = {category: OPENINGS[f"content.{category}"] for category in CONTENT}
SAID = {
    "sender": "jobcenter",
    "recipient": "pension_insurer",
    "purpose": "rehabilitation",
    "categories": tuple(CONTENT),
    "reference": "d1c3",
}
PARTNER = OKPKey.generate_key("X25519", {"kid": "partner-1"})
PRIVATE, PUBLIC = PARTNER.as_dict(private=True), PARTNER.as_dict(private=False)
SIGNER = OKPKey.generate_key("Ed25519", {"kid": "partner-sign-1"})
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ACKNOWLEDGED = Acknowledgement(VERIFIED.origin, VERIFIED.index, VERIFIED.leaf_hash.hex(), Result.MATCHED, NOON)


def sealed(verified=VERIFIED, **changed):
    return seal(verified, **{"content": CONTENT, "openings": KEYS, "recipient_jwk": PUBLIC, **SAID, **changed})


@pytest.fixture(scope="module")
def rsa():
    return RSAKey.generate_key(4096)


def test_the_recipient_opens_what_was_sealed_for_it():
    opened = open_envelope(sealed(), PRIVATE, VERIFIED, recipient="pension_insurer")
    assert opened.content == CONTENT
    assert (opened.header["kid"], opened.header["purpose"]) == ("partner-1", "rehabilitation")


def test_an_rsa_key_of_4096_bits_will_do(rsa):
    envelope = sealed(recipient_jwk=rsa.as_dict(private=False), suite="RSA-OAEP-256/A256GCM")
    opened = open_envelope(envelope, rsa.as_dict(private=True), VERIFIED, recipient="pension_insurer")
    assert opened.content == CONTENT


def test_a_short_rsa_key_will_not_do():
    short = RSAKey.generate_key(2048).as_dict(private=False)
    with pytest.raises(Malformed, match=r"envelope\.key"):
        sealed(recipient_jwk=short, suite="RSA-OAEP-256/A256GCM")


def test_without_a_genuine_receipt_nothing_is_sealed():
    forged = object.__new__(VerifiedReceipt)
    for no_receipt in (forged, None, LEAF):
        with pytest.raises(NotProven, match="no_receipt"):
            sealed(verified=no_receipt)


def test_only_an_intent_lets_data_leave():
    leaf = Leaf(kind="looked", time=NOON, sender="jobcenter", recipient="pension_insurer", purpose="rehabilitation")
    looked = LOG.verified(LOG.add(leaf))
    with pytest.raises(NotProven, match="other_intent"):
        sealed(verified=looked, categories=(), content={}, openings={})


@pytest.mark.parametrize(
    "changed",
    [
        {"sender": "another"},
        {"recipient": "another"},
        {"purpose": "another"},
        {"categories": ("master_data",)},
    ],
)
def test_what_is_sealed_is_what_the_intent_says(changed):
    with pytest.raises(NotProven, match="other_intent"):
        sealed(**changed)


def test_other_content_than_was_logged_is_not_sealed():
    with pytest.raises(NotProven, match="opening"):
        sealed(content={**CONTENT, "master_data": {"name": "Ute Beispiel", "born": "1991-02-03"}})
    with pytest.raises(NotProven, match="opening"):
        sealed(openings={**KEYS, "master_data": bytes(32)})
    with pytest.raises(NotProven, match="categories"):
        sealed(content={"master_data": CONTENT["master_data"]})
    with pytest.raises(NotProven, match="categories"):
        sealed(content={**CONTENT, "health": {}})
    with pytest.raises(NotProven, match="opening"):
        sealed(verified=OTHER)


def test_another_key_does_not_open_it():
    stranger = OKPKey.generate_key("X25519").as_dict(private=True)
    with pytest.raises(NotProven, match="not_opened"):
        open_envelope(sealed(), stranger, VERIFIED, recipient="pension_insurer")


def test_a_key_of_another_kind_is_no_key():
    for key in (SIGNER, ECKey.generate_key("P-256"), OctKey.generate_key(256)):
        with pytest.raises(Malformed, match=r"envelope\.key"):
            sealed(recipient_jwk=key.as_dict())


def test_an_envelope_is_opened_against_its_own_receipt_only():
    with pytest.raises(NotProven, match="other_entry"):
        open_envelope(sealed(), PRIVATE, OTHER, recipient="pension_insurer")


def test_an_envelope_for_somebody_else_is_not_opened():
    with pytest.raises(NotProven, match="other_recipient"):
        open_envelope(sealed(), PRIVATE, VERIFIED, recipient="health_insurer")


def header_of(envelope):
    return json.loads(base64.urlsafe_b64decode(envelope.partition(".")[0] + "=="))


def with_header(envelope, header):
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{envelope.partition('.')[2]}"


def test_every_changed_parameter_of_the_header_is_found():
    envelope = sealed()
    header = header_of(envelope)
    for name, value in header.items():
        other = value + 1 if isinstance(value, int) else [*value, "x"] if isinstance(value, list) else "x"
        with pytest.raises((NotProven, Malformed)):
            open_envelope(
                with_header(envelope, {**header, name: other}), PRIVATE, VERIFIED, recipient="pension_insurer"
            )
        rest = {each: header[each] for each in header if each != name}
        with pytest.raises((NotProven, Malformed)):
            open_envelope(with_header(envelope, rest), PRIVATE, VERIFIED, recipient="pension_insurer")


def test_changed_ciphertext_is_found():
    parts = sealed().split(".")
    for at in range(1, 5):
        bent = parts.copy()
        bent[at] = ("A" if parts[at][0] != "A" else "B") + parts[at][1:]
        with pytest.raises((NotProven, Malformed)):
            open_envelope(".".join(bent), PRIVATE, VERIFIED, recipient="pension_insurer")


def test_no_other_algorithm_is_accepted():
    header = {k: v for k, v in header_of(sealed()).items() if k not in {"alg", "epk", "kid"}}
    payload = canonical({"content": CONTENT, "openings": {name: key.key.hex() for name, key in KEYS.items()}})
    for alg, enc, suite in (
        ("ECDH-ES", "A256GCM", "ECDH-ES/A256GCM"),
        ("ECDH-ES", "A256GCM", "ECDH-ES+A256KW/A256GCM"),
        ("ECDH-ES+A256KW", "A128CBC-HS256", "ECDH-ES+A256KW/A256GCM"),
        ("ECDH-ES+A128KW", "A256GCM", "ECDH-ES+A256KW/A256GCM"),
    ):
        loose = _registry()
        loose.allowed = [alg, enc]
        envelope = jwe.encrypt_compact(
            {**header, "alg": alg, "enc": enc, "suite": suite}, payload, PARTNER, registry=loose
        )
        with pytest.raises((NotProven, Malformed), match=r"envelope\.(algorithm|suite)"):
            open_envelope(envelope, PRIVATE, VERIFIED, recipient="pension_insurer")


def test_compression_and_unknown_parameters_are_refused():
    header = {k: v for k, v in header_of(sealed()).items() if k != "epk"}
    for extra in ({"zip": "DEF"}, {"note": "hello"}):
        loose = _registry()
        loose.allowed = ["ECDH-ES+A256KW", "A256GCM", "DEF"]
        loose.strict_check_header = False
        envelope = jwe.encrypt_compact({**header, **extra}, b"{}", PARTNER, registry=loose)
        with pytest.raises(NotProven, match="not_opened"):
            open_envelope(envelope, PRIVATE, VERIFIED, recipient="pension_insurer")


def test_a_payload_that_is_not_what_was_logged_is_refused_by_the_recipient():
    header = {k: v for k, v in header_of(sealed()).items() if k != "epk"}
    keys = {name: key.key.hex() for name, key in KEYS.items()}
    for payload, error in (
        ({"content": {**CONTENT, "master_data": {}}, "openings": keys}, NotProven),
        ({"content": CONTENT, "openings": {**keys, "master_data": "00" * 32}}, NotProven),
        ({"content": CONTENT}, Malformed),
        ({"content": [], "openings": 5}, Malformed),
    ):
        envelope = jwe.encrypt_compact(header, canonical(payload), PARTNER, registry=_registry())
        with pytest.raises(error):
            open_envelope(envelope, PRIVATE, VERIFIED, recipient="pension_insurer")


@pytest.mark.parametrize("text", ["", "a.b.c.d.e", "e30.b.c.d.e", "bnVsbA.b.c.d.e", "ä.b.c.d.e", "{}"])
def test_what_is_no_envelope_is_refused(text):
    with pytest.raises((Malformed, NotProven)):
        open_envelope(text, PRIVATE, VERIFIED, recipient="pension_insurer")


def test_a_mebibyte_fits_and_five_do_not():
    report = {"health": {"report": "x" * 1024 * 1024}}
    leaf, openings = intent(report)
    verified = LOG.verified(LOG.add(leaf))
    keys = {"health": openings["content.health"]}
    started = time.perf_counter()
    envelope = sealed(verified=verified, content=report, openings=keys, categories=("health",))
    assert time.perf_counter() - started < 2
    assert open_envelope(envelope, PRIVATE, verified, recipient="pension_insurer").content == report
    large = {"health": {"report": "x" * (MAX_CIPHERTEXT + 1)}}
    leaf, openings = intent(large)
    verified = LOG.verified(LOG.add(leaf))
    with pytest.raises(Malformed, match="too_large"):
        sealed(
            verified=verified,
            content=large,
            openings={"health": openings["content.health"]},
            categories=("health",),
        )


def test_the_delivery_carries_all_that_the_recipient_needs():
    document = delivery_document(VERIFIED, sealed(), delivery_id="d-1", sequence=4, checkpoint="head")
    assert document["leaf"].encode() == VERIFIED.leaf_bytes
    assert document["receipt"] == VERIFIED.receipt_text
    assert set(document) == {"type", "id", "sequence", "receipt", "leaf", "envelope", "checkpoint"}


def test_an_acknowledgement_says_what_the_recipient_found():
    text = sign_acknowledgement(ACKNOWLEDGED, SIGNER.as_dict(private=True))
    assert verify_acknowledgement(text, SIGNER.as_dict(private=False), VERIFIED) == ACKNOWLEDGED


def test_an_acknowledgement_is_about_one_entry():
    text = sign_acknowledgement(ACKNOWLEDGED, SIGNER.as_dict(private=True))
    with pytest.raises(NotProven, match="other_entry"):
        verify_acknowledgement(text, SIGNER.as_dict(private=False), OTHER)


def test_an_acknowledgement_of_somebody_else_does_not_count():
    stranger = OKPKey.generate_key("Ed25519")
    text = sign_acknowledgement(ACKNOWLEDGED, stranger.as_dict(private=True))
    with pytest.raises(NotProven, match="signature"):
        verify_acknowledgement(text, SIGNER.as_dict(private=False), VERIFIED)


def test_an_acknowledgement_under_the_older_name_of_the_algorithm_counts():
    payload = jws.deserialize_compact(
        sign_acknowledgement(ACKNOWLEDGED, SIGNER.as_dict(private=True)), SIGNER, algorithms=["Ed25519"]
    ).payload
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        older = jws.serialize_compact(
            {"alg": "EdDSA", "typ": ACKNOWLEDGEMENT_TYPE}, payload, SIGNER, algorithms=["EdDSA"]
        )
    assert verify_acknowledgement(older, SIGNER.as_dict(private=False), VERIFIED) == ACKNOWLEDGED


@pytest.mark.parametrize(
    "changed", [{"result": "perhaps"}, {"at": "yesterday"}, {"at": "2026-03-02T11:00:00"}, {"index": None}]
)
def test_an_acknowledgement_with_something_else_inside_is_none(changed):
    document = {"log": VERIFIED.origin, "index": VERIFIED.index, "leaf_hash": VERIFIED.leaf_hash.hex()}
    document |= {"result": "matched", "at": "2026-03-02T11:00:00Z"} | changed
    text = jws.serialize_compact(
        {"alg": "Ed25519", "typ": ACKNOWLEDGEMENT_TYPE}, canonical(document), SIGNER, algorithms=["Ed25519"]
    )
    with pytest.raises(Malformed):
        verify_acknowledgement(text, SIGNER.as_dict(private=False), VERIFIED)


def test_something_else_that_the_partner_signed_is_no_acknowledgement():
    text = jws.serialize_compact({"alg": "Ed25519"}, b"{}", SIGNER, algorithms=["Ed25519"])
    with pytest.raises(Malformed):
        verify_acknowledgement(text, SIGNER.as_dict(private=False), VERIFIED)
    with pytest.raises(Malformed):
        sign_acknowledgement(ACKNOWLEDGED, PRIVATE)
