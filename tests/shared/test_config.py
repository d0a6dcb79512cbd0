from datetime import timedelta
from pathlib import Path

import pytest

from shared.config import PREFIX, Settings
from shared.errors import Invalid


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODE", "BROKER", "DATABASE", "STATE", "HOST", "PORT", "KEYS", "ISSUER", "CLOCK_SHIFT", "SPANS"):
        monkeypatch.delenv(PREFIX + name, raising=False)


def test_without_any_variable_everything_runs_in_one_process_with_files() -> None:
    settings = Settings.from_environment()
    assert settings.embedded
    assert settings.mode == "demo"
    assert settings.database_url("consent") == "sqlite:///state/consent.db"


def test_every_service_has_a_postgresql_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSCHLAG_DATABASE", "postgresql://who:p%40ss@db:5433/anything")
    expected = "postgresql+psycopg://who:p%40ss@db:5433/handschlag_cases"
    assert Settings.from_environment().database_url("cases") == expected


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("MODE", "live"),
        ("BROKER", "localhost"),
        ("BROKER", "http://host"),
        ("DATABASE", "mysql://host"),
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("STATE", " "),
        ("CLOCK_SHIFT", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("ISSUER", "ldap://host"),
    ],
)
def test_a_bad_value_names_its_variable_and_the_remedy(monkeypatch: pytest.MonkeyPatch, name: str, bad: str) -> None:
    monkeypatch.setenv(PREFIX + name, bad)
    with pytest.raises(Invalid) as refusal:
        Settings.from_environment()
    [problem] = refusal.value.problems
    assert problem.pointer == f"/{PREFIX}{name}"
    assert problem.remedy
    assert not bad.strip() or bad not in str(refusal.value)


def test_only_the_demonstration_may_shift_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSCHLAG_CLOCK_SHIFT", "3")
    assert Settings.from_environment().clock().shift == timedelta(days=3)
    monkeypatch.setenv("HANDSCHLAG_MODE", "test")
    with pytest.raises(Invalid, match="CLOCK_SHIFT"):
        Settings.from_environment()


@pytest.mark.parametrize(("name", "good"), [("BROKER", "amqps://h/v"), ("ISSUER", "https://sign-in.example")])
def test_production_wants_a_broker_and_a_protected_sign_in(
    monkeypatch: pytest.MonkeyPatch, name: str, good: str
) -> None:
    monkeypatch.setenv("HANDSCHLAG_MODE", "production")
    monkeypatch.setenv(PREFIX + name, good)
    with pytest.raises(Invalid):
        Settings.from_environment()


def test_a_secret_may_come_from_a_file_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "broker"
    secret.write_text("amqp://consent:geheim@broker/handschlag\n")
    monkeypatch.setenv("HANDSCHLAG_BROKER_FILE", str(secret))
    settings = Settings.from_environment()
    assert settings.broker == "amqp://consent:geheim@broker/handschlag"
    assert "geheim" not in repr(settings)
