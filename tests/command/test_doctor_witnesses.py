"""What the doctor and `log check` say about witnesses: information, never a fault of the log."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.evidence import audit_log
from services.audit.witnessing import Witnessing
from services.command.doctor import NOTE, OK, witnesses
from services.command.keys import provide_keys
from services.command.log_keeping import log as log_command
from shared.audit import Leaf
from shared.config import Settings
from shared.migrate import migrate
from shared.notes import COSIGNATURE, VerifierKey
from shared.runtime import context
from shared.witness import Policy
from tests.support.witnesses import Neighbour, away


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HANDSCHLAG_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HANDSCHLAG_WITNESSES", str(tmp_path / "policy"))
    found = Settings.from_environment()
    provide_keys(found)
    migrate("audit", found.database_url("audit"))
    key = VerifierKey("dpo.example", Ed25519PrivateKey.generate().public_key().public_bytes_raw(), COSIGNATURE)
    (tmp_path / "policy").write_text(f"witness dpo {key} http://dpo\nquorum dpo\n")
    return found


def states(settings: Settings) -> list[tuple[str, str]]:
    return [(each.state, each.text("en")) for each in witnesses(settings)]


def test_how_far_each_witness_got_is_information(settings: Settings, tmp_path: Path) -> None:
    held = context("audit", settings)
    log = audit_log(held)
    log.start()
    entry = log.append("jobcenter", Leaf(kind="looked"), key="k")
    dpo = Neighbour("dpo", tmp_path, [VerifierKey.parse(log.verifier_key(entry.origin))])
    (tmp_path / "policy").write_text(f"witness dpo {dpo.known.key} http://dpo\nquorum dpo\n")
    policy = Policy.parse((tmp_path / "policy").read_bytes())
    asking = Witnessing(held.database, policy, held.clock, lambda _, body: dpo.answer(body))
    log.stop()
    held.close()
    assert states(settings) == [(NOTE, f"dpo: cosigned 0 of 2 entries in {entry.origin}")]
    dpo.behaves = away
    asking.round()
    ((state, told),) = states(settings)
    assert (state, "(witness.away, 20" in told) == (NOTE, True)
    checked = CliRunner().invoke(log_command, ["check", "--agency", "jobcenter"])
    assert (checked.exit_code, "witness dpo cosigned 0 of 2, witness.away since 20" in checked.output) == (0, True)
    dpo.behaves = None
    Witnessing(held.database, policy, held.clock, asking.post).round()
    assert states(settings) == [(OK, f"dpo has cosigned the newest head of {entry.origin}")]
    checked = CliRunner().invoke(log_command, ["check", "--agency", "jobcenter"])
    assert "witness dpo cosigned 2 of 2\n" in checked.output


def test_a_policy_that_is_not_one_is_named_with_its_line(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("quorum none\nwitness x\n")
    ((state, told),) = states(settings)
    assert (state, "line 2" in told) == ("fault", True)
    (tmp_path / "policy").unlink()
    ((state, told),) = states(settings)
    assert (state, "cannot be read" in told) == ("fault", True)


def test_without_witnesses_the_doctor_says_what_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDSCHLAG_WITNESSES")
    ((state, told),) = states(Settings.from_environment())
    assert (state, "none named" in told) == (NOTE, True)


def test_the_doctor_speaks_json(settings: Settings, tmp_path: Path) -> None:
    from services.command.doctor import doctor

    result = CliRunner().invoke(doctor, ["--json"])
    found = [each for each in json.loads(result.output)["checks"] if each["check"] == "witnesses"]
    assert found == []  # the log has signed nothing yet
