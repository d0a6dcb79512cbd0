"""The log as its callers see it, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from services.audit import tables
from services.audit.domain.log import LogName
from shared.audit import Leaf, Opening, verify_opening, verify_receipt
from shared.errors import Invalid, NotFound, Refused, Unavailable
from shared.merkle import NotProven, verify_consistency
from shared.notes import VerifierKey, open_checkpoint
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.receipts import intent

ORIGIN = f"{PREFIX}/{AGENCY}/2026"


def disclose(log, key="d-1:intent", agency=AGENCY, person="p-1", **values):
    leaf, openings = intent(values or None, person=person)
    return log.append(agency, leaf, key=key, openings=openings, person=person)


def verify(log, entry):
    return verify_receipt(entry.receipt_text, entry.leaf_bytes, log.verifier_key(entry.origin))


def test_what_was_appended_comes_back_with_a_receipt_that_holds(log):
    entry = disclose(log)
    verified = verify(log, entry)
    assert (verified.origin, verified.index) == (ORIGIN, 1)
    assert verified.leaf.purpose == "rehabilitation"


def test_the_first_entry_of_the_first_log_follows_nothing(log):
    disclose(log)
    first = log.entries(AGENCY, after=-1, limit=1)[0]
    assert Leaf.parse(first.leaf_bytes).kind == "year_opened"
    assert Leaf.parse(first.leaf_bytes).previous is None


def test_the_same_key_and_content_is_one_entry_with_one_receipt(log):
    first = disclose(log)
    disclose(log, key="d-2:intent")
    again = disclose(log)
    assert (again.idx, again.leaf_bytes, again.receipt_text) == (first.idx, first.leaf_bytes, first.receipt_text)
    assert again.openings == first.openings
    assert log.find(AGENCY, "d-1:intent").receipt_text == first.receipt_text
    assert len(log.entries(AGENCY)) == 3


def test_the_same_key_with_other_content_is_refused(log):
    disclose(log, health={"finding": "a"})
    for other in ({"health": {"finding": "b"}}, {"income": {"finding": "a"}}):
        with pytest.raises(Refused, match="key_taken"):
            disclose(log, **other)
    with pytest.raises(Refused, match="key_taken"):
        log.append(AGENCY, Leaf(kind="denial"), key="d-1:intent")


def test_the_same_key_of_another_agency_is_another_entry(log):
    first, second = disclose(log), disclose(log, agency="health_insurer")
    assert {first.origin, second.origin} == {ORIGIN, f"{PREFIX}/health_insurer/2026"}
    assert first.idx == second.idx == 1


def test_a_key_that_led_nowhere_finds_nothing(log):
    assert log.find(AGENCY, "d-9:intent") is None


def test_an_opening_that_does_not_open_is_not_logged(log):
    leaf, openings = intent()
    with pytest.raises(NotProven):
        log.append(AGENCY, leaf, key="k", openings={**openings, "person": Opening(bytes(32), "p-1")})
    assert log.find(AGENCY, "k") is None


def test_an_agency_has_a_name_that_can_stand_in_an_origin(log):
    for name in ("", "a b", "a/b", "../a", "a+b"):
        with pytest.raises(Invalid):
            log.append(name, Leaf(kind="looked"), key="k")


def test_many_at_once_stand_in_one_tree_without_a_gap(log):
    with ThreadPoolExecutor(24) as pool:
        entries = list(pool.map(lambda n: disclose(log, key=f"d-{n}:intent", person=f"p-{n % 5}"), range(120)))
    assert sorted(entry.idx for entry in entries) == list(range(1, 121))
    for entry in entries:
        verify(log, entry)
    assert log.fsck(AGENCY) == []


def test_the_same_key_from_many_at_once_is_one_entry(log):
    with ThreadPoolExecutor(12) as pool:
        entries = list(pool.map(lambda _: disclose(log), range(24)))
    assert len({(entry.idx, entry.leaf_bytes, entry.receipt_text) for entry in entries}) == 1


def test_every_checkpoint_continues_the_one_before(log):
    notes = []
    for number in range(9):
        disclose(log, key=f"d-{number}:intent")
        notes.append(log.checkpoint(AGENCY, 2026))
    key = VerifierKey.parse(log.verifier_key(ORIGIN))
    heads = [open_checkpoint(note, [key]) for note in notes]
    for older, newer in pairwise(heads):
        path = log.consistency(AGENCY, older.size, newer.size)
        verify_consistency(older.size, newer.size, path, older.root, newer.root)
    path = log.consistency(AGENCY, heads[0].size, heads[-1].size)
    verify_consistency(heads[0].size, heads[-1].size, path, heads[0].root, heads[-1].root)


def test_there_is_no_proof_for_sizes_that_nobody_signed(log):
    disclose(log)
    for old, new in ((0, 2), (1, 3), (2, 1)):
        with pytest.raises(NotFound):
            log.consistency(AGENCY, old, new)
    with pytest.raises(NotFound):
        log.checkpoint(AGENCY, 2025)
    with pytest.raises(NotFound):
        log.checkpoint("nobody", 2026)


def test_entries_are_read_in_order_from_any_place(log):
    for number in range(5):
        disclose(log, key=f"d-{number}:intent")
    assert [entry.idx for entry in log.entries(AGENCY, after=1, limit=3)] == [2, 3, 4]
    assert [entry.idx for entry in log.entries(AGENCY, after=5)] == []


def test_a_person_finds_their_entries_and_nobody_elses(log):
    mine = [disclose(log, key=f"d-{n}:intent", person="p-1").idx for n in range(2)]
    disclose(log, key="d-8:intent", person="p-2")
    disclose(log, key="d-9:intent", agency="health_insurer", person="p-1")
    log.append(AGENCY, Leaf(kind="configuration"), key="c-1")
    assert [entry.idx for entry in log.by_person(AGENCY, "p-1")] == mine


def test_openings_keep_the_key_and_only_chosen_values(log):
    leaf, openings = Leaf(kind="intent").committing({"person": "p-1", "facts": {"consent": "yes"}}, kept=["facts"])
    entry = log.append(AGENCY, leaf, key="d-1:intent", openings=openings)
    stored = log.openings(AGENCY, entry.origin, entry.idx)
    assert stored["facts"] == openings["facts"]
    assert (stored["person"].key, stored["person"].value) == (openings["person"].key, None)
    verify_opening(leaf, "person", stored["person"].key, "p-1")


def test_a_forgotten_person_leaves_entries_that_verify_and_tell_nothing(log):
    entry = disclose(log)
    disclose(log, key="d-2:intent", person="p-2")
    assert log.forget(AGENCY, "p-1") == 1
    assert log.by_person(AGENCY, "p-1") == []
    assert log.openings(AGENCY, entry.origin, entry.idx) == {}
    verify(log, log.find(AGENCY, "d-1:intent"))
    assert log.openings(AGENCY, entry.origin, 2) != {}
    assert log.fsck(AGENCY) == []


def test_after_an_erasure_the_same_disclosure_cannot_be_repeated(log):
    disclose(log)
    log.forget(AGENCY, "p-1")
    with pytest.raises(Refused, match="key_taken"):
        disclose(log)


def test_intents_without_an_outcome_are_found_when_they_are_old(log, installation):
    done, lost = disclose(log), disclose(log, key="d-2:intent")
    log.append(AGENCY, Leaf(kind="outcome", about=done.reference, result="delivered"), key="d-1:outcome")
    now = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    assert log.open_intents(AGENCY, now) == []
    assert [entry.idx for entry in log.open_intents(AGENCY, now + timedelta(minutes=15))] == [lost.idx]


def test_a_leaf_without_a_time_gets_that_of_the_clock(log, installation):
    entry = log.append(AGENCY, Leaf(kind="looked"), key="k")
    assert Leaf.parse(entry.leaf_bytes).time == installation.clock.now()


def test_a_new_year_continues_the_log_of_the_old_one(log, installation):
    disclose(log)
    last = log.checkpoint(AGENCY, 2026)
    installation.clock.move(days=365)
    entry = disclose(log, key="d-2:intent")
    assert entry.origin == f"{PREFIX}/{AGENCY}/2027"
    first = Leaf.parse(log.entries(AGENCY, limit=1)[0].leaf_bytes)
    assert (first.kind, first.previous) == ("year_opened", last)
    assert log.checkpoint(AGENCY, 2026) == last
    assert [each.origin for each in log.by_person(AGENCY, "p-1")] == [ORIGIN, entry.origin]
    assert log.origins(AGENCY) == [ORIGIN, entry.origin]
    assert log.fsck(AGENCY) == []


def test_a_closed_year_takes_no_more_entries_even_if_the_clock_runs_back(log, installation):
    installation.clock.move(days=365)
    disclose(log)
    installation.clock.move(days=-365)
    assert disclose(log, key="d-2:intent").origin == f"{PREFIX}/{AGENCY}/2027"


def test_the_year_is_that_of_the_legal_day(log, installation):
    installation.clock.moment = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert disclose(log).origin == f"{PREFIX}/{AGENCY}/2027"


def test_a_change_of_key_has_a_time_of_two_signatures(installation):
    first = installation.log()
    entry = disclose(first)
    first.stop()
    second = installation.log(signer=Ed25519PrivateKey.generate(), former=installation.signer)
    key = second.verifier_key(entry.origin)
    change = Leaf(kind="key_change", details={"verifier_key": key})
    changed = second.append(AGENCY, change, key=f"key:{key}")
    verify_receipt(changed.receipt_text, changed.leaf_bytes, key)
    verify_receipt(changed.receipt_text, changed.leaf_bytes, first.verifier_key(entry.origin))
    assert second.find(AGENCY, "d-1:intent").receipt_text == entry.receipt_text
    assert second.fsck(AGENCY) == []


def test_a_process_that_does_not_sequence_is_served_by_the_one_that_does(installation):
    leader, other = installation.log(), installation.log()
    entry = disclose(other)
    assert verify(other, entry).index == 1
    assert disclose(leader).receipt_text == entry.receipt_text
    leader.stop()
    assert disclose(other, key="d-2:intent").idx == 2


def test_a_process_that_never_sequences_may_append(installation):
    silent = installation.log(start=False)
    installation.log()
    assert disclose(silent).idx == 1
    with pytest.raises(Refused, match="key_taken"):
        disclose(silent, health={})


def test_without_a_sequencer_there_is_no_answer_and_later_the_same_entry(installation):
    silent = installation.log(start=False)
    leaf, openings = intent()
    with pytest.raises(Unavailable, match="not_signed"):
        silent.append(AGENCY, leaf, key="d-1:intent", openings=openings, timeout=0.1)
    with pytest.raises(Refused, match="key_taken"):
        disclose(silent, health={})
    with pytest.raises(Unavailable, match="not_signed"):
        silent.append(AGENCY, leaf, key="d-1:intent", openings=openings, timeout=0.1)
    assert silent.find(AGENCY, "d-1:intent") is None
    log = installation.log()
    entry = log.append(AGENCY, leaf, key="d-1:intent", openings=openings)
    assert (entry.idx, entry.leaf_bytes) == (1, leaf.to_bytes() if leaf.time else entry.leaf_bytes)
    assert len(log.entries(AGENCY)) == 2


def test_a_key_that_cannot_sign_gives_no_receipt(installation):
    class Broken:
        def sign(self, data):
            raise OSError

        def public_key(self):
            return installation.signer.public_key()

    broken = installation.log(signer=Broken())
    with pytest.raises(Unavailable, match="not_signed"):
        disclose(broken)
    broken.stop()
    log = installation.log()
    assert disclose(log).idx == 1
    assert log.fsck(AGENCY) == []


def test_a_row_among_the_pending_that_is_no_entry_is_dropped(log):
    with log._database.write() as tx:
        tx.execute(insert(tables.pending).values(agency=AGENCY, key="x", bytes=b"{}", openings="{}"))
    disclose(log)
    with log._database.read() as tx:
        assert tx.execute(select(tables.pending)).all() == []
    assert log.find(AGENCY, "x") is None


@pytest.mark.parametrize("table", ["leaf", "node", "checkpoint"])
@pytest.mark.parametrize("change", ["update {0} set log = log", "delete from {0}"])
def test_the_database_itself_refuses_to_change_what_was_logged(log, table, change):
    disclose(log)
    disclose(log, key="d-2:intent")
    with pytest.raises(DBAPIError, match="only grows"), log._database.write() as tx:
        tx.execute(text(change.format(table)))


@pytest.mark.parametrize(
    "change",
    ["update entry set idx = idx", "delete from head", "update head set size = size - 1"],
)
def test_the_database_refuses_to_bend_what_stands_beside_it(log, change):
    disclose(log)
    with pytest.raises(DBAPIError, match="only grows"), log._database.write() as tx:
        tx.execute(text(change))


def test_on_postgresql_nobody_empties_a_table_at_once(log):
    if log._database.dialect != "postgresql":
        with log._database.read() as tx:
            assert tx.dialect.name == "sqlite"  # which has no TRUNCATE
        return
    disclose(log)
    with pytest.raises(DBAPIError, match="only grows"), log._database.write() as tx:
        tx.execute(text("truncate leaf"))


def test_starting_and_stopping_twice_changes_nothing(log):
    log.start()
    disclose(log)
    log.stop()
    log.stop()
    log.start()
    assert disclose(log, key="d-2:intent").idx == 2


def test_stopping_lets_everybody_go_who_waits(log):
    answers = []

    def append(number):
        try:
            answers.append(log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}", timeout=0.3))
        except Unavailable as error:
            answers.append(error)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    log.stop()
    for thread in threads:
        thread.join(10)
    assert len(answers) == 8


def test_names_of_logs_are_read_back_from_their_origins():
    for name in (LogName("a", 2026), LogName("a.b-c", 2027, 3)):
        assert LogName.parse(name.origin("x.example/y")) == name
    with pytest.raises(Invalid):
        LogName.parse("nonsense")


def test_a_sequencer_whose_session_breaks_takes_the_lock_again(log):
    disclose(log)
    if log._database.dialect == "postgresql":
        with log._database.write() as tx:
            ended = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            assert tx.execute(text(ended)).scalar() is True
    assert disclose(log, key="d-2:intent").idx == 2


def test_two_sequencers_at_once_do_not_fork_the_log(installation, monkeypatch):
    """The lock that keeps them apart is a courtesy; the locked row and the kept head are what holds."""
    monkeypatch.setattr("services.audit.sequencer.leadership.FileLock.held", lambda self: True)
    monkeypatch.setattr("services.audit.sequencer.leadership.SessionLock.held", lambda self: True)
    logs = [installation.log(), installation.log()]

    def persistently(number):
        for _ in range(50):
            try:
                return disclose(logs[number % 2], key=f"d-{number}:intent")
            except Unavailable:
                continue
        return None

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(persistently, range(60)))
    assert sorted(entry.idx for entry in entries) == list(range(1, 61))
    for entry in entries:
        verify(logs[0], entry)
    assert logs[0].fsck(AGENCY) == []
    sizes = {entry.receipt_text.split("\n\n")[1]: None for entry in entries}
    assert len({head.split("\n")[1] for head in sizes}) == len(sizes)


def test_a_person_who_is_forgotten_while_an_entry_waits_is_forgotten(installation):
    silent = installation.log(start=False)
    with pytest.raises(Unavailable):
        disclose_in_vain(silent)
    silent.forget(AGENCY, "p-1")
    log = installation.log()
    log.append(AGENCY, Leaf(kind="looked"), key="k")
    assert len(log.entries(AGENCY)) == 3
    assert log.by_person(AGENCY, "p-1") == []
    assert log.openings(AGENCY, ORIGIN, 1) == {}


def disclose_in_vain(log):
    leaf, openings = intent()
    return log.append(AGENCY, leaf, key="d-1:intent", openings=openings, person="p-1", timeout=0.05)


def test_the_receipt_of_a_place_is_that_of_its_key(log):
    entry = disclose(log)
    found = log.receipt(AGENCY, entry.origin, entry.idx)
    assert (found.receipt_text, found.leaf_bytes) == (entry.receipt_text, entry.leaf_bytes)
    for agency, origin, idx in ((AGENCY, entry.origin, 9), (AGENCY, "x", 1), ("other", entry.origin, 1)):
        with pytest.raises(NotFound):
            log.receipt(agency, origin, idx)
    with pytest.raises(NotFound):
        log.openings("other", entry.origin, 1)
