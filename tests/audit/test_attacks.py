"""What somebody could do to the log, and who sees it: database, fsck, kept head or partner."""

import shutil
import sqlite3

import pytest

from services.audit.sequencer import AuditLog
from services.audit.sequencer.entering import entry_columns, first_key
from shared.audit import Leaf, verify_receipt
from shared.errors import Refused, Unavailable
from shared.merkle import Frontier, NotProven, leaf_hash, verify_consistency
from shared.notes import Checkpoint, VerifierKey, open_checkpoint, sign_note
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.receipts import intent

ORIGIN = f"{PREFIX}/{AGENCY}/2026"


def disclose(log, key):
    leaf, openings = intent()
    return log.append(AGENCY, leaf, key=key, openings=openings, person="p-1")


def filled(installation, count=7):
    log = installation.log()
    entries = [disclose(log, f"d-{number}") for number in range(count)]
    return log, entries


def file_of(installation):
    return installation.folder / "audit.db"


def bend(installation, *statements):
    """As somebody does who holds the file: without the triggers."""
    with sqlite3.connect(file_of(installation)) as connection:
        triggers = connection.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"drop trigger {name}")
        for statement, *parameters in statements:
            connection.execute(statement, parameters)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def codes(log):
    return {finding.code for finding in log.fsck(AGENCY)}


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update entry set bytes = cast('{}' as blob) where idx = 3", "log.entry_changed"),
        ("update leaf set leaf_hash = zeroblob(32) where idx = 3", "log.root_differs"),
        ("update node set hash = zeroblob(32) where level = 1 and idx = 1", "log.node_differs"),
        ("delete from node where level = 1 and idx = 1", "log.node_differs"),
        ("delete from leaf where idx = 3", "log.entry_missing"),
        ("delete from leaf where idx = 7", "log.entry_missing"),
        ("update head set frontier = zeroblob(32)", "log.head_differs"),
        ("update checkpoint set note = replace(note, '/2026' || char(10), '/2027' || char(10))", "log.signature"),
        ("update checkpoint set size = 100 where size = 8", "log.checkpoint_misplaced"),
        ("delete from checkpoint where size = 8", "log.not_signed"),
    ],
)
def test_a_changed_row_is_found_by_the_full_check(on_file, statement, code):
    log, _ = filled(on_file)
    log.stop()
    assert codes(log) == set()
    bend(on_file, (statement,))
    assert code in codes(log)


def rewritten(leaves):
    """The rows of a log over other leaves, hashes and inner nodes and all that stands beside them."""
    tree, nodes = Frontier().extended(leaf_hash(leaf) for leaf in leaves)
    statements = [(f"delete from {table}",) for table in ("leaf", "node", "entry", "entry_key", "subject", "opening")]
    for index, leaf in enumerate(leaves):
        hashed = leaf_hash(leaf)
        statements.append(("insert into leaf values (?, ?, ?)", ORIGIN, index, hashed))
        columns = entry_columns(Leaf.parse(leaf)).values()
        statements.append(("insert into entry values (?, ?, ?, ?, ?, ?, ?)", ORIGIN, index, leaf, *columns))
        key = f"d-{index}" if index else first_key(ORIGIN)
        statements.append(("insert into entry_key values (?, ?, ?, ?)", AGENCY, key, ORIGIN, index))
    for (level, index), hashed in nodes.items():
        if level:
            statements.append(("insert into node values (?, ?, ?, ?)", ORIGIN, level, index, hashed))
    statements.append(("update head set size = ?, frontier = ?", tree.size, tree.to_bytes()))
    return tree, statements


def stored_leaves(log):
    return [entry.leaf_bytes for entry in log.entries(AGENCY)]


def test_an_edited_entry_with_all_hashes_made_anew_is_found_by_the_signed_heads(on_file):
    log, _ = filled(on_file)
    log.stop()
    leaves = stored_leaves(log)
    leaves[3] = intent()[0].to_bytes()
    bend(on_file, *rewritten(leaves)[1])
    assert "log.root_differs" in codes(log)
    assert refusal(on_file) == "log.database_differs"


def refusal(installation):
    again = installation.log()
    with pytest.raises(Unavailable) as caught:
        disclose(again, "after")
    again.stop()
    assert caught.value.code == again.refusal(AGENCY)
    return caught.value.code


def signed_anew(log, leaves, signer):
    """History rewritten by somebody who holds the signing key, too."""
    tree, statements = rewritten(leaves)
    note = sign_note(str(Checkpoint(ORIGIN, tree.size, tree.root())), (ORIGIN, signer))
    statements += [("delete from checkpoint",), ("insert into checkpoint values (?, ?, ?)", ORIGIN, tree.size, note)]
    return note, statements


def test_history_signed_anew_is_found_by_the_kept_head_and_by_any_older_head(on_file):
    log, entries = filled(on_file)
    older = log.checkpoint(AGENCY)
    log.stop()
    leaves = stored_leaves(log)
    leaves[3] = intent()[0].to_bytes()
    note, statements = signed_anew(log, [*leaves, intent()[0].to_bytes()], on_file.signer)
    bend(on_file, *statements)
    assert codes(log) == {"log.database_differs", "log.kept_head_old"}
    assert refusal(on_file) == "log.database_differs"
    key = VerifierKey.parse(log.verifier_key(ORIGIN))
    before, after = open_checkpoint(older, [key]), open_checkpoint(note, [key])
    path = log.consistency(AGENCY, before.size, after.size)
    with pytest.raises(NotProven):
        verify_consistency(before.size, after.size, path, before.root, after.root)
    verify_receipt(entries[0].receipt_text, entries[0].leaf_bytes, str(key))  # the old receipt still proves


def test_a_tail_that_was_cut_and_signed_is_found_by_the_kept_head(on_file):
    log, _ = filled(on_file)
    log.stop()
    bend(on_file, *signed_anew(log, stored_leaves(log)[:-2], on_file.signer)[1])
    assert codes(log) == {"log.database_behind"}
    assert refusal(on_file) == "log.database_behind"


def test_an_entry_that_was_slipped_in_is_found_by_the_kept_head(on_file):
    log, _ = filled(on_file)
    log.stop()
    leaves = stored_leaves(log)
    leaves.insert(2, intent()[0].to_bytes())
    bend(on_file, *signed_anew(log, leaves, on_file.signer)[1])
    assert refusal(on_file) == "log.database_differs"


def test_two_trees_of_one_size_are_found_by_whoever_holds_the_other_head(on_file):
    log, _ = filled(on_file)
    shown = open_checkpoint(log.checkpoint(AGENCY), [VerifierKey.parse(log.verifier_key(ORIGIN))])
    with pytest.raises(NotProven):
        verify_consistency(shown.size, shown.size, [], shown.root, leaf_hash(b"another tree"))


def backed_up(installation):
    copy = installation.folder / "backup.db"
    source, target = sqlite3.connect(file_of(installation)), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    return copy


def restored(installation, copy):
    for part in ("", "-wal", "-shm"):
        (installation.folder / f"audit.db{part}").unlink(missing_ok=True)
    shutil.copy(copy, file_of(installation))


def test_a_restored_backup_does_not_sign(on_file):
    log, _ = filled(on_file, 3)
    copy = backed_up(on_file)
    last = [disclose(log, f"late-{number}") for number in range(3)][-1]
    on_file.stop()
    restored(on_file, copy)
    assert refusal(on_file) == "log.database_behind"
    assert last.idx == 6
    assert "log.database_behind" in codes(log)


def test_after_a_declared_break_a_new_origin_names_the_head_that_was_lost(on_file):
    log, _ = filled(on_file, 3)
    copy = backed_up(on_file)
    disclose(log, "late")
    lost = log.checkpoint(AGENCY)
    on_file.stop()
    restored(on_file, copy)
    log = on_file.log()
    origin = log.declare_break(AGENCY, "restored:2026-03-02")
    assert origin == f"{ORIGIN}-2"
    entry = disclose(log, "after")
    assert (entry.origin, entry.idx) == (origin, 1)
    first = Leaf.parse(log.entries(AGENCY, limit=1)[0].leaf_bytes)
    assert (first.kind, first.previous) == ("origin_restarted", lost)
    assert first.details["database_size"] == "4"
    assert log.fsck(AGENCY) == []
    on_file.stop()
    assert disclose(on_file.log(), "later").idx == 2


def test_a_year_that_the_backup_does_not_know_is_not_opened_twice(on_file):
    log, _ = filled(on_file, 2)
    copy = backed_up(on_file)
    on_file.clock.move(days=365)
    disclose(log, "next year")
    on_file.stop()
    restored(on_file, copy)
    assert refusal(on_file) == "log.database_behind"


def test_a_missing_folder_of_heads_stops_the_log(on_file):
    filled(on_file, 2)
    on_file.stop()
    shutil.rmtree(on_file.heads)
    assert refusal(on_file) == "log.kept_head_missing"
    log = on_file.log()
    log.declare_break(AGENCY, "heads-lost")
    assert disclose(log, "after").origin == f"{ORIGIN}-2"


def test_a_forged_head_file_stops_the_log(on_file):
    filled(on_file, 2)
    on_file.stop()
    kept = on_file.heads / AGENCY / "2026-1.checkpoint"
    for text in (kept.read_text().replace("\n3\n", "\n2\n"), "nonsense"):
        kept.write_text(text)
        assert refusal(on_file).startswith("log.")


def test_a_log_that_is_stopped_leaves_the_others_alone(on_file):
    filled(on_file, 2)
    on_file.stop()
    shutil.rmtree(on_file.heads)
    log = on_file.log()
    assert log.append("health_insurer", Leaf(kind="looked"), key="k").idx == 1
    with pytest.raises(Unavailable):
        disclose(log, "after")
    silent = on_file.log(start=False)
    with pytest.raises(Unavailable):
        silent.append(AGENCY, Leaf(kind="looked"), key="left", timeout=0.2)
    assert silent.append("health_insurer", Leaf(kind="looked"), key="k2").idx == 2
    assert log.refusal("health_insurer") is None


def test_a_break_is_declared_only_for_a_log_that_exists(on_file):
    with pytest.raises(Refused, match="no_log"):
        on_file.log().declare_break(AGENCY, "why")


def test_a_broken_node_stops_the_signing_and_not_the_truth(on_file):
    log, _ = filled(on_file, 3)
    log.stop()
    bend(on_file, ("update node set hash = zeroblob(32) where level = 2",))
    again = on_file.log()
    with pytest.raises(Unavailable, match="database_differs"):
        disclose(again, "after")


def test_heads_are_kept_before_they_are_shown(on_file, monkeypatch):
    log, _ = filled(on_file, 1)
    shown = []
    record = log._sequencer._record
    monkeypatch.setattr(log._sequencer, "_record", lambda batch, note: (shown.append(note), record(batch, note)))
    disclose(log, "next")
    kept = (on_file.heads / AGENCY / "2026-1.checkpoint").read_text()
    assert shown == [kept]
    assert isinstance(log, AuditLog)


def test_one_lost_head_file_stops_the_log_although_older_ones_are_there(on_file):
    log, _ = filled(on_file, 2)
    on_file.clock.move(days=365)
    disclose(log, "next year")
    on_file.stop()
    (on_file.heads / AGENCY / "2027-1.checkpoint").unlink()
    assert refusal(on_file) == "log.kept_head_missing"
    assert "log.kept_head_missing" in codes(on_file.log(start=False))


def test_a_year_that_was_opened_and_not_signed_is_signed_by_the_next_sequencer(on_file, monkeypatch):
    log, _ = filled(on_file, 2)
    on_file.clock.move(days=365)
    publish = log._sequencer._publish

    def away(batch):
        raise Unavailable("log.not_signed", "the key is away")

    monkeypatch.setattr(log._sequencer, "_publish", away)
    with pytest.raises(Unavailable, match="not_signed"):
        disclose(log, "next year")
    monkeypatch.setattr(log._sequencer, "_publish", publish)
    entry = disclose(log, "next year")
    assert (entry.origin, entry.idx) == (f"{PREFIX}/{AGENCY}/2027", 1)
    assert codes(log) == set()


def test_a_year_is_not_closed_before_it_is_signed_to_its_end(on_file, monkeypatch):
    log, _ = filled(on_file, 2)

    def away(batch):
        raise Unavailable("log.not_signed", "the key is away")

    with monkeypatch.context() as patched:
        patched.setattr(log._sequencer, "_publish", away)
        with pytest.raises(Unavailable):
            disclose(log, "last of the year")
        on_file.clock.move(days=365)
        with pytest.raises(Unavailable):
            disclose(log, "first of the year")
        assert log.origins(AGENCY) == [ORIGIN]
    assert disclose(log, "first of the year").origin == f"{PREFIX}/{AGENCY}/2027"
    assert log.find(AGENCY, "last of the year").origin == ORIGIN
    assert codes(log) == set()


def test_a_year_that_follows_nothing_is_found(on_file):
    log, _ = filled(on_file, 2)
    on_file.clock.move(days=365)
    disclose(log, "next year")
    log.stop()
    data = Leaf(kind="year_opened", time=on_file.clock.now()).to_bytes()
    bend(on_file, ("update entry set bytes = ? where log like '%2027' and idx = 0", data))
    assert codes(log) == {"log.entry_changed", "log.chain_broken"}
