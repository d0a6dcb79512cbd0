"""The doctor looks and says what to do; it makes and changes nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from services.command import doctor as the_doctor
from services.command.doctor import doctor
from services.command.keys import SERVICES, provide_keys
from shared.config import Settings
from shared.migrate import migrate
from tests.support.servers import Postgres, free_ports


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A demonstration that was started before: folders, keys and databases are there."""
    for name in ("BROKER", "DATABASE", "MODE", "KEYS", "CLOCK_SHIFT"):
        monkeypatch.delenv(f"HANDSCHLAG_{name}", raising=False)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("HANDSCHLAG_STATE", str(state))
    settings = Settings.from_environment()
    provide_keys(settings)
    for service in SERVICES:
        migrate(service, settings.database_url(service))
    return settings


def examine(*options: str) -> Result:
    return CliRunner().invoke(doctor, options)


def checks(result: Result, check: str) -> list[dict[str, Any]]:
    return [each for each in json.loads(result.output)["checks"] if each["check"] == check]


def test_a_sound_installation_is_ready(installation: Settings) -> None:
    result = examine("--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["ready"] is True
    assert {each["service"] for each in checks(result, "database")} == set(SERVICES)


def test_before_the_first_start_there_is_nothing_to_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSCHLAG_STATE", str(tmp_path / "state"))
    result = examine()
    assert result.exit_code == 0, result.output
    assert "der erste Start legt an, was fehlt" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_may_read_is_a_fault(installation: Settings) -> None:
    (installation.keys / "consent.json").chmod(0o644)
    result = examine()
    assert result.exit_code == 1
    assert f"chmod 600 {installation.keys / 'consent.json'}" in result.output


def test_a_missing_key_is_named(installation: Settings) -> None:
    (installation.keys / "health.json").unlink()
    result = examine("--json", "--lang", "en")
    assert result.exit_code == 1
    assert checks(result, "keys")[0]["detail"] == "missing: health.json"


def test_a_database_that_is_behind_is_a_fault(installation: Settings) -> None:
    engine = create_engine(installation.database_url("cases"))
    with engine.begin() as connection:
        connection.execute(text("delete from alembic_version"))
    engine.dispose()
    result = examine("--json")
    assert result.exit_code == 1
    assert [each["service"] for each in checks(result, "database") if each["state"] == "fault"] == ["cases"]


def test_a_clock_behind_the_last_fact_is_a_fault(installation: Settings) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    engine = create_engine(installation.database_url("audit"))
    with engine.begin() as connection:
        connection.execute(
            text("insert into events values (1, 'a', 's', 1, 'c', 't', 1, '{}', '{}', 'e', :later)"), {"later": later}
        )
    engine.dispose()
    result = examine("--json")
    assert result.exit_code == 1
    assert [each["state"] for each in checks(result, "clock")] == ["fault", "ok"]


def test_a_server_that_does_not_answer_is_not_reachable(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, broker = free_ports(2)
    monkeypatch.setenv("HANDSCHLAG_DATABASE", f"postgresql://someone:secret@127.0.0.1:{database}/x")
    monkeypatch.setenv("HANDSCHLAG_BROKER", f"amqp://someone:secret@127.0.0.1:{broker}/x")
    result = examine("--json")
    assert result.exit_code == 3
    assert {each["state"] for each in checks(result, "database")} == {"unreachable"}
    assert checks(result, "broker")[0]["state"] == "unreachable"
    assert "secret" not in result.output


def test_a_setting_that_cannot_be_right_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSCHLAG_BROKER", "http://someone:secret@host")
    result = examine()
    assert result.exit_code == 1
    assert "HANDSCHLAG_BROKER" in result.output
    assert "secret" not in result.output


def test_a_package_in_another_version_is_named(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(the_doctor, "installed", lambda name: "0.1" if name == "kombu" else "")
    result = examine("--lang", "en")
    assert result.exit_code == 1
    assert "kombu 0.1 ≠ " in result.output


@pytest.mark.real_postgres
def test_a_postgresql_is_examined_like_a_file(
    installation: Settings, monkeypatch: pytest.MonkeyPatch, postgres_server: Postgres
) -> None:
    monkeypatch.setenv("HANDSCHLAG_DATABASE", postgres_server.url)
    assert examine().exit_code == 3
    settings = Settings.from_environment()
    for service in SERVICES:
        migrate(service, settings.database_url(service))
    result = examine("--json")
    assert result.exit_code == 0, result.output


@pytest.mark.real_rabbitmq
def test_a_broker_that_does_not_let_us_in_is_a_fault(
    installation: Settings, monkeypatch: pytest.MonkeyPatch, rabbitmq_server: Any
) -> None:
    monkeypatch.setenv("HANDSCHLAG_BROKER", rabbitmq_server.url)
    assert examine().exit_code == 0
    password = rabbitmq_server.url.split("@")[0].rpartition(":")[2]
    monkeypatch.setenv("HANDSCHLAG_BROKER", rabbitmq_server.url.replace(password, "wrong"))
    assert examine().exit_code == 1
