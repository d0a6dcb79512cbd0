"""`handschlag log verify`: what an auditor gets to see, and the exit codes 0, 1 and 2."""

import base64
import json
import time
from datetime import UTC, datetime
from string import Formatter

import pytest
from click.testing import CliRunner

from services.command.log import log as command
from services.command.log_words import WORDS
from shared.audit import Leaf
from shared.merkle import Frontier, leaf_hash
from shared.notes import Checkpoint, log_verifier_key, sign_note
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.bundles import all_kinds
from tests.support.receipts import ToyLog, intent

ORIGIN = f"{PREFIX}/{AGENCY}/2026"


@pytest.fixture
def case(on_file, tmp_path):
    """A log with a few entries, and everything an auditor may have been given, as files."""
    log = on_file.log()
    leaf, openings = intent()
    log.append(AGENCY, Leaf(kind="looked"), key="k-0")
    (tmp_path / "old").write_text(log.checkpoint(AGENCY), encoding="utf-8")
    entry = log.append(AGENCY, leaf, key="k-1", openings=openings)
    for number in range(5):
        log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number + 2}")
    (tmp_path / "new").write_text(log.checkpoint(AGENCY), encoding="utf-8")
    path = [base64.b64encode(each).decode() for each in log.consistency(AGENCY, 2, 8)]
    (tmp_path / "path").write_text("\n".join(path), encoding="utf-8")
    (tmp_path / "receipt").write_text(entry.receipt_text, encoding="utf-8")
    (tmp_path / "leaf").write_bytes(entry.leaf_bytes)
    opening = {"key": openings["person"].key.hex(), "value": "p-1"}
    (tmp_path / "opening").write_text(json.dumps(opening), encoding="utf-8")
    (tmp_path / "dump").write_text("".join(f"{line}\n" for line in log.dump(AGENCY)), encoding="utf-8")
    (tmp_path / "key").write_text(log.verifier_key(ORIGIN), encoding="utf-8")
    (tmp_path / "wrong-key").write_text(ToyLog(ORIGIN).verifier_key, encoding="utf-8")
    (tmp_path / "nonsense").write_bytes(b"\xff\xfe nonsense")
    return tmp_path


def run(folder, what, *arguments):
    known = [str(folder / each) if len(each) < 50 and (folder / each).exists() else each for each in arguments]
    return CliRunner().invoke(command, ["verify", what, *known], catch_exceptions=False)


KEY = ("--key", "key")


def test_a_receipt_is_proved_and_the_answer_says_what_was_not_checked(case):
    result = run(case, "receipt", "receipt", "leaf", *KEY)
    assert result.exit_code == 0
    assert result.output.startswith("Bewiesen:")
    assert f"Eintrag 2 steht im Protokoll {ORIGIN}" in result.output
    assert "jobcenter an pension_insurer" in result.output
    assert "Nicht geprüft:" in result.output
    assert "anderen einen anderen Stand" in result.output


def test_the_key_may_be_given_as_text(case):
    result = run(case, "receipt", "receipt", "leaf", "--key", (case / "key").read_text())
    assert result.exit_code == 0


def test_a_receipt_under_another_key_is_not_proved(case):
    result = run(case, "receipt", "receipt", "leaf", "--key", "wrong-key")
    assert (result.exit_code, "Nicht bewiesen" in result.output) == (1, True)
    assert "Kein bekannter Schlüssel" in result.output


def test_a_receipt_for_another_leaf_is_not_proved(case):
    other, _ = intent()
    (case / "other").write_bytes(other.to_bytes())
    result = run(case, "receipt", "receipt", "other", *KEY, "--lang", "en")
    assert (result.exit_code, result.output.startswith("Not proven")) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("receipt", "nonsense", "leaf", *KEY),
        ("receipt", "receipt", "nonsense", *KEY),
        ("receipt", "receipt", "leaf", "--key", "nonsense-key"),
        ("receipt", "leaf", "receipt", *KEY),
        ("receipt", "receipt", "leaf"),
        ("receipt", "receipt", "not-there", *KEY),
        ("consistency", "old", "new", "nonsense", *KEY),
        ("opening", "leaf", "person", "nonsense"),
        ("opening", "leaf", "person", "key"),
        ("dump", "nonsense", *KEY),
        ("dump", "receipt", *KEY),
        ("dump", "dump", *KEY, "--head", "leaf"),
    ],
)
def test_input_that_cannot_be_used_is_told_from_what_is_not_proved(case, arguments):
    assert run(case, *arguments).exit_code == 2


def test_a_newer_head_is_shown_to_continue_an_older_one(case):
    result = run(case, "consistency", "old", "new", "path", *KEY)
    assert (result.exit_code, "8 Einträgen beginnt mit genau den 2" in result.output) == (0, True)


def test_heads_that_do_not_continue_each_other_are_not_proved(case):
    assert run(case, "consistency", "new", "old", "path", *KEY).exit_code == 1
    (case / "empty").write_text("")
    assert run(case, "consistency", "old", "new", "empty", *KEY).exit_code == 1
    assert run(case, "consistency", "new", "new", "empty", *KEY).exit_code == 0


def test_heads_of_two_logs_do_not_continue_each_other(case):
    toy = ToyLog("handschlag.example/other/2026")
    note = sign_note(str(Checkpoint(toy.origin, 1, bytes(32))), (toy.origin, toy.key))
    (case / "foreign").write_text(note, encoding="utf-8")
    result = run(case, "consistency", "old", "foreign", "path", *KEY, "--key", toy.verifier_key)
    assert result.exit_code == 1


def test_an_opening_shows_what_the_entry_committed_to(case):
    result = run(case, "opening", "leaf", "person", "opening")
    assert (result.exit_code, "ob der Eintrag im Protokoll steht" in result.output) == (0, True)
    assert run(case, "opening", "leaf", "case", "opening").exit_code == 1
    assert run(case, "opening", "leaf", "nobody", "opening").exit_code == 1


def test_machines_get_one_json_object(case):
    good = json.loads(run(case, "receipt", "receipt", "leaf", *KEY, "--json").output)
    assert (good["result"], good["values"]["index"], good["values"]["size"]) == ("proven", 2, 3)
    assert {"other_views", "key_origin", "content", "truth"} <= set(good["not_checked"])
    bad = json.loads(run(case, "receipt", "receipt", "leaf", "--key", "wrong-key", "--json").output)
    assert (bad["result"], bad["reason"]) == ("not_proven", "log.no_known_signature")


def test_a_whole_log_is_proved_from_its_dump(case):
    result = run(case, "dump", "dump", *KEY)
    assert (result.exit_code, "8 Einträge ohne Lücke" in result.output) == (0, True)
    assert "ob das Ende abgeschnitten wurde" in result.output
    with_heads = run(case, "dump", "dump", *KEY, "--head", "old", "--head", "new")
    assert (with_heads.exit_code, "2 früher aufbewahrte" in with_heads.output) == (0, True)
    assert "abgeschnitten" not in with_heads.output


def changed(case, change):
    lines = (case / "dump").read_text(encoding="utf-8").splitlines()
    (case / "changed").write_text("".join(f"{line}\n" for line in change(lines)), encoding="utf-8")
    return run(case, "dump", "changed", *KEY, "--head", "new", "--json")


def entry_at(lines, index):
    return next(at for at, line in enumerate(lines) if line.startswith(f'{{"index":{index},'))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [line.replace("looked", "denied") for line in lines], "log.entry_changed"),
        (lambda lines: lines[: entry_at(lines, 4)] + lines[entry_at(lines, 5) :], "log.entry_missing"),
        (lambda lines: lines[: entry_at(lines, 6)], "log.dump_cut"),
        (lambda lines: lines[:-1], "log.dump_cut"),
        (lambda lines: [line.replace('"size":8', '"size":9') for line in lines], "log.dump_cut"),
        (lambda lines: [lines[0], *lines[:0:-1]], "log.root_differs"),
    ],
)
def test_a_dump_that_was_changed_is_not_proved(case, change, reason):
    result = changed(case, change)
    assert (result.exit_code, json.loads(result.output)["reason"]) == (1, reason)


def test_a_dump_without_its_tail_does_not_contain_the_kept_head(case):
    def cut(lines):
        first, *rest = lines[: entry_at(lines, 6)]
        return [first.replace('"size":8', '"size":6'), *rest]

    result = changed(case, cut)
    assert (result.exit_code, json.loads(result.output)["reason"]) == (1, "log.dump_head")


def test_deleted_bytes_are_named_among_what_was_not_checked(case):
    def without(lines):
        documents = [json.loads(line) for line in lines]
        return [json.dumps({k: v for k, v in each.items() if k != "leaf"}) for each in documents]

    result = changed(case, without)
    assert result.exit_code == 0
    assert "8 Einträgen" in json.loads(result.output)["not_checked"]["deleted"]


def test_a_large_dump_is_checked_in_seconds(tmp_path):
    """A hundred thousand entries here; a million take ten times as long."""
    toy, count = ToyLog(ORIGIN), 100_000
    leaf = Leaf(kind="looked", time=datetime(2026, 3, 2, tzinfo=UTC)).to_bytes().decode()
    tree, _ = Frontier().extended([leaf_hash(leaf.encode())] * count)
    head = sign_note(str(Checkpoint(ORIGIN, count, tree.root())), (ORIGIN, toy.key))
    with (tmp_path / "dump").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"format": "handschlag-log-dump@v1", "log": ORIGIN, "size": count}) + "\n")
        hashed = leaf_hash(leaf.encode()).hex()
        for index in range(count):
            file.write(json.dumps({"index": index, "hash": hashed, "leaf": leaf}) + "\n")
        file.write(json.dumps({"checkpoint": head}) + "\n")
    started = time.perf_counter()
    result = run(tmp_path, "dump", "dump", "--key", log_verifier_key(ORIGIN, toy.key.public_key()))
    assert (result.exit_code, time.perf_counter() - started < 10) == (0, True)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """An auditor's folder: bundles of every kind, and the keys of the two logs that they are of."""
    folder = tmp_path_factory.mktemp("given")
    for name, bundle in all_kinds(tmp_path_factory.mktemp("bundles")).items():
        (folder / name).write_bytes(bundle.data)
        for number, key in enumerate(bundle.keys):
            (folder / f"key-{number}").write_text(key, encoding="utf-8")
    return folder


KEYS = ("--key", "key-0", "--key", "key-1")


@pytest.mark.parametrize("kind", ["subject", "case", "nobody", "day", "turn", "silence", "before"])
def test_a_bundle_is_proved_and_after_one_changed_byte_it_is_not(given, tmp_path, kind):
    proved = run(given, "bundle", kind, *KEYS)
    assert (proved.exit_code, proved.output.startswith("Bewiesen:")) == (0, True)
    assert "Nicht geprüft:" in proved.output
    data = (given / kind).read_bytes()
    for at in range(0, len(data), max(1, len(data) // 60)):
        changed = bytearray(data)
        changed[at] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        assert run(given, "bundle", str(tmp_path / "changed"), *KEYS).exit_code in (1, 2)


def test_an_empty_period_is_told_from_a_full_one(given):
    assert "steht kein Eintrag" in run(given, "bundle", "silence", *KEYS).output
    assert "steht kein Eintrag" not in run(given, "bundle", "turn", *KEYS).output
    empty = json.loads(run(given, "bundle", "nobody", *KEYS, "--json").output)
    assert (empty["result"], empty["values"]["entries"]) == ("proven", 0)
    assert "index" in empty["not_checked"]


def test_a_bundle_without_its_keys_or_that_is_none_is_unusable_or_not_proved(given, tmp_path):
    assert run(given, "bundle", "subject").exit_code == 2
    assert run(given, "bundle", "subject", *KEYS[:2]).exit_code == 1
    assert run(given, "bundle", "key-0", *KEYS).exit_code == 2
    (tmp_path / "empty").write_bytes(b"")
    assert run(given, "bundle", str(tmp_path / "empty"), *KEYS).exit_code == 2


def test_every_word_of_the_auditors_tool_is_there_in_both_languages():
    assert all(len(words) == 2 and all(words) for words in WORDS.values())
    for kind in ("subject", "case", "period", "empty"):
        fields = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in WORDS[kind]]
        assert fields[0] == fields[1]
