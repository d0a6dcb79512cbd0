"""A partner reads our receipts with `contracts/verify_receipt.py`, which shares no code with us."""

import ast
import base64
import hmac
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OKPKey

from contracts.verify_receipt import verify_receipt as independently
from shared.audit import Leaf, verify_receipt
from shared.canonical import canonical
from shared.envelope import _registry, seal
from shared.errors import HandschlagError
from tests.support.receipts import CONTENT, ToyLog, intent
from tests.support.shared_data import REPOSITORY

READER = REPOSITORY / "contracts/verify_receipt.py"
NO = (ValueError, IndexError, InvalidSignature)


def grown(size):
    log = ToyLog()
    for number in range(size):
        log.add(Leaf(kind="looked", time=datetime(2026, 3, 2, tzinfo=UTC), nonce=f"{number:064x}"))
    return log


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.data())
def test_both_readers_say_yes_to_every_receipt(size, data):
    log = grown(size)
    index = data.draw(st.integers(0, size - 1))
    receipt, leaf = log.receipt(index), log.leaves[index]
    assert verify_receipt(receipt, leaf, log.verifier_key).index == index
    assert independently(receipt, leaf, log.verifier_key).startswith(
        f"entry {index} of {log.origin}, in a tree of {size}"
    )


LOG = grown(11)


@settings(deadline=None, max_examples=500)
@given(st.integers(0, 10), st.data())
def test_both_readers_say_no_to_every_changed_bit(index, data):
    receipt, leaf = bytearray(LOG.receipt(index).encode()), bytearray(LOG.leaves[index])
    part = data.draw(st.sampled_from([receipt, leaf]))
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((HandschlagError, UnicodeDecodeError)):
        verify_receipt(receipt.decode(), bytes(leaf), LOG.verifier_key)
    with pytest.raises(NO):
        independently(receipt.decode(), bytes(leaf), LOG.verifier_key)


def test_both_readers_say_no_to_another_log_and_another_entry():
    other = grown(11)
    for receipt, leaf, key in (
        (LOG.receipt(3), LOG.leaves[3], other.verifier_key),
        (other.receipt(3), LOG.leaves[3], LOG.verifier_key),
        (LOG.receipt(3), LOG.leaves[4], LOG.verifier_key),
        ("", LOG.leaves[3], LOG.verifier_key),
    ):
        with pytest.raises(HandschlagError):
            verify_receipt(receipt, leaf, key)
        with pytest.raises(NO):
            independently(receipt, leaf, key)


def test_the_independent_reader_imports_nothing_of_ours_and_stays_small():
    source = READER.read_text(encoding="utf-8")
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}
    assert len(source.splitlines()) <= 65


def test_the_independent_reader_is_a_program(tmp_path):
    (tmp_path / "receipt").write_text(LOG.receipt(4), encoding="utf-8")
    (tmp_path / "leaf").write_bytes(LOG.leaves[4])
    command = [sys.executable, "-I", str(READER), str(tmp_path / "receipt"), str(tmp_path / "leaf")]
    good = subprocess.run([*command, LOG.verifier_key], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.startswith("entry 4 of")) == (0, True)
    bad = subprocess.run([*command, grown(1).verifier_key], capture_output=True, text=True, check=False)
    assert bad.returncode != 0


def test_what_the_format_says_about_the_envelope_is_enough_to_open_it():
    """By envelope.md alone: register the parameters it lists, decrypt, open each commitment by hand."""
    leaf, openings = intent()
    log = ToyLog()
    verified = log.verified(log.add(leaf))
    partner = OKPKey.generate_key("X25519")
    envelope = seal(
        verified,
        CONTENT,
        {category: openings[f"content.{category}"] for category in CONTENT},
        partner.as_dict(private=False),
        sender="jobcenter",
        recipient="pension_insurer",
        purpose="rehabilitation",
        categories=tuple(CONTENT),
        reference="d1c3",
    )
    text = (REPOSITORY / "contracts/formats/envelope.md").read_text(encoding="utf-8")
    header = json.loads(base64.urlsafe_b64decode(envelope.partition(".")[0] + "=="))
    assert all(f"`{name}`" in text for name in header)
    payload = json.loads(jwe.decrypt_compact(envelope, partner, registry=_registry()).plaintext)
    said = json.loads(verified.leaf_bytes)
    for category, value in payload["content"].items():
        key = bytes.fromhex(payload["openings"][category])
        made = hmac.digest(key, canonical(value), "sha256").hex()
        assert made == said["commitments"][f"content.{category}"]
    assert [header[name] for name in ("sender", "recipient", "purpose", "categories")] == [
        said[name] for name in ("sender", "recipient", "purpose", "categories")
    ]
