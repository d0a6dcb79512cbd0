import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.merkle import Frontier, NotProven, inclusion_path, leaf_hash
from shared.notes import (
    COSIGNATURE,
    Checkpoint,
    Malformed,
    Proof,
    VerifierKey,
    cosign,
    cosignature_time,
    ed25519_holds,
    log_verifier_key,
    open_checkpoint,
    open_note,
    sign_note,
)
from tests.support.vectors import vectors

ORIGIN = "handschlag.example/jobcenter/2026"
LOG = Ed25519PrivateKey.from_private_bytes(b"log-key-for-tests-and-only-those")
OTHER = Ed25519PrivateKey.from_private_bytes(b"other-key-for-tests-only-a-toy--")
KEY = VerifierKey.parse(log_verifier_key(ORIGIN, LOG.public_key()))
LEAVES = [leaf_hash(bytes([index])) for index in range(7)]
TREE, NODES = Frontier().extended(LEAVES)
HEAD = Checkpoint(ORIGIN, 7, TREE.root())
NOTE = sign_note(str(HEAD), (ORIGIN, LOG))
PROOF = Proof(3, inclusion_path(3, 7, lambda wanted: {each: NODES[each] for each in wanted}), NOTE)


def test_a_signed_checkpoint_opens_with_the_key_of_its_log():
    assert open_checkpoint(NOTE, [KEY]) == HEAD
    assert open_checkpoint(NOTE.encode(), [KEY]) == HEAD


def test_a_checkpoint_is_not_opened_by_another_key_of_the_same_name():
    other = VerifierKey.parse(log_verifier_key(ORIGIN, OTHER.public_key()))
    with pytest.raises(NotProven, match="no_known_signature"):
        open_checkpoint(NOTE, [other])


def test_a_known_log_cannot_sign_for_another_one():
    foreign = sign_note(str(HEAD), ("handschlag.example/other/2026", OTHER))
    key = VerifierKey.parse(log_verifier_key("handschlag.example/other/2026", OTHER.public_key()))
    with pytest.raises(NotProven, match="foreign_signature"):
        open_checkpoint(foreign, [key, KEY])


def test_a_witness_alone_does_not_make_a_checkpoint():
    witness = VerifierKey("witness.example", OTHER.public_key().public_bytes_raw(), COSIGNATURE)
    text = str(HEAD)
    note = f"{text}\n{cosign(NOTE, 'witness.example', OTHER, 1_790_000_000)}"
    with pytest.raises(NotProven, match="foreign_signature"):
        open_checkpoint(note, [witness])


def test_a_witness_says_when_it_saw_the_checkpoint():
    witness = VerifierKey("witness.example", OTHER.public_key().public_bytes_raw(), COSIGNATURE)
    note = NOTE + cosign(NOTE, "witness.example", OTHER, 1_790_000_000)
    opened = open_note(note, [KEY, witness])
    assert [(each.name, each.time) for each in opened.signatures] == [
        (ORIGIN, None),
        ("witness.example", 1_790_000_000),
    ]
    assert open_checkpoint(note, [KEY]) == HEAD


def test_a_cosignature_has_the_bytes_of_the_standard():
    """c2sp.org/tlog-cosignature, with its own example of what is signed, put together here word by word."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    name, moment = "witness.example.com/w1", 1_679_315_147
    line = cosign(sign_note(text, ("example.com/behind-the-sofa", LOG)), name, OTHER, moment)
    dash, said, encoded = line.removesuffix("\n").split(" ")
    blob = base64.b64decode(encoded, validate=True)
    public = OTHER.public_key().public_bytes_raw()
    assert (dash, said, len(blob), line.count("\n")) == ("\u2014", name, 4 + 8 + 64, 1)
    assert blob[:4] == hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    assert blob[4:12] == bytes.fromhex("00000000641850cb")
    OTHER.public_key().verify(blob[12:], f"cosignature/v1\ntime {moment}\n{text}".encode())
    assert str(VerifierKey(name, public, COSIGNATURE)).startswith(f"{name}+{blob[:4].hex()}+B")


def test_the_time_of_a_cosignature_ends_before_two_to_the_63():
    with pytest.raises(Malformed):
        cosign(NOTE, "witness.example", OTHER, 1 << 63)
    with pytest.raises(Malformed):
        cosignature_time((1 << 63).to_bytes(8, "big") + bytes(64))
    assert cosignature_time(((1 << 63) - 1).to_bytes(8, "big") + bytes(64)) == (1 << 63) - 1


def test_a_cosignature_is_no_signature_of_the_log_and_a_logs_signature_is_no_cosignature():
    as_witness = VerifierKey(ORIGIN, LOG.public_key().public_bytes_raw(), COSIGNATURE)
    with pytest.raises(NotProven):
        open_note(NOTE, [as_witness])
    with pytest.raises(NotProven):
        open_note(f"{HEAD}\n{cosign(NOTE, ORIGIN, LOG, 1)}", [KEY])


def test_a_bad_signature_of_a_known_witness_condemns_the_whole_note():
    witness = VerifierKey("witness.example", OTHER.public_key().public_bytes_raw(), COSIGNATURE)
    line = cosign(sign_note("another\ntext\n", (ORIGIN, LOG)), "witness.example", OTHER, 1_790_000_000)
    with pytest.raises(NotProven, match="signature"):
        open_note(NOTE + line, [KEY, witness])


def test_two_keys_sign_during_the_overlap_after_a_change_of_key():
    note = sign_note(str(HEAD), (ORIGIN, LOG), (ORIGIN, OTHER))
    later = VerifierKey.parse(log_verifier_key(ORIGIN, OTHER.public_key()))
    assert open_checkpoint(note, [KEY]) == open_checkpoint(note, [later]) == HEAD


def test_a_proof_says_the_same_after_a_journey_as_text():
    assert Proof.parse(str(PROOF)) == PROOF
    with_extra = Proof(3, PROOF.path, NOTE, b"anything")
    assert Proof.parse(str(with_extra)) == with_extra
    assert PROOF.verify(LEAVES[3], [KEY]) == HEAD


def test_a_proof_does_not_hold_for_another_leaf():
    with pytest.raises(NotProven, match="inclusion"):
        PROOF.verify(LEAVES[4], [KEY])


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_one_changed_bit_anywhere_in_a_receipt_is_found(data):
    receipt = bytearray(str(PROOF).encode())
    receipt[data.draw(st.integers(0, len(receipt) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((NotProven, Malformed, UnicodeDecodeError)):
        Proof.parse(receipt.decode()).verify(LEAVES[3], [KEY])


@settings(deadline=None)
@given(st.text())
def test_no_text_makes_the_readers_stumble(text):
    for read in (Proof.parse, Checkpoint.parse, VerifierKey.parse, lambda each: open_note(each, [KEY])):
        with pytest.raises((Malformed, NotProven)):
            read(text)


def test_a_key_name_has_no_plus_and_no_space():
    for name in ("", "a+b", "a b", "a\u00a0b", "a\nb"):
        with pytest.raises(Malformed):
            VerifierKey(name, bytes(32))


NOTES = vectors("c2sp_notes.json")


def outcome(action):
    try:
        return action()
    except (Malformed, NotProven):
        return None


def test_all_reference_notes_behave_as_they_say():
    for case in NOTES["notes"]:
        keys = [VerifierKey.parse(each) for each in case["vkeys"]]
        note = outcome(lambda case=case, keys=keys: open_note(base64.b64decode(case["note_b64"]), keys))
        assert (note is not None) == case["ok"], case["name"]
        assert [each.name for each in note.signatures] == case["verified"] if note else True, case["name"]


def test_all_reference_verifier_keys_behave_as_they_say():
    for case in NOTES["vkeys"]:
        key = outcome(lambda case=case: VerifierKey.parse(case["vkey"]))
        assert (str(key) == case["vkey"]) == case["ok"], case["name"]


def test_a_mangled_verifier_key_is_none():
    key = NOTES["vkeys"][0]["vkey"]
    parts = {key[start:end] for start in range(len(key)) for end in range(start + 1, len(key) + 1)} - {key}
    bent = {key[:at] + chr(ord(key[at]) + 1) + key[at + 1 :] for at in range(len(key))}
    assert not [each for each in parts | bent if outcome(lambda each=each: VerifierKey.parse(each))]


def test_signing_gives_the_reference_note():
    for case in NOTES["signing"]:
        _, _, name, _, secret = case["skey"].split("+", 4)
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)[1:])
        assert sign_note(case["text"], (name, key)) == case["note"]


def test_the_public_test_witnesses_have_the_keys_they_say():
    for name, pair in NOTES["test_cosigner_keys"].items():
        if name != "comment":
            secret = base64.b64decode(pair[1].split("+", 4)[4])
            public = Ed25519PrivateKey.from_private_bytes(secret[1:]).public_key()
            assert VerifierKey.parse(pair[0]).public_key == public.public_bytes_raw()


def test_all_reference_cosignatures_have_the_time_they_say():
    for case in NOTES["cosignature_timestamps"]:
        signature = base64.b64decode(case["sig_b64"])[4:]
        assert outcome(lambda signature=signature: cosignature_time(signature)) == case["unix"]


def test_all_reference_checkpoints_behave_as_they_say():
    for case in NOTES["checkpoints"]:
        checkpoint = outcome(lambda case=case: Checkpoint.parse(case["text"]))
        assert (str(checkpoint) == case["text"]) == case["ok"], case["name"]


def test_no_malformed_reference_proof_is_read():
    for case in NOTES["tlog_proofs_bad"]:
        assert outcome(lambda case=case: Proof.parse(case["text"])) is None, case["name"]


def test_all_reference_signatures_of_wycheproof_behave_as_they_say():
    groups = vectors("wycheproof_ed25519_test.json")["testGroups"]
    cases = [(bytes.fromhex(group["publicKey"]["pk"]), case) for group in groups for case in group["tests"]]
    assert len(cases) == 151
    for key, case in cases:
        good = ed25519_holds(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
        assert good == (case["result"] == "valid"), case["tcId"]


def test_unusual_signatures_are_judged_alike_on_every_node():
    """Libraries differ about these points of the curve; ours must not differ from node to node."""
    cases = vectors("cctv_ed25519vectors.json")
    judged = [
        ed25519_holds(bytes.fromhex(each["key"]), each["msg"].encode(), bytes.fromhex(each["sig"])) for each in cases
    ]
    accepted = {flag for each, good in zip(cases, judged, strict=True) if good for flag in each["flags"] or ()}
    assert (len(judged), sum(judged)) == (914, 208)
    assert not accepted & {"non_canonical_R", "low_order_residue"}
