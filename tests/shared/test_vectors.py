"""What is sealed, signed and opened, held against third-party vectors through the functions that everybody uses."""

import json
from base64 import urlsafe_b64encode

import pytest

from shared.crypto import FileCustody, Wrapped
from shared.envelope import open_envelope, verify_acknowledgement
from shared.errors import Invalid
from shared.merkle import NotProven
from shared.notes import Malformed
from tests.support.receipts import ToyLog, intent
from tests.support.vectors import vectors


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def test_what_is_wrapped_at_rest_opens_as_all_reference_cases_of_aes_gcm_say(tmp_path):
    groups = vectors("wycheproof_aes_gcm_test.json")["testGroups"]
    ours = [g for g in groups if (g["ivSize"], g["keySize"], g["tagSize"]) == (96, 256, 128)]
    cases = [case for group in ours for case in group["tests"]]
    assert len(cases) == 66
    ring = {"current": "1", "keys": {str(c["tcId"]): encoded(bytes.fromhex(c["key"])) for c in cases}}
    path = tmp_path / "ring"
    path.touch(mode=0o600)
    path.write_text(json.dumps(ring))
    custody = FileCustody(path)
    for case in cases:
        sealed, bound_to = encoded(bytes.fromhex(case["iv"] + case["ct"] + case["tag"])), bytes.fromhex(case["aad"])
        wrapped = Wrapped(str(case["tcId"]), sealed)
        if case["result"] == "valid":
            assert custody.unwrap(wrapped, bound_to) == bytes.fromhex(case["msg"]), case["tcId"]
        else:
            with pytest.raises(Invalid):
                custody.unwrap(wrapped, bound_to)


@pytest.fixture(scope="module")
def receipt():
    log = ToyLog()
    return log.verified(log.add(intent()[0]))


def keys_of(group):
    for half in ("public", "private"):
        document = group.get(half) or {}
        yield from document.get("keys", [document] if document else [])


def texts(name, member):
    groups = vectors(name)["testGroups"]
    return [(key, case[member]) for group in groups for case in group["tests"] for key in keys_of(group)]


@pytest.mark.parametrize("name", ["wycheproof_json_web_signature_test.json", "wycheproof_json_web_key_test.json"])
def test_no_signature_of_another_algorithm_acknowledges_anything(name, receipt):
    """HS, RS, PS and ES keys and signatures, good ones and bad ones: only Ed25519 was agreed."""
    cases = texts(name, "jws")
    assert len(cases) > 20
    for key, signed in cases:
        with pytest.raises((Malformed, NotProven)):
            verify_acknowledgement(signed, key, receipt)


def test_no_envelope_of_another_suite_is_opened(receipt):
    cases = texts("wycheproof_json_web_encryption_test.json", "jwe")
    assert len(cases) >= 139
    for key, envelope in cases:
        with pytest.raises((Malformed, NotProven)):
            open_envelope(envelope, key, receipt, recipient="pension_insurer")
