import copy
import json
import pickle
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import product

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.audit import (
    Leaf,
    Malformed,
    NotProven,
    Reference,
    VerifiedReceipt,
    commitment,
    genuine,
    verify_opening,
    verify_receipt,
)
from shared.canonical import NotCanonical, canonical
from shared.notes import log_verifier_key
from tests.support.receipts import CONTENT, ORIGIN, ToyLog, intent
from tests.support.shared_data import REPOSITORY
from tests.support.vectors import vectors

SCHEMA = json.loads((REPOSITORY / "contracts/formats/leaf.schema.json").read_text(encoding="utf-8"))
LOG = ToyLog()
LEAF, OPENINGS = intent()
for _ in range(4):
    LOG.add(intent()[0])
INDEX = LOG.add(LEAF)
LOG.add(Leaf(kind="looked", time=datetime(2026, 3, 2, tzinfo=UTC)))
RECEIPT, DATA = LOG.receipt(INDEX), LEAF.to_bytes()

tokens = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,20}", fullmatch=True)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}(\.[a-z][a-z0-9_]{0,20})?", fullmatch=True)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
norms = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


def several(what):
    return st.lists(what, unique=True, max_size=4).map(tuple)


leaves = st.builds(
    Leaf,
    kind=st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True),
    time=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    nonce=hashes,
    sender=st.none() | tokens,
    recipient=st.none() | tokens,
    purpose=st.none() | tokens,
    categories=several(tokens),
    decision=st.none() | tokens,
    norms=several(norms),
    rule_set=st.none() | hashes,
    obligations=several(tokens),
    commitments=st.dictionaries(names, hashes, max_size=4),
    about=st.none() | st.builds(Reference, st.just(ORIGIN), st.integers(0, 2**53 - 1)),
    result=st.none() | tokens,
    details=st.dictionaries(names, st.from_regex(r"[!-~]{1,40}", fullmatch=True), max_size=3),
)


@settings(deadline=None)
@given(leaves)
def test_a_leaf_is_read_back_from_its_bytes_and_fits_the_published_schema(leaf):
    assert Leaf.parse(leaf.to_bytes()) == leaf
    jsonschema.validate(json.loads(leaf.to_bytes()), SCHEMA)


def test_the_published_schema_names_exactly_the_members_of_a_leaf():
    members = {"version", *(each.name for each in fields(Leaf))}
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == members


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Intent"},
        {"nonce": "ab"},
        {"sender": "Ute Beispiel"},
        {"sender": 5},
        {"categories": ["b", "a"]},
        {"categories": ["a", "a"]},
        {"norms": ["§ 1\n"]},
        {"rule_set": "AB" * 32},
        {"commitments": {"person": "ab"}},
        {"commitments": {"Person": "ab" * 32}},
        {"about": {"log": ORIGIN}},
        {"about": {"log": ORIGIN, "index": -1}},
        {"about": {"log": ORIGIN, "index": True}},
        {"time": "2026-03-02T11:00:00Z"},
        {"time": "2026-13-02T11:00:00.000000Z"},
        {"time": None},
        {"previous": 7},
        {"details": {"note": "a sentence about somebody"}},
        {"version": 2},
        {"kind": "outcome"},
        {"name": "Ute Beispiel"},
    ],
)
def test_what_has_not_the_form_of_a_leaf_is_none(change):
    document = {**json.loads(DATA), **change}
    with pytest.raises(Malformed):
        Leaf.parse(canonical(document))


def test_a_leaf_has_one_spelling():
    document = json.loads(DATA)
    for other in (json.dumps(document).encode(), DATA + b"\n", DATA.replace(b'"version"', b'"\\u0076ersion"')):
        with pytest.raises(Malformed):
            Leaf.parse(other)


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_make_the_reader_of_leaves_stumble(data):
    with pytest.raises(Malformed):
        Leaf.parse(data)


def test_a_leaf_that_misses_a_member_is_none():
    for name in json.loads(DATA):
        document = json.loads(DATA)
        del document[name]
        with pytest.raises(Malformed):
            Leaf.parse(canonical(document))


def test_two_leaves_of_the_same_content_differ():
    first, _ = intent()
    second, _ = intent()
    assert first.to_bytes() != second.to_bytes()
    assert not set(first.commitments.values()) & set(second.commitments.values())


def test_a_leaf_says_nothing_about_the_person():
    for secret in (b"p-1", b"c-1", b"Ute", b"1990-02-03"):
        assert secret not in DATA


def test_who_has_key_and_value_can_open_a_commitment():
    for name, opening in OPENINGS.items():
        verify_opening(LEAF, name, opening.key, opening.value)


def test_a_commitment_opens_to_nothing_else():
    opening = OPENINGS["person"]
    for name, key, value in (
        ("person", opening.key, "p-2"),
        ("person", bytes(32), "p-1"),
        ("case", opening.key, "p-1"),
        ("facts", opening.key, "p-1"),
    ):
        with pytest.raises(NotProven):
            verify_opening(LEAF, name, key, value)


def test_a_commitment_needs_a_whole_key_and_a_value_without_fractions():
    with pytest.raises(Malformed):
        commitment(b"short", "p-1")
    with pytest.raises(Malformed):
        commitment(bytes(32), 0.5)


def test_openings_do_not_show_their_secrets_in_print():
    assert OPENINGS["person"].key.hex() not in repr(OPENINGS)
    assert "p-1" not in repr(OPENINGS["person"])


def test_a_receipt_proves_place_and_content():
    verified = verify_receipt(RECEIPT, DATA, LOG.verifier_key)
    assert (verified.origin, verified.index, verified.leaf) == (ORIGIN, INDEX, LEAF)
    assert verified.checkpoint.size == 6
    assert genuine(verified) is verified


def test_a_receipt_is_checked_with_either_key_during_an_overlap():
    later = log_verifier_key(ORIGIN, ToyLog().key.public_key())
    assert verify_receipt(RECEIPT, DATA, [later, LOG.verifier_key]).index == INDEX


def test_a_receipt_does_not_prove_another_leaf():
    with pytest.raises(NotProven):
        verify_receipt(RECEIPT, LOG.leaves[0], LOG.verifier_key)


def test_a_receipt_does_not_hold_under_another_key():
    with pytest.raises(NotProven):
        verify_receipt(RECEIPT, DATA, ToyLog().verifier_key)


def test_what_nobody_signed_is_not_part_of_a_receipt():
    with pytest.raises(Malformed):
        verify_receipt(RECEIPT.replace("\nindex", "\nextra QQ==\nindex"), DATA, LOG.verifier_key)


def test_every_changed_bit_in_receipt_and_leaf_is_found():
    missed, tried = [], 0
    for index in (0, INDEX):
        data = LOG.leaves[index]
        whole = LOG.receipt(index).encode() + data
        for at, bit in product(range(len(whole)), range(8)):
            bent = bytearray(whole)
            bent[at] ^= 1 << bit
            tried += 1
            try:
                verify_receipt(bent[: -len(data)].decode(), bytes(bent[-len(data) :]), LOG.verifier_key)
            except (NotProven, Malformed, UnicodeDecodeError):
                continue
            missed.append((index, at, bit))
    assert tried > 10_000
    assert missed == []


def test_every_line_of_a_receipt_is_needed():
    lines = RECEIPT.splitlines(keepends=True)
    for left_out in range(len(lines)):
        shorter = "".join(lines[:left_out] + lines[left_out + 1 :])
        with pytest.raises((NotProven, Malformed)):
            verify_receipt(shorter, DATA, LOG.verifier_key)


def test_nothing_but_the_check_makes_a_verified_receipt():
    verified = LOG.verified(INDEX)
    forged = object.__new__(VerifiedReceipt)
    for name in ("origin", "index", "leaf", "leaf_bytes", "leaf_hash", "checkpoint", "receipt_text"):
        object.__setattr__(forged, name, getattr(verified, name))
    for impostor in (forged, LEAF, None):
        with pytest.raises(NotProven, match="no_receipt"):
            genuine(impostor)
    for way in (
        VerifiedReceipt,
        lambda: copy.copy(verified),
        lambda: copy.deepcopy(verified),
        lambda: pickle.dumps(verified),
        lambda: replace(verified),
        lambda: type("Loose", (VerifiedReceipt,), {}),
    ):
        with pytest.raises(TypeError):
            way()


def test_a_verified_receipt_does_not_change():
    verified = LOG.verified(INDEX)
    with pytest.raises(AttributeError):
        verified.index = 3
    with pytest.raises(AttributeError):
        del verified.index


def test_the_kinds_that_are_written_down_are_kinds():
    text = (REPOSITORY / "contracts/formats/leaf.md").read_text(encoding="utf-8")
    kinds = re.findall(r"`(\w+)`", text.partition("## Kinds")[2].partition("## Commitments")[0])
    assert {"intent", "outcome", "denial", "looked"} <= set(kinds)
    for kind in set(kinds) - {"about", "result"}:
        Leaf(kind=kind, about=Reference(ORIGIN, 1))


def test_content_is_committed_to_category_by_category():
    assert {f"content.{category}" for category in CONTENT} <= set(LEAF.commitments)


def test_leaves_are_hashed_in_the_canonical_form_of_the_reference():
    cases = vectors("rfc8785_jcs.json")
    refused = set()
    for case in cases:
        try:
            assert canonical(json.loads(case["input_utf8"])).decode() == case["expected_utf8"], case["name"]
        except NotCanonical:
            refused.add(case["name"])
    assert refused == {"structures", "values"}  # which hold numbers that are no integers
