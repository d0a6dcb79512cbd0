"""`handschlag witness` as it runs on another machine, asked by a real log over HTTP."""

import json
import subprocess
import sys
import threading

import pytest
import requests
from click.testing import CliRunner

from services.audit.witnessing import HttpPost, Witnessing, ask_witnesses
from services.command.log import log as log_command
from services.command.witness import witness as command
from shared.audit import Leaf
from shared.clock import SystemClock
from shared.notes import AddCheckpoint, Checkpoint, VerifierKey, claimed_checkpoint, open_note, sign_note
from shared.witness import Policy, WitnessStore
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.servers import free_ports
from tests.support.shared_data import REPOSITORY
from tests.support.witnesses import BARE, WitnessProcess, running

NAMES = ("dpo", "authority", "neighbour")


@pytest.fixture
def origin(on_file):
    on_file.clock.moment = SystemClock().now()
    return f"{PREFIX}/{AGENCY}/{on_file.clock.today().year}"


@pytest.fixture
def log_key(on_file, origin):
    return VerifierKey(origin, on_file.signer.public_key().public_bytes_raw())


@pytest.fixture
def processes(on_file, log_key):
    ports = free_ports(len(NAMES))
    return [
        WitnessProcess(on_file.folder / name, port, [str(log_key)]) for name, port in zip(NAMES, ports, strict=True)
    ]


def policy_text(processes):
    lines = [f"witness {each.folder.name} {each.verifier_key} {each.url}" for each in processes]
    names = " ".join(each.folder.name for each in processes)
    return "\n".join([*lines, f"group two-of-three 2 {names}", "quorum two-of-three", ""])


def grow(log, *keys):
    for key in keys:
        entry = log.append(AGENCY, Leaf(kind="looked"), key=key)
    return entry


def add(url, asked):
    answer = requests.post(f"{url}/add-checkpoint", data=str(asked).encode(), timeout=10)
    return answer.status_code, answer.headers["Content-Type"].split(";")[0], answer.text


def test_two_of_three_real_witnesses_make_a_receipt_that_an_auditor_can_check(on_file, processes, log_key, tmp_path):
    (tmp_path / "policy").write_text(policy_text(processes))
    policy = Policy.parse((tmp_path / "policy").read_bytes())
    log = on_file.log(policy=policy)
    entry = grow(log, "one", "two", "three")
    witnessing = Witnessing(on_file.database(), policy, on_file.clock, HttpPost())
    with running(*processes[:2]):
        witnessing.round()
        found = log.receipt(AGENCY, entry.origin, entry.idx)
        assert log.witnessed(entry.origin)
        assert {each.witness: each.code for each in log.witnesses(AGENCY)}["neighbour"] == "witness.away"
        grow(log, "four")
        witnessing.round()
    assert {each.cosigned for each in log.witnesses(AGENCY) if each.witness != "neighbour"} == {5}
    (tmp_path / "receipt").write_text(found.receipt_text)
    (tmp_path / "leaf").write_bytes(found.leaf_bytes)
    (tmp_path / "early").write_text(entry.receipt_text)

    def verify(receipt, *more):
        files = [str(tmp_path / receipt), str(tmp_path / "leaf")]
        return CliRunner().invoke(log_command, ["verify", "receipt", *files, "--key", str(log_key), *more])

    proven = verify("receipt", "--policy", str(tmp_path / "policy"), "--lang", "en")
    assert (proven.exit_code, "Cosigned as the policy asks, by: " in proven.output) == (0, True)
    assert "dpo.example (" in proven.output
    assert "authority.example (" in proven.output
    early = verify("early", "--policy", str(tmp_path / "policy"))
    assert (early.exit_code, "log.quorum" in early.output) == (1, True)
    without = verify("receipt")
    assert (without.exit_code, "Mitzeichnungen von Zeugen" in without.output) == (0, True)
    (tmp_path / "bad").write_text("quorum nobody\n")
    unusable = verify("receipt", "--policy", str(tmp_path / "bad"))
    assert (unusable.exit_code, "policy.name" in unusable.output) == (2, True)


def test_heads_and_dumps_are_checked_for_their_quorum_too(on_file, processes, log_key, tmp_path):
    from tests.support.witnesses import Neighbour, Neighbourhood

    street = Neighbourhood({name: Neighbour(name, tmp_path / "street", [log_key]) for name in ("a", "b", "c")})
    lines = [f"witness {name} {each.known.key}" for name, each in street.witnesses.items()]
    (tmp_path / "policy").write_text("\n".join([*lines, "group enough 2 a b c", "quorum enough", ""]))
    log = on_file.log(policy=street.policy)
    entry = grow(log, "one", "two")
    (tmp_path / "old").write_text(log.checkpoint(AGENCY))
    grow(log, "three")

    def write():
        (tmp_path / "new").write_text(log.checkpoint(AGENCY))
        (tmp_path / "dump").write_text("".join(f"{line}\n" for line in log.dump(AGENCY)))

    from base64 import b64encode

    path = log.consistency(AGENCY, entry.idx + 1, entry.idx + 2)
    (tmp_path / "path").write_text("".join(f"{b64encode(each).decode()}\n" for each in path))

    def verify(what, *files):
        arguments = [str(tmp_path / each) for each in files]
        policy = ["--key", str(log_key), "--policy", str(tmp_path / "policy"), "--json"]
        result = CliRunner().invoke(log_command, ["verify", what, *arguments, *policy])
        return result.exit_code, json.loads(result.output)

    write()
    for code, said in (verify("consistency", "old", "new", "path"), verify("dump", "dump")):
        assert (code, said["reason"]) == (1, "log.quorum")
    Witnessing(on_file.database(), street.policy, on_file.clock, street.post).round()
    write()
    for code, said in (verify("consistency", "old", "new", "path"), verify("dump", "dump")):
        assert code == 0
        assert "witnessed" in said["shown"]
        assert said["values"]["witnesses"].count(".example (") == 3
        assert "signatures_of_others" not in said["not_checked"]


def test_the_real_witness_answers_with_the_exact_statuses(on_file, processes, log_key, origin):
    process = processes[0]
    key = VerifierKey.parse(process.verifier_key)
    log = on_file.log()
    grow(log, "one", "two")
    first = AddCheckpoint(0, (), log.checkpoint(AGENCY))
    grow(log, "three")
    second = log.checkpoint(AGENCY)
    path = log.consistency(AGENCY, 3, 4)
    with running(process):
        status, kind, line = add(process.url, first)
        assert (status, kind) == (200, "text/plain")
        assert [each.key for each in open_note(first.checkpoint + line, [key]).signatures] == [key]
        assert add(process.url, first) == (409, "text/x.tlog.size", "3\n")
        assert add(process.url, AddCheckpoint(3, (), second))[0] == 422
        assert add(process.url, AddCheckpoint(5, (), second))[0] == 400
        assert add(process.url, "old 3\n\n")[0] == 400
        other = sign_note(str(Checkpoint(f"{origin}-2", 4, bytes(32))), (f"{origin}-2", on_file.signer))
        assert add(process.url, AddCheckpoint(3, path, other))[0] == 404
        forged = second.replace(second.split("\n")[2], first.checkpoint.split("\n")[2])
        assert add(process.url, AddCheckpoint(3, path, forged))[0] == 403
        assert add(process.url, AddCheckpoint(3, path, second))[0] == 200
        split = sign_note(str(Checkpoint(origin, 4, bytes(32))), (origin, on_file.signer))
        assert add(process.url, AddCheckpoint(4, (), split)) == (409, "text/x.tlog.size", "4\n")
    shown = CliRunner().invoke(command, ["show", "--store", str(process.folder)])
    assert (shown.exit_code, "ZWEI BÄUME mit 4 Einträgen" in shown.output) == (1, True)
    evidence = json.loads(CliRunner().invoke(command, ["show", "--store", str(process.folder), "--json"]).output)
    assert evidence["seen"][origin]["size"] == 4
    (split_view, *_) = [each for each in evidence["contradictions"] if each["shown"] == split]
    assert split_view["cosigned"] == second


def test_a_witness_that_dies_between_keeping_and_answering_goes_on_with_the_same_history(
    on_file, processes, log_key, origin
):
    process = processes[0]
    policy = Policy.parse(f"witness dpo {process.verifier_key} {process.url}\nquorum dpo\n")
    log = on_file.log(policy=policy)
    now = [0.0]
    witnessing = Witnessing(on_file.database(), policy, on_file.clock, HttpPost(), lambda: now[0])
    grow(log, "one")
    with running(process):
        witnessing.round()
    grow(log, "two", "three")
    dying = WitnessProcess(process.folder, process.port, [str(log_key)], ("-m", "tests.audit.witness_dying"))
    with running(dying):
        now[0] += 60
        witnessing.round()
    (standing,) = log.witnesses(AGENCY)
    assert (standing.cosigned, standing.code) == (2, "witness.away")
    assert WitnessStore(process.folder).seen()[origin].size == 4
    grow(log, "four")
    with running(process):
        now[0] += 600
        witnessing.round()
    (standing,) = log.witnesses(AGENCY)
    assert (standing.cosigned, standing.size, standing.code) == (5, 5, None)
    assert WitnessStore(process.folder).contradictions() == []
    assert log.witnessed(origin)


def test_a_killed_witness_keeps_every_size_it_answered_for(on_file, processes, log_key, origin):
    process = processes[0]
    log = on_file.log()
    answered, size = [], 0
    assert process.verifier_key
    with running(process):
        for number in range(12):
            grow(log, f"k-{number}")
            note = log.checkpoint(AGENCY)
            new = claimed_checkpoint(note).size
            path = log.consistency(AGENCY, size, new) if size else ()
            status, _, _ = add(process.url, AddCheckpoint(size, path, note))
            assert status == 200
            size = new
            answered.append(new)
            if number % 4 == 3:
                process.kill()
                assert WitnessStore(process.folder).seen()[origin].size == size
                process.start()
    assert answered[-1] == 13


def test_the_loop_of_the_service_asks_by_itself(on_file, processes, log_key, monkeypatch):
    """Settings name the policy; the loop finds the log, asks real witnesses, and ends when it is told to."""
    from types import SimpleNamespace

    from shared.config import Settings

    monkeypatch.setattr("services.audit.witnessing.PACE", 0.05)
    path = on_file.folder / "policy"
    path.write_text(policy_text(processes))
    monkeypatch.setenv("HANDSCHLAG_WITNESSES", str(path))
    settings = Settings.from_environment()
    assert settings.witnesses == path
    log = on_file.log(policy=Policy.parse(path.read_bytes()))
    entry = grow(log, "one", "two")
    context = SimpleNamespace(database=on_file.database(), settings=settings, clock=on_file.clock)
    stop = threading.Event()
    loop = threading.Thread(target=ask_witnesses, args=(context, stop))
    with running(*processes):
        loop.start()
        for _ in range(400):
            if log.witnessed(entry.origin):
                break
            stop.wait(0.05)
        stop.set()
        loop.join(20)
    assert log.witnessed(entry.origin)
    assert not loop.is_alive()


def test_a_witness_needs_nothing_of_the_platform(tmp_path):
    """Neither settings nor a server: its modules are not even loaded."""
    program = (
        "import sys; import services.command.witness, shared.witness.serving; "
        "print([m for m in sys.modules if m.split('.')[0] in ('sqlalchemy', 'kombu', 'nameko', 'eventlet') "
        "or m in ('shared.config', 'shared.database') or m.startswith('services.audit')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=BARE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_key_is_made_once_and_belongs_to_its_memory(tmp_path):
    folder = str(tmp_path / "w")
    missing = CliRunner().invoke(command, ["key", "--store", folder])
    assert missing.exit_code != 0
    made = CliRunner().invoke(command, ["key", "--store", folder, "--name", "w.example"])
    again = CliRunner().invoke(command, ["key", "--store", folder])
    assert made.output == again.output
    assert str(VerifierKey.parse(made.output.strip())) == made.output.strip()
    assert CliRunner().invoke(command, ["key", "--store", folder, "--name", "other.example"]).exit_code != 0
    assert (tmp_path / "w" / "witness.json").stat().st_mode & 0o077 == 0
    (tmp_path / "w" / "witness.db").unlink()
    run = CliRunner().invoke(
        command, ["run", "--store", folder, "--listen", "127.0.0.1:1", "--log", made.output.strip()]
    )
    assert run.exit_code != 0
    assert not (tmp_path / "w" / "witness.db").exists()
