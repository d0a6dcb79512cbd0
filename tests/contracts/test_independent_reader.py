"""A partner reads receipts and bundles with the readers in `contracts/`, which share no code with us."""

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

from contracts.verify_log import verify_bundle as bundle_independently
from contracts.verify_log import verify_receipt as receipt_independently
from contracts.verify_receipt import verify_receipt as independently
from services.command.bundle_check import check_bundle
from shared.audit import Leaf, verify_receipt
from shared.canonical import canonical
from shared.envelope import _registry, seal
from shared.errors import HandschlagError
from shared.notes import VerifierKey
from tests.support.bundles import all_kinds, resealed
from tests.support.receipts import CONTENT, ToyLog, intent
from tests.support.shared_data import REPOSITORY

READER = REPOSITORY / "contracts/verify_receipt.py"
LARGE_READER = REPOSITORY / "contracts/verify_log.py"
NO = (ValueError, IndexError, InvalidSignature)
NO_BUNDLE = (*NO, KeyError, TypeError, AttributeError)


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
    assert receipt_independently(receipt, leaf, [log.verifier_key]) == (log.origin, index, size)


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
    with pytest.raises(NO):
        receipt_independently(receipt.decode(), bytes(leaf), [LOG.verifier_key])


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


@pytest.mark.parametrize(("reader", "lines"), [(READER, 65), (LARGE_READER, 240)])
def test_an_independent_reader_imports_nothing_of_ours_and_stays_small(reader, lines):
    source = reader.read_text(encoding="utf-8")
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}
    assert len(source.splitlines()) <= lines


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


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return all_kinds(tmp_path_factory.mktemp("bundles"))


def we_say(data, keys):
    try:
        check_bundle(data.splitlines(keepends=True), [VerifierKey.parse(key) for key in keys])
    except HandschlagError:
        return False
    return True


def they_say(data, keys):
    try:
        bundle_independently(data.splitlines(keepends=True), list(keys))
    except NO_BUNDLE:
        return False
    return True


def test_both_readers_say_yes_to_every_bundle(bundles):
    for bundle in bundles.values():
        assert we_say(bundle.data, bundle.keys)
        assert they_say(bundle.data, bundle.keys)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_both_readers_say_no_to_every_changed_bit_of_a_bundle(bundles, data):
    bundle = bundles[data.draw(st.sampled_from(sorted(bundles)))]
    line = data.draw(st.integers(0, len(bundle.lines) - 1))
    start = sum(len(each.encode()) + 1 for each in bundle.lines[:line])
    changed = bytearray(bundle.data)
    changed[start + data.draw(st.integers(0, len(bundle.lines[line].encode())))] ^= 1 << data.draw(st.integers(0, 7))
    assert not we_say(bytes(changed), bundle.keys)
    assert not they_say(bytes(changed), bundle.keys)


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def changed_at(value, path, change):
    """A copy of the value with `change` made to what stands at the place."""
    if not path:
        return change(value)
    first, *rest = path
    if isinstance(value, dict):
        return {**value, first: changed_at(value[first], rest, change)}
    return [changed_at(each, rest, change) if number == first else each for number, each in enumerate(value)]


def altered(value):
    """Something else of the same kind."""
    if isinstance(value, bool) or value is None:
        return "something"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
    return {**value, "more": 1} if isinstance(value, dict) else [*value, "more"]


MAY_BE_LEFT_OUT = ("rules", "keys", "openings")


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_both_readers_agree_about_every_bundle_that_was_changed_and_sealed_again(bundles, data):
    """Whoever changes a bundle can make an end that fits: nothing that a bundle says rests on that."""
    bundle = bundles[data.draw(st.sampled_from(sorted(bundles)))]
    lines = [*bundle.lines[:-1]]
    at = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[at])
    path = data.draw(st.sampled_from(list(places(document))))
    lines[at] = canonical(changed_at(document, path, altered)).decode()
    verdict = we_say(resealed(lines), bundle.keys)
    assert verdict == they_say(resealed(lines), bundle.keys)
    assert not verdict


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_both_readers_agree_about_every_bundle_from_which_something_was_taken(bundles, data):
    bundle = bundles[data.draw(st.sampled_from(sorted(bundles)))]
    lines = [*bundle.lines[:-1]]
    at = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[at])
    path = data.draw(st.sampled_from(list(places(document))))
    if not path:
        taken = [each for number, each in enumerate(lines) if number != at]
    else:
        *parent, name = path

        def without(value):
            if isinstance(value, dict):
                return {key: each for key, each in value.items() if key != name}
            return [each for number, each in enumerate(value) if number != name]

        taken = [*lines[:at], canonical(changed_at(document, parent, without)).decode(), *lines[at + 1 :]]
    verdict = we_say(resealed(taken), bundle.keys)
    assert verdict == they_say(resealed(taken), bundle.keys)
    assert not verdict or "rules" in document or any(name in path for name in MAY_BE_LEFT_OUT)


def test_the_large_reader_is_a_program_for_a_machine_that_never_saw_the_system(bundles, tmp_path):
    program = [sys.executable, "-I", str(LARGE_READER)]
    for name, bundle in bundles.items():
        file = tmp_path / name
        file.write_bytes(bundle.data)
        good = subprocess.run(
            [*program, "bundle", str(file), *bundle.keys], capture_output=True, text=True, check=False
        )
        assert (good.returncode, "NOT proved" in good.stdout) == (0, True), good.stderr
        changed = bytearray(bundle.data)
        changed[len(changed) // 2] ^= 1
        file.write_bytes(changed)
        bad = subprocess.run([*program, "bundle", str(file), *bundle.keys], capture_output=True, text=True, check=False)
        assert (bad.returncode, bad.stdout, bad.stderr.startswith("not proved: ")) == (1, "", True)
    (tmp_path / "receipt").write_text(LOG.receipt(4), encoding="utf-8")
    (tmp_path / "leaf").write_bytes(LOG.leaves[4])
    files = [str(tmp_path / "receipt"), str(tmp_path / "leaf"), LOG.verifier_key]
    receipt = subprocess.run([*program, "receipt", *files], capture_output=True, text=True, check=False)
    assert (receipt.returncode, receipt.stdout.startswith("entry 4 of")) == (0, True)


def test_both_readers_know_one_spelling_of_a_number(bundles):
    bundle = bundles["turn"]
    at = next(number for number, line in enumerate(bundle.lines) if line.startswith('{"index"'))
    for spelled in (".0", "e0"):
        lines = [*bundle.lines[:-1]]
        lines[at] = lines[at].replace(",", f"{spelled},", 1)
        assert not we_say(resealed(lines), bundle.keys)
        assert not they_say(resealed(lines), bundle.keys)
