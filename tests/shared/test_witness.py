"""A witness cosigns what continues the last head it cosigned, and nothing else; a policy says whose word is enough."""

import io
import json
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from shared.errors import Forbidden, NotFound, Unavailable
from shared.merkle import EMPTY_ROOT, Frontier, NotProven, consistency_path, leaf_hash
from shared.notes import (
    COSIGNATURE,
    AddCheckpoint,
    Checkpoint,
    Malformed,
    VerifierKey,
    cosign,
    log_verifier_key,
    open_note,
    sign_note,
)
from shared.witness import Group, KnownWitness, OtherSize, Policy, Witness, WitnessStore
from shared.witness.serving import LONGEST_BODY, witness_app
from tests.support.clock import FixedClock
from tests.support.vectors import vectors

ORIGIN = "handschlag.example/jobcenter/2026"
LOG = Ed25519PrivateKey.from_private_bytes(b"log-key-for-tests-and-only-those")
OTHER = Ed25519PrivateKey.from_private_bytes(b"other-key-for-tests-only-a-toy--")
LOG_KEY = VerifierKey.parse(log_verifier_key(ORIGIN, LOG.public_key()))


class History:
    """What a log might sign: the tree over `word` and a number, at any size."""

    def __init__(self, word: str = "a", count: int = 40, fork_at: int = 0) -> None:
        words = ["a"] * fork_at + [word] * (count - fork_at)
        self.leaves = [leaf_hash(f"{each}{index}".encode()) for index, each in enumerate(words)]

    def note(self, size: int, key: Ed25519PrivateKey = LOG, origin: str = ORIGIN) -> str:
        tree, _ = Frontier().extended(self.leaves[:size])
        return sign_note(str(Checkpoint(origin, size, tree.root())), (origin, key))

    def asked(self, old: int, size: int, proof: tuple[bytes, ...] | None = None) -> AddCheckpoint:
        _, nodes = Frontier().extended(self.leaves[:size])
        if proof is None:
            proof = consistency_path(old, size, lambda wanted: {n: nodes[n] for n in wanted}) if 0 < old < size else ()
        return AddCheckpoint(old, proof, self.note(size))


HONEST = History()
FORKED = History("b", fork_at=4)
"""Shares its first four entries with the honest one."""


class Stand:
    """A witness of one log, in a folder."""

    def __init__(self, folder, clock=None, *, logs=(LOG_KEY,)) -> None:
        self.store = WitnessStore.make(folder)
        self.clock = clock or FixedClock()
        self.key = OTHER
        self.witness = Witness("witness.example", OTHER, self.store, self.clock, logs)

    def add(self, asked: AddCheckpoint) -> int:
        """The time of the good cosignature."""
        line = self.witness.add_checkpoint(asked)
        opened = open_note(asked.checkpoint + line, [LOG_KEY, self.witness.verifier_key])
        (found,) = [each for each in opened.signatures if each.key == self.witness.verifier_key]
        assert found.line == line
        return found.time

    @property
    def size(self) -> int:
        seen = self.store.seen().get(ORIGIN)
        return seen.size if seen else 0


@pytest.fixture
def stand(tmp_path):
    return Stand(tmp_path)


def test_a_witness_cosigns_what_continues_what_it_saw(stand):
    for old, size in ((0, 3), (3, 8), (8, 8), (8, 29)):
        assert stand.add(HONEST.asked(old, size)) == int(stand.clock.now().timestamp())
        assert stand.size == size


def test_the_first_head_of_a_log_may_be_that_of_an_empty_tree(stand):
    stand.add(HONEST.asked(0, 0))
    stand.add(HONEST.asked(0, 5))
    assert stand.size == 5


def test_an_empty_tree_has_one_root(stand):
    note = sign_note(str(Checkpoint(ORIGIN, 0, leaf_hash(b""))), (ORIGIN, LOG))
    with pytest.raises(NotProven):
        stand.witness.add_checkpoint(AddCheckpoint(0, (), note))
    assert HONEST.note(0).split("\n")[2] != note.split("\n")[2]
    assert Frontier().root() == EMPTY_ROOT


def test_a_log_that_nobody_added_is_not_watched(stand):
    note = HONEST.note(3, origin="handschlag.example/other/2026")
    with pytest.raises(NotFound):
        stand.witness.add_checkpoint(AddCheckpoint(0, (), note))


def test_what_the_log_did_not_sign_is_not_cosigned(stand):
    foreign = HONEST.note(3, OTHER)
    bad = HONEST.note(3).replace(HONEST.note(3).split("\n")[2], HONEST.note(4).split("\n")[2])
    for note in (foreign, bad):
        with pytest.raises(Forbidden):
            stand.witness.add_checkpoint(AddCheckpoint(0, (), note))
    assert stand.size == 0


def test_both_keys_of_a_log_are_known_during_an_overlap(tmp_path):
    later = VerifierKey.parse(log_verifier_key(ORIGIN, OTHER.public_key()))
    stand = Stand(tmp_path, logs=(LOG_KEY, later))
    stand.witness.add_checkpoint(AddCheckpoint(0, (), HONEST.note(3, OTHER)))
    stand.add(HONEST.asked(3, 5))


def test_a_witness_key_does_not_stand_for_a_log(stand):
    with pytest.raises(Malformed):
        Stand(stand.store._path.parent, logs=(stand.witness.verifier_key,))


def test_an_old_size_above_the_new_one_makes_no_sense(stand):
    with pytest.raises(Malformed):
        stand.witness.add_checkpoint(HONEST.asked(5, 3, ()))


@pytest.mark.parametrize("old", [0, 3, 7, 9])
def test_whoever_does_not_go_on_from_the_last_size_is_told_which_it_is(stand, old):
    stand.add(HONEST.asked(0, 8))
    with pytest.raises(OtherSize) as told:
        stand.witness.add_checkpoint(HONEST.asked(old, 20))
    assert told.value.size == 8
    assert stand.size == 8


def test_a_wrong_proof_is_refused_and_nothing_is_kept(stand):
    stand.add(HONEST.asked(0, 8))
    good = HONEST.asked(8, 13)
    flipped = (bytes([good.proof[0][0] ^ 1]) + good.proof[0][1:], *good.proof[1:])
    for proof in ((), flipped, good.proof[:-1], (*good.proof, bytes(32))):
        with pytest.raises(NotProven):
            stand.witness.add_checkpoint(AddCheckpoint(8, proof, good.checkpoint))
    assert stand.size == 8
    stand.add(good)


def test_a_proof_where_there_is_nothing_to_prove_is_refused(stand):
    with pytest.raises(NotProven):
        stand.witness.add_checkpoint(HONEST.asked(0, 3, (bytes(32),)))
    stand.add(HONEST.asked(0, 3))
    with pytest.raises(NotProven):
        stand.witness.add_checkpoint(HONEST.asked(3, 3, (bytes(32),)))


def test_two_trees_of_one_size_are_found_and_both_heads_are_kept_as_evidence(stand):
    stand.add(HONEST.asked(0, 8))
    for old in (8, 0):
        with pytest.raises(OtherSize) as told:
            stand.witness.add_checkpoint(AddCheckpoint(old, (), FORKED.note(8)))
        assert told.value.size == 8
    (found,) = stand.store.contradictions()
    assert (found.origin, found.cosigned, found.shown) == (ORIGIN, HONEST.note(8), FORKED.note(8))
    for note in (found.cosigned, found.shown):
        assert open_note(note, [LOG_KEY])


def test_a_rewritten_history_that_grew_again_is_found(stand):
    stand.add(HONEST.asked(0, 8))
    with pytest.raises(NotProven):
        stand.witness.add_checkpoint(FORKED.asked(8, 13))
    (found,) = stand.store.contradictions()
    assert found.shown == FORKED.note(13)
    assert stand.size == 8


def test_a_log_whose_end_was_cut_off_is_not_cosigned_before_it_tells_the_truth(stand):
    stand.add(HONEST.asked(0, 12))
    for old in (5, 9):
        with pytest.raises(OtherSize) as told:
            stand.witness.add_checkpoint(HONEST.asked(min(old, 9), 9))
        assert told.value.size == 12
    assert stand.size == 12


def test_old_heads_of_an_honest_log_are_no_evidence_against_it(stand):
    stand.add(HONEST.asked(0, 8))
    with pytest.raises(OtherSize):
        stand.witness.add_checkpoint(HONEST.asked(0, 5))
    assert stand.store.contradictions() == []


def test_evidence_does_not_fill_the_disk(stand, monkeypatch):
    monkeypatch.setattr("shared.witness.store.MOST_CONTRADICTIONS", 3)
    stand.add(HONEST.asked(0, 8))
    for size in range(9, 15):
        with pytest.raises(NotProven):
            stand.witness.add_checkpoint(HONEST.asked(8, size, ()))
    assert len(stand.store.contradictions()) == 3


def test_what_was_cosigned_is_remembered_by_the_next_process(stand, tmp_path):
    stand.add(HONEST.asked(0, 8))
    again = Stand(tmp_path)
    with pytest.raises(OtherSize):
        again.witness.add_checkpoint(HONEST.asked(0, 8))
    again.add(HONEST.asked(8, 9))


def test_a_witness_that_lost_its_memory_does_not_go_on(stand, tmp_path):
    (tmp_path / "witness.db").unlink()
    with pytest.raises(NotFound):
        WitnessStore(tmp_path)


def test_nothing_is_cosigned_that_could_not_be_kept(stand, tmp_path):
    stand.add(HONEST.asked(0, 8))
    (tmp_path / "witness.db").write_bytes(b"no database at all" * 100)
    for side in ("-wal", "-shm"):
        (tmp_path / f"witness.db{side}").unlink(missing_ok=True)
    with pytest.raises(Unavailable):
        stand.witness.add_checkpoint(HONEST.asked(8, 9))


def test_many_at_once_are_taken_one_after_the_other(tmp_path):
    """Every turn sees what the one before it kept: sizes only grow, and no two answers name one size and two times."""
    stands = [Stand(tmp_path) for _ in range(4)]
    cosigned, start = [], threading.Barrier(8)

    def ask(number):
        stand, old = stands[number % 4], 0
        start.wait()
        for size in range(1 + number, 40, 3):
            while True:
                try:
                    stand.witness.add_checkpoint(HONEST.asked(min(old, size), size))
                except OtherSize as other:
                    if other.size > size:
                        break
                    old = other.size
                else:
                    cosigned.append(size)
                    break

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stands[0].size == max(cosigned) == 39
    assert stands[0].store.contradictions() == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_all_that_a_witness_ever_cosigned_is_one_history(tmp_path_factory, tries):
    stand, cosigned = Stand(tmp_path_factory.mktemp("witness")), []
    for honest, old, size in tries:
        history = HONEST if honest else FORKED
        try:
            stand.witness.add_checkpoint(history.asked(old, size) if old <= size else history.asked(old, size, ()))
        except (OtherSize, NotProven, Malformed):
            continue
        cosigned.append((size, honest))
    assert [size for size, _ in cosigned] == sorted(size for size, _ in cosigned)
    assert len({honest for size, honest in cosigned if size > 4}) <= 1


def test_a_request_has_the_bytes_of_the_standard():
    asked = HONEST.asked(3, 5)
    body = str(asked)
    assert AddCheckpoint.parse(body.encode()) == asked
    lines = body.split("\n")
    assert lines[0] == "old 3"
    assert lines[1 + len(asked.proof)] == ""
    assert body.endswith(asked.checkpoint)
    assert str(HONEST.asked(0, 3)).startswith(f"old 0\n\n{ORIGIN}\n3\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"old 0",
        b"old 0\n",
        b"old 00\n\nx",
        b"old 01\n\nx",
        b"old -1\n\nx",
        b"old  1\n\nx",
        b"Old 1\n\nx",
        b"old 1 \n\nx",
        b"old 18446744073709551616\n\nx",
        b"old 1\nAAAA\n\nx",
        b"old 1\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw\n" + b"\nx",
        b"old 1\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 64 + b"\nx",
        b"old 1\r\n\r\nx",
    ],
)
def test_what_is_not_a_request_is_malformed(body):
    with pytest.raises(Malformed):
        AddCheckpoint.parse(body)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_body_makes_the_reader_stumble(body):
    with pytest.raises(Malformed):
        AddCheckpoint.parse(body)


def test_over_http_every_refusal_has_its_status_and_its_body(stand):
    heard = []
    client = Client(witness_app(stand.witness, lambda status, code: heard.append((status, code))))

    def post(body):
        answer = client.post("/add-checkpoint", data=str(body).encode())
        return answer.status_code, answer.headers["Content-Type"], answer.get_data(as_text=True)

    status, kind, line = post(HONEST.asked(0, 8))
    assert (status, kind.split(";")[0], line[:2], line[-1]) == (200, "text/plain", "— ", "\n")
    assert line == cosign(HONEST.note(8), "witness.example", OTHER, int(stand.clock.now().timestamp()))
    assert post(HONEST.asked(3, 9)) == (409, "text/x.tlog.size", "8\n")
    assert post(AddCheckpoint(8, (), FORKED.note(8))) == (409, "text/x.tlog.size", "8\n")
    assert post(FORKED.asked(8, 13))[0] == 422
    assert post(HONEST.asked(9, 8, ()))[0] == 400
    assert post("old x\n\n")[0] == 400
    assert post("old 8\n\nnot a checkpoint\n")[0] == 400
    assert post(AddCheckpoint(8, (), HONEST.note(9, OTHER)))[0] == 403
    assert post(AddCheckpoint(8, (), HONEST.note(9, origin="elsewhere.example")))[0] == 404
    assert post(HONEST.asked(8, 9))[0] == 200
    assert [status for status, _ in heard] == [409, 409, 422, 400, 400, 400, 403, 404]


def test_over_http_there_is_one_thing_to_ask(stand):
    client = Client(witness_app(stand.witness))
    assert client.post("/").status_code == 404
    answer = client.get("/add-checkpoint")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert client.post("/add-checkpoint", data=b"x" * (LONGEST_BODY + 1)).status_code == 413
    endless = client.post("/add-checkpoint", input_stream=io.BytesIO(b"x" * (LONGEST_BODY + 1)))
    assert endless.status_code in (400, 411, 413)


def witness_key(name, number=1):
    return VerifierKey(name, bytes([number]) * 32, COSIGNATURE)


KEYS = {name: witness_key(f"{name}.example", number) for number, name in enumerate(("a", "b", "c", "d"), start=1)}
TWO_OF_THREE = f"""
# those who watch
witness a {KEYS["a"]}   https://a.example/witness
witness b {KEYS["b"]}
\twitness c {KEYS["c"]}
group most 2 a b c

quorum most
"""


def test_a_policy_says_who_is_asked_where_and_how_many_are_enough():
    policy = Policy.parse(TWO_OF_THREE)
    assert policy.witnesses["a"] == KnownWitness("a", KEYS["a"], "https://a.example/witness")
    assert policy.witnesses["b"].url is None
    assert policy.groups == {"most": Group("most", 2, ("a", "b", "c"))}
    assert [policy.met_by(each) for each in ((), "a", "ab", "bc", "abc", "ax")] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    assert policy.met_by_keys([KEYS["a"], KEYS["c"]])
    assert not policy.met_by_keys([KEYS["a"], KEYS["d"]])


def test_groups_of_groups_and_the_words_all_and_any():
    text = "".join(f"witness {name} {key}\n" for name, key in KEYS.items())
    policy = Policy.parse(f"{text}group one any a b\ngroup both all c one\nquorum both\n")
    assert [policy.met_by(each) for each in ("c", "ab", "ca", "cb", "abc")] == [False, False, True, True, True]


def test_the_fewest_cosignatures_that_can_be_enough():
    text = "".join(f"witness {name} {key}\n" for name, key in KEYS.items())
    assert Policy.parse(TWO_OF_THREE).fewest == 2
    assert Policy.parse(f"{text}group one any a b\ngroup both all c one\nquorum both\n").fewest == 2
    assert Policy.parse(f"{text}group three all a b c\ngroup e any d three\nquorum e\n").fewest == 1
    assert Policy.parse(f"{text}quorum none\n").fewest == 0


def test_without_a_quorum_nobody_needs_to_cosign():
    assert Policy.parse("quorum none").met_by(())
    assert Policy.parse(f"witness a {KEYS['a']}\nquorum none\n").met_by(())
    assert Policy.parse(f"witness a {KEYS['a']}\nquorum a\n").met_by("a")
    assert not Policy.parse(f"witness a {KEYS['a']}\nquorum a\n").met_by(())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "quorum",
        "quorum a b",
        "quorum nobody",
        "quorum a\nquorum a",
        "quorum most\ngroup most 1 a",
        "group g 0 a\nquorum g",
        "group g 3 a b\nquorum g",
        "group g 01 a\nquorum g",
        "group g two a\nquorum g",
        "group g 1\nquorum g",
        "group g 1 none\nquorum g",
        "group g 1 a a\nquorum g",
        "group g 1 a\ngroup h 1 a\nquorum h",
        "group g 1 g\nquorum g",
        "group none 1 a\nquorum none",
        "group a 1 b\nquorum a",
        f"witness a {witness_key('x.example', 9)}\nquorum a",
        f"witness none {witness_key('x.example', 9)}\nquorum a",
        f"witness x {witness_key('other.name.example', 1)}\nquorum a",
        f"witness x {LOG_KEY}\nquorum a",
        f"log {witness_key('x.example', 9)}\nquorum a",
        f"log {LOG_KEY}\nlog {log_verifier_key('same.key.example', LOG.public_key())}\nquorum a",
        "witness x nonsense\nquorum a",
        f"witness x {witness_key('x.example', 9)} url more\nquorum a",
        "cosigner x\nquorum a",
        "quorum a\r",
        "quorum a\x00",
        "quorum a\x7f",
    ],
)
def test_a_policy_that_is_not_one_is_refused(line):
    first = f"witness a {KEYS['a']}\nwitness b {KEYS['b']}\n"
    assert Policy.parse(f"{first}quorum a").quorum == "a"
    with pytest.raises(Malformed):
        Policy.parse(f"{first}{line}\n")


def test_names_are_bytes_and_not_what_they_look_like():
    first = f"witness K {KEYS['a']}\n".encode()
    assert Policy.parse(first + b"quorum K\n").quorum == "K"
    with pytest.raises(Malformed):
        Policy.parse(first + "quorum \u212a\n".encode())
    assert Policy.parse(f"witness \xff {KEYS['b']}\n".encode("latin-1") + b"quorum \xff\n").met_by(["\udcff"])


def test_a_checkpoint_is_checked_for_its_quorum(tmp_path):
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    known = {
        name: KnownWitness(name, VerifierKey(f"{name}.example", key.public_key().public_bytes_raw(), COSIGNATURE))
        for name, key in zip("abc", keys, strict=True)
    }
    policy = Policy(witnesses=known, groups={"most": Group("most", 2, tuple("abc"))}, quorum="most")
    note = HONEST.note(8)
    with pytest.raises(NotProven, match="quorum"):
        policy.check(note, [LOG_KEY])
    one = note + cosign(note, "a.example", keys[0], 1)
    with pytest.raises(NotProven, match="quorum"):
        policy.check(one + cosign(note, "a.example", keys[0], 2), [LOG_KEY])
    two = one + cosign(note, "c.example", keys[2], 3)
    found = policy.check(two, [LOG_KEY])
    assert (found.checkpoint.size, [(each.name, each.time) for each in found.cosignatures]) == (
        8,
        [("a.example", 1), ("c.example", 3)],
    )
    unknown = two + cosign(note, "nobody.example", OTHER, 4)
    assert policy.check(unknown, [LOG_KEY]) == found
    with pytest.raises(NotProven):
        policy.check(two + cosign(HONEST.note(9), "b.example", keys[1], 4), [LOG_KEY])
    with pytest.raises(NotProven):
        policy.check(two, [VerifierKey.parse(log_verifier_key(ORIGIN, OTHER.public_key()))])


def quorum_policy(group):
    """The nested lists of the reference as a policy."""
    groups: dict[str, Group] = {}

    def name_of(member):
        if isinstance(member, str):
            return member
        threshold, members = member
        made = Group(f"group-{len(groups)}", threshold, ())
        groups[made.name] = made
        groups[made.name] = Group(made.name, threshold, tuple(map(name_of, members)))
        return made.name

    quorum = name_of(group)
    return Policy(groups=groups, quorum=quorum)


def test_all_reference_quorums_are_met_or_not_as_they_say():
    cases = vectors("c2sp_notes.json")["quorum"]["cases"]
    assert len(cases) == 12
    for group, cosigned, met in cases:
        assert quorum_policy(group).met_by(cosigned) == met, json.dumps([group, cosigned])
