"""The log and its witnesses: who is asked for what, what is kept, and what happens when a witness is late or lies."""

import itertools
import json
import shutil
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy.exc import DatabaseError

from services.audit.witnessing import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    Answer,
    Witnessing,
    keep_partners_cosignature,
)
from shared.audit import Leaf, verify_receipt
from shared.merkle import NotProven, verify_consistency
from shared.notes import AddCheckpoint, Checkpoint, Proof, VerifierKey, claimed_checkpoint, cosign, sign_note
from shared.witness import Policy
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.witnesses import Neighbour, Neighbourhood, away

ORIGIN = f"{PREFIX}/{AGENCY}/2026"


class Street:
    """A log and three witnesses; time stands still unless it is moved."""

    def __init__(self, installation, names=("dpo", "authority", "partner")):
        self.installation = installation
        key = VerifierKey(ORIGIN, installation.signer.public_key().public_bytes_raw())
        self.log_key = key
        later = replace(key, name=f"{PREFIX}/{AGENCY}/2027")
        made = [Neighbour(n, installation.folder, (key, later), installation.clock) for n in names]
        self.neighbours = Neighbourhood({each.name: each for each in made})
        self.moment = 0.0
        self.log = installation.log(policy=self.neighbours.policy)
        self.witnessing = self.asking()

    def asking(self):
        """One process that asks."""
        database = self.installation.database()
        return Witnessing(
            database, self.neighbours.policy, self.installation.clock, self.neighbours.post, lambda: self.moment
        )

    def witness(self, name="dpo"):
        return self.neighbours.witnesses[name]

    def grow(self, count=1):
        for _ in range(count):
            key = f"k-{self.log.entries(AGENCY, limit=500)[-1].idx if self.log.origins(AGENCY) else -1}"
            self.log.append(AGENCY, Leaf(kind="looked"), key=key)
        return self.size

    def round(self, after=0.0):
        self.moment += after
        self.witnessing.round()

    @property
    def size(self):
        return claimed_checkpoint(self.log.checkpoint(AGENCY)).size

    def cosigned(self, note=None):
        """The names below a checkpoint; raises unless all are good."""
        opened = Policy(witnesses=self.neighbours.policy.witnesses).check(
            note or self.log.checkpoint(AGENCY), [self.log_key]
        )
        return sorted(each.name.split(".")[0] for each in opened.cosignatures)

    def trouble(self, name="dpo"):
        return next(each.code for each in self.log.witnesses(AGENCY) if each.witness == name)


@pytest.fixture
def street(installation):
    return Street(installation)


@pytest.fixture
def lane(on_file):
    """On SQLite, for what is the same on both."""
    return Street(on_file)


def test_every_witness_cosigns_the_newest_checkpoint_and_it_is_served_with_their_lines(street):
    street.grow(3)
    assert street.cosigned() == []
    assert not street.log.witnessed(ORIGIN)
    street.round()
    assert street.cosigned() == ["authority", "dpo", "partner"]
    assert street.log.witnessed(ORIGIN)
    assert [(each.cosigned, each.size, each.code) for each in street.log.witnesses(AGENCY)] == [(4, 4, None)] * 3


def test_from_then_on_a_witness_is_shown_what_it_needs_and_no_more(street):
    street.grow(3)
    street.round()
    street.grow(6)
    street.round()
    asked = AddCheckpoint.parse(street.witness().heard[-1])
    assert (asked.old, claimed_checkpoint(asked.checkpoint).size, len(street.witness().heard)) == (4, 10, 2)
    assert street.cosigned() == ["authority", "dpo", "partner"]
    street.round()
    assert len(street.witness().heard) == 2


def test_only_the_newest_checkpoint_is_laid_before_them(lane):
    lane.grow(20)
    lane.round()
    assert [claimed_checkpoint(AddCheckpoint.parse(each).checkpoint).size for each in lane.witness().heard] == [21]


def test_all_are_asked_about_one_checkpoint_until_enough_have_cosigned_it(lane):
    for name in ("authority", "partner"):
        lane.witness(name).behaves = away
    first = lane.grow(3)
    lane.round()
    lane.grow(3)
    lane.round(after=FIRST_PAUSE)
    sizes = {claimed_checkpoint(AddCheckpoint.parse(body).checkpoint).size for body in lane.witness("partner").heard}
    assert sizes == {first}
    lane.witness("partner").behaves = None
    lane.round(after=4 * FIRST_PAUSE)
    assert lane.witness("partner").size(ORIGIN) == first
    lane.round()
    assert lane.witness().size(ORIGIN) == lane.size > first


def test_a_quorum_that_does_not_meet_is_sought_on_the_newest_checkpoint_instead(lane):
    for name in ("authority", "partner"):
        lane.witness(name).behaves = away
    lane.grow(3)
    lane.round()
    newest = lane.grow(3)
    for name in ("authority", "partner"):
        lane.witness(name).behaves = None
    lane.round(after=PATIENCE + 1)
    assert [each.size(ORIGIN) for each in lane.neighbours.witnesses.values()] == [newest] * 3


def test_a_receipt_is_served_under_a_checkpoint_that_met_the_policy(street):
    street.grow(2)
    entry = street.log.append(AGENCY, Leaf(kind="intent", sender="a"), key="mine")
    street.grow(3)
    before = street.log.receipt(AGENCY, ORIGIN, entry.idx)
    assert before.receipt_text == entry.receipt_text
    street.round()
    after = street.log.receipt(AGENCY, ORIGIN, entry.idx)
    verified = verify_receipt(after.receipt_text, after.leaf_bytes, street.log.verifier_key(ORIGIN))
    assert (verified.index, verified.checkpoint.size) == (entry.idx, street.size)
    street.neighbours.policy.check(Proof.parse(after.receipt_text).checkpoint, [street.log_key])
    assert street.log.append(AGENCY, Leaf(kind="intent", sender="a"), key="mine").receipt_text == entry.receipt_text
    street.grow(3)
    street.round()
    assert street.log.receipt(AGENCY, ORIGIN, entry.idx).receipt_text == after.receipt_text


def test_without_a_quorum_a_receipt_still_shows_who_has_cosigned(lane):
    for name in ("authority", "partner"):
        lane.witness(name).behaves = away
    entry = lane.log.append(AGENCY, Leaf(kind="looked"), key="mine")
    lane.round()
    note = Proof.parse(lane.log.receipt(AGENCY, ORIGIN, entry.idx).receipt_text).checkpoint
    assert lane.cosigned(note) == ["dpo"]
    assert not lane.log.witnessed(ORIGIN)


def test_a_dump_carries_the_cosignatures(lane):
    lane.grow(3)
    lane.round()
    *_, last = lane.log.dump(AGENCY)
    assert lane.cosigned(json.loads(last)["checkpoint"]) == ["authority", "dpo", "partner"]


def test_an_append_waits_for_no_witness(lane):
    for each in lane.neighbours.witnesses.values():
        each.behaves = away
    lane.grow(3)
    lane.round()
    assert lane.grow(3) == 7
    assert lane.log.fsck(AGENCY) == []


def test_a_witness_that_is_away_is_asked_again_after_growing_pauses(lane):
    lane.witness().behaves = away
    lane.grow()
    times = []
    for _ in range(1200):
        before = len(lane.witness().heard)
        lane.round(after=1.0)
        if len(lane.witness().heard) > before:
            times.append(lane.moment)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)
    assert lane.trouble() == "witness.away"
    assert lane.log.witnessed(ORIGIN)
    lane.witness().behaves = None
    lane.round(after=LONGEST_PAUSE)
    assert lane.cosigned() == ["authority", "dpo", "partner"]
    assert lane.trouble() is None


def test_a_witness_that_takes_its_time_holds_up_nobody_else(lane, monkeypatch):
    monkeypatch.setattr("services.audit.witnessing.PACE", 0.02)
    let_go, stop = threading.Event(), threading.Event()

    def slowly(body):
        let_go.wait(30)
        return lane.witness().honestly(body)

    lane.witness().behaves = slowly
    lane.grow(2)
    loop = threading.Thread(target=lane.witnessing.run, args=(stop,))
    loop.start()
    for _ in range(2):
        newest = lane.grow(3)
        until(lambda newest=newest: lane.witness("authority").size(ORIGIN) == newest)
        until(lambda newest=newest: lane.witness("partner").size(ORIGIN) == newest)
    until(lambda: lane.log.witnessed(ORIGIN))
    assert len(lane.witness().heard) == 1
    let_go.set()
    until(lambda: lane.witness().size(ORIGIN) == lane.size)
    stop.set()
    loop.join(20)
    assert not loop.is_alive()


def until(happened, seconds=20.0):
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_many_cosignatures_of_one_partner_do_not_hide_the_checkpoint_that_met_the_policy(lane, monkeypatch):
    monkeypatch.setattr("services.audit.sequencer.cosignatures.LOOKED_AT", 2)
    entry = lane.log.append(AGENCY, Leaf(kind="looked"), key="mine")
    partner = lane.witness("partner")
    for _ in range(4):
        lane.grow()
        note = lane.log.checkpoint(AGENCY)
        line = cosign(note, "partner.example", partner.key, 1)
        keep_partners_cosignature(lane.installation.database(), AGENCY, note + line, partner.witness.verifier_key)
    partner.behaves = away
    lane.grow()
    lane.round()
    note = Proof.parse(lane.log.receipt(AGENCY, ORIGIN, entry.idx).receipt_text).checkpoint
    assert lane.cosigned(note) == ["authority", "dpo"]


def test_a_cosignature_that_belongs_to_another_checkpoint_counts_nothing_and_is_found(lane):
    lane.grow(3)
    lane.round()
    size = lane.grow()
    with lane.installation.database().write() as tx:
        for row in tx.exec_driver_sql("select * from cosignature").all():
            values = (row.log, size, row.witness, row.at, row.line)
            tx.exec_driver_sql("insert into cosignature values (?, ?, ?, ?, ?)", values)
    assert not lane.log.witnessed(ORIGIN)
    assert {(each.code, each.index) for each in lane.log.fsck(AGENCY)} == {("log.cosignature", size)}


def test_a_witness_that_is_away_is_not_waited_for_log_by_log(lane):
    for agency in ("jobcenter", "other", "third"):
        lane.log.append(agency, Leaf(kind="looked"), key="k")
    lane.witness().behaves = away
    lane.round()
    assert len(lane.witness().heard) == 1
    lane.round(after=FIRST_PAUSE)
    assert len(lane.witness().heard) == 2


def test_a_log_that_a_witness_does_not_know_keeps_it_from_no_other(lane):
    lane.log.append("another", Leaf(kind="looked"), key="k")
    lane.grow(2)
    lane.round()
    assert lane.cosigned() == ["authority", "dpo", "partner"]
    assert {each.code for each in lane.log.witnesses("another")} == {"witness.unknown_log"}


def test_trouble_is_told_with_since_when(lane):
    lane.witness().behaves = away
    lane.grow()
    lane.round()
    began = next(each for each in lane.log.witnesses(AGENCY) if each.witness == "dpo")
    lane.installation.clock.move(hours=1)
    lane.round(after=LONGEST_PAUSE)
    later = next(each for each in lane.log.witnesses(AGENCY) if each.witness == "dpo")
    assert (began.since, began.code, began.cosigned) == (later.since, later.code, 0)


def test_a_witness_that_knows_a_later_size_is_followed_there(lane):
    """As after a cosignature that got lost on its way, or two processes that ask."""
    lane.grow(3)
    asked = AddCheckpoint(0, (), lane.log.checkpoint(AGENCY))
    assert lane.witness().honestly(str(asked)).status == 200
    lane.grow(4)
    lane.round()
    assert [AddCheckpoint.parse(each).old for each in lane.witness().heard] == [0, 4]
    assert lane.witness().size(ORIGIN) == lane.size
    assert lane.trouble() is None


def test_two_processes_that_ask_do_not_get_in_each_others_way(street):
    other = street.asking()
    street.grow(3)
    street.round()
    street.grow(3)
    other.due()
    street.grow(3)
    street.round()
    other.round()
    other.round()
    street.round()
    assert [each.size(ORIGIN) for each in street.neighbours.witnesses.values()] == [street.size] * 3
    assert [each.code for each in street.log.witnesses(AGENCY)] == [None] * 3
    assert street.cosigned() == ["authority", "dpo", "partner"]


def test_two_sequencers_have_one_history_before_the_witnesses(installation):
    street = Street(installation)
    second = installation.log(policy=street.neighbours.policy)
    for number in range(4):
        street.log.append(AGENCY, Leaf(kind="looked"), key=f"first-{number}")
        second.append(AGENCY, Leaf(kind="looked"), key=f"second-{number}")
        street.round()
    assert street.cosigned() == ["authority", "dpo", "partner"]
    assert [each.store.contradictions() for each in street.neighbours.witnesses.values()] == [[], [], []]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(400, "no\n"), "witness.bad_request"),
        (Answer(403, "no\n"), "witness.not_signed"),
        (Answer(404, "no\n"), "witness.unknown_log"),
        (Answer(422, "no\n"), "witness.not_proven"),
        (Answer(500, "no\n"), "witness.unexpected_answer"),
        (Answer(301, ""), "witness.unexpected_answer"),
        (Answer(409, "0\n"), "witness.other_tree"),
        (Answer(409, "1000000\n"), "witness.knows_more"),
        (Answer(409, f"{(1 << 63) - 1}\n"), "witness.knows_more"),
        (Answer(409, f"{1 << 63}\n"), "witness.unexpected_answer"),
        (Answer(409, f"{'9' * 400}\n"), "witness.unexpected_answer"),
        (Answer(409, "four\n"), "witness.unexpected_answer"),
        (Answer(409, "4"), "witness.unexpected_answer"),
        (Answer(409, ""), "witness.unexpected_answer"),
        (Answer(409, "²\n"), "witness.unexpected_answer"),
        (Answer(200, ""), "witness.bad_cosignature"),
        (Answer(200, "nonsense\n"), "witness.bad_cosignature"),
        (Answer(200, "— dpo.example AAAA\n"), "witness.bad_cosignature"),
    ],
)
def test_whatever_a_witness_answers_the_log_goes_on_and_it_is_told(lane, answer, code):
    lane.witness().behaves = lambda _: answer
    lane.grow(3)
    lane.round()
    assert lane.trouble() == code
    assert lane.cosigned() == ["authority", "partner"]
    assert lane.grow() == 5
    assert lane.log.fsck(AGENCY) == []


def test_a_witness_that_leads_us_in_circles_is_left(lane):
    lane.grow(6)
    sizes = iter((3, 5, 4, 2, 1, 3))
    lane.witness().behaves = lambda _: Answer(409, f"{next(sizes)}\n")
    lane.round()
    assert lane.trouble() == "witness.wavers"
    assert len(lane.witness().heard) == 3


def test_a_witness_that_forgot_what_it_cosigned_is_no_witness_any_more(lane):
    lane.grow(3)
    lane.round()
    shutil.rmtree(lane.installation.folder / "dpo")
    lane.neighbours.witnesses["dpo"] = Neighbour(
        "dpo", lane.installation.folder, [lane.log_key], lane.installation.clock, lane.witness().key
    )
    lane.grow(3)
    lane.round()
    assert lane.trouble() == "witness.forgot"


def test_a_cosignature_over_something_else_is_not_kept(lane):
    def lies(body):
        asked = AddCheckpoint.parse(body)
        said = claimed_checkpoint(asked.checkpoint)
        other = sign_note(str(Checkpoint(said.origin, said.size, bytes(32))), (ORIGIN, lane.installation.signer))
        return Answer(200, cosign(other, "dpo.example", lane.witness().key, 1))

    lane.witness().behaves = lies
    lane.grow(3)
    lane.round()
    assert lane.trouble() == "witness.bad_cosignature"
    assert lane.cosigned() == ["authority", "partner"]


def test_a_cosignature_of_somebody_else_is_not_kept(lane):
    lane.witness().behaves = lane.witness("authority").honestly
    lane.grow(3)
    lane.round()
    assert lane.trouble() == "witness.bad_cosignature"


def test_lines_of_others_in_an_answer_are_passed_over(lane):
    honest = lane.witness().honestly
    stranger = Neighbour("stranger", lane.installation.folder, [lane.log_key])

    def more(body):
        answer = honest(body)
        line = cosign(AddCheckpoint.parse(body).checkpoint, "stranger.example", stranger.key, 1)
        return Answer(answer.status, line + answer.body)

    lane.witness().behaves = more
    lane.grow(3)
    lane.round()
    assert "stranger" not in lane.log.checkpoint(AGENCY)
    assert lane.cosigned() == ["authority", "dpo", "partner"]


def forked(lane, *, keep, then):
    """The log as somebody makes it who holds database, folder of heads and key: its end replaced."""
    lane.log.stop()
    lane.log._database.close()
    folder = lane.installation.folder
    with sqlite3.connect(folder / "audit.db") as connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {name}")
        for table in ("leaf", "node", "entry", "entry_key", "subject", "opening", "checkpoint", "cosignature"):
            connection.execute(f"delete from {table}")
        connection.execute("delete from head")
    connection.close()
    shutil.rmtree(lane.installation.heads)
    fresh = lane.installation.log(policy=lane.neighbours.policy)
    for number, leaf in enumerate([*keep, *then]):
        fresh.append(AGENCY, leaf, key=f"again-{number}")
    lane.log, lane.witnessing = fresh, lane.asking()
    return fresh


def leaves_of(log):
    return [Leaf.parse(each.leaf_bytes) for each in log.entries(AGENCY, limit=500)]


def test_two_trees_of_one_size_are_found_by_the_witness_and_by_the_log(lane):
    size = lane.grow(5)
    lane.round()
    _first, *rest = leaves_of(lane.log)
    forked(lane, keep=rest[:-1], then=[Leaf(kind="looked")])
    assert lane.size == size
    lane.round()
    assert [each.code for each in lane.log.witnesses(AGENCY)] == ["witness.other_tree"] * 3
    assert lane.cosigned() == []
    for each in lane.neighbours.witnesses.values():
        (found,) = each.store.contradictions()
        assert claimed_checkpoint(found.shown).size == claimed_checkpoint(found.cosigned).size == size
        assert lane.log.fsck(AGENCY) == []  # by itself the forged log is in perfect order


def test_a_history_rewritten_and_grown_again_is_found_by_the_witness(lane):
    lane.grow(5)
    lane.round()
    _first, *rest = leaves_of(lane.log)
    forked(lane, keep=rest[:2], then=[Leaf(kind="looked") for _ in range(9)])
    lane.round()
    assert [each.code for each in lane.log.witnesses(AGENCY)] == ["witness.not_proven"] * 3
    assert all(each.store.contradictions() for each in lane.neighbours.witnesses.values())


def test_a_cut_tail_is_found_by_the_witness(lane):
    lane.grow(5)
    lane.round()
    _first, *rest = leaves_of(lane.log)
    forked(lane, keep=rest[:2], then=[])
    lane.round()
    assert [each.code for each in lane.log.witnesses(AGENCY)] == ["witness.knows_more"] * 3
    assert lane.cosigned() == []


def test_the_last_checkpoint_of_a_year_is_witnessed_in_the_year_that_follows(street):
    street.grow(3)
    street.installation.clock.move(days=365)
    street.grow(2)
    assert [street.log.witnessed(each) for each in street.log.origins(AGENCY)] == [False, False]
    street.round()
    assert [street.log.witnessed(each) for each in street.log.origins(AGENCY)] == [True, True]
    assert street.cosigned(street.log.checkpoint(AGENCY, 2026)) == ["authority", "dpo", "partner"]
    heard = len(street.witness().heard)
    street.round()
    street.round()
    assert len(street.witness().heard) == heard
    assert ORIGIN in street.witnessing._settled


def test_a_log_without_a_policy_is_witnessed_by_nobody(on_file):
    log = on_file.log()
    log.append(AGENCY, Leaf(kind="looked"), key="k")
    assert not log.witnessed(ORIGIN)
    assert log.witnesses(AGENCY) == []


def test_cosignatures_are_not_changed_or_deleted(installation):
    street = Street(installation)
    street.grow(2)
    street.round()
    for statement in ("update cosignature set line = 'x'", "delete from cosignature"):
        with pytest.raises(DatabaseError), installation.database().write() as tx:
            tx.exec_driver_sql(statement)
    assert street.cosigned() == ["authority", "dpo", "partner"]


def test_what_a_partner_cosigned_is_kept_if_it_is_our_checkpoint(street):
    """A partner has no address: it cosigns what came with a delivery."""
    street.grow(3)
    note, key = street.log.checkpoint(AGENCY), street.witness("partner").key
    line = cosign(note, "partner.example", key, 1_790_000_000)
    database, witness = street.installation.database(), street.witness("partner").witness.verifier_key
    for _ in range(2):
        keep_partners_cosignature(database, AGENCY, note + line, witness)
    assert street.cosigned() == ["partner"]
    other = sign_note(str(Checkpoint(ORIGIN, 4, bytes(32))), (ORIGIN, street.installation.signer))
    unknown = sign_note(str(Checkpoint(ORIGIN, 3000, bytes(32))), (ORIGIN, street.installation.signer))
    for bad in (other, unknown):
        with pytest.raises(NotProven):
            keep_partners_cosignature(database, AGENCY, bad + cosign(bad, "partner.example", key, 1), witness)
    for agency, said in ((AGENCY, note), ("other", note + line)):
        with pytest.raises(NotProven):
            keep_partners_cosignature(database, agency, said, witness)


def test_a_verifier_that_knows_no_witness_reads_a_cosigned_receipt_as_before(street):
    from contracts.verify_receipt import verify_receipt as by_the_independent_reader

    entry = street.log.append(AGENCY, Leaf(kind="looked"), key="mine")
    street.round()
    found = street.log.receipt(AGENCY, ORIGIN, entry.idx)
    assert found.receipt_text.count("\n— ") == 4
    said = by_the_independent_reader(found.receipt_text, found.leaf_bytes, street.log.verifier_key(ORIGIN))
    assert said.startswith(f"entry {entry.idx} of {ORIGIN}")
    head, lines = found.receipt_text.rsplit("\n\n", 1)
    first, *others = lines.splitlines(keepends=True)
    witnesses_first = f"{head}\n\n{''.join(others)}{first}"
    assert by_the_independent_reader(witnesses_first, found.leaf_bytes, street.log.verifier_key(ORIGIN)) == said
    with pytest.raises(ValueError, match="did not sign"):
        by_the_independent_reader(f"{head}\n\n{''.join(others)}", found.leaf_bytes, street.log.verifier_key(ORIGIN))


def test_what_the_witnesses_cosigned_is_one_history(street):
    heads = []
    for _ in range(4):
        street.grow(3)
        street.round()
        heads.append(claimed_checkpoint(street.log.checkpoint(AGENCY)))
    for old, new in itertools.pairwise(heads):
        path = street.log.consistency(AGENCY, old.size, new.size)
        verify_consistency(old.size, new.size, path, old.root, new.root)
