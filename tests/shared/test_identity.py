import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import Forbidden, Invalid, NotFound
from shared.identity import (
    Caller,
    CallRules,
    SeenCalls,
    ServiceIdentity,
    check_answer,
    check_call,
    create_identities,
    payload_digest,
    sign_answer,
    sign_call,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
RULES = CallRules([("exchange", "audit", "authorize")])
DIGEST = payload_digest({"body": {"disclosure": "d-1"}})
CALLER = Caller(service="exchange", actor="anna", role="case_worker", agency="jobcenter", purpose="placement")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    create_identities(tmp_path, ["exchange", "audit"])
    return tmp_path


@pytest.fixture
def exchange(keys: Path) -> ServiceIdentity:
    return ServiceIdentity.load(keys, "exchange")


@pytest.fixture
def audit(keys: Path) -> ServiceIdentity:
    return ServiceIdentity.load(keys, "audit")


def check(token: str, audit: ServiceIdentity, **changes: object) -> Caller:
    arguments = {"callee": "audit", "method": "authorize", "payload_digest": DIGEST, "rules": RULES, "now": NOW}
    return check_call(token, directory=audit.directory, **{"seen": SeenCalls(), **arguments, **changes})  # type: ignore[arg-type]


def refused(code: str, token: str, audit: ServiceIdentity, **changes: object) -> None:
    with pytest.raises(Forbidden) as refusal:
        check(token, audit, **changes)
    assert refusal.value.code == code


def signed(identity: ServiceIdentity, caller: Caller = CALLER) -> str:
    return sign_call(identity, "audit", "authorize", caller, DIGEST, NOW)


def test_the_callee_learns_who_asks_and_on_whose_behalf(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    assert check(signed(exchange), audit) == CALLER


def test_the_calling_service_is_the_one_that_signed_whatever_it_says(
    exchange: ServiceIdentity, audit: ServiceIdentity
) -> None:
    assert check(signed(exchange, Caller(service="gateway")), audit).service == "exchange"


def test_a_stranger_is_refused(tmp_path: Path, audit: ServiceIdentity) -> None:
    create_identities(tmp_path / "elsewhere", ["stranger"])
    refused("call.unknown_caller", signed(ServiceIdentity.load(tmp_path / "elsewhere", "stranger")), audit)


def test_somebody_elses_signature_is_refused(tmp_path: Path, audit: ServiceIdentity) -> None:
    create_identities(tmp_path / "elsewhere", ["exchange"])
    refused("call.bad_signature", signed(ServiceIdentity.load(tmp_path / "elsewhere", "exchange")), audit)


@pytest.mark.parametrize("seconds", [16, 3600, -6])
def test_a_call_holds_for_seconds_only(exchange: ServiceIdentity, audit: ServiceIdentity, seconds: int) -> None:
    refused("call.expired", signed(exchange), audit, now=NOW + timedelta(seconds=seconds))


def test_nobody_signs_for_longer_than_a_minute(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    token = sign_call(exchange, "audit", "authorize", CALLER, DIGEST, NOW, lifetime=timedelta(hours=1))
    refused("call.expired", token, audit, now=NOW + timedelta(seconds=61))


@pytest.mark.parametrize("other", [{"callee": "consent"}, {"method": "erase"}])
def test_a_call_reaches_only_the_method_it_was_signed_for(
    exchange: ServiceIdentity, audit: ServiceIdentity, other: dict[str, object]
) -> None:
    refused("call.misdirected", signed(exchange), audit, **other)


def test_a_changed_payload_is_refused(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    refused("call.changed", signed(exchange), audit, payload_digest=payload_digest({"body": {"disclosure": "d-2"}}))


def test_what_is_not_listed_is_forbidden(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    refused("call.not_granted", signed(exchange), audit, rules=CallRules([]))


def test_a_call_is_good_for_one_use(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    seen, token = SeenCalls(), signed(exchange)
    check(token, audit, seen=seen)
    refused("call.replayed", token, audit, seen=seen)


@pytest.mark.parametrize("token", ["", "a.b.c", "e30.e30.", "e30", "ä.ö.ü"])
def test_what_is_no_signed_context_is_refused(audit: ServiceIdentity, token: str) -> None:
    refused("call.malformed", token, audit)


def test_an_answer_is_not_taken_for_a_call(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    refused("call.malformed", sign_answer(exchange, "audit", "c-1", DIGEST), audit)


def test_an_answer_belongs_to_one_call(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    proof = sign_answer(audit, "exchange", "c-1", DIGEST)
    check_answer(proof, "audit", "exchange", "c-1", digest=DIGEST, directory=exchange.directory)
    for callee, call, digest in (("audit", "c-2", DIGEST), ("audit", "c-1", "x"), ("exchange", "c-1", DIGEST)):
        with pytest.raises(Forbidden, match=r"call\.answer_changed"):
            check_answer(proof, callee, "exchange", call, digest=digest, directory=exchange.directory)


def test_only_the_recipient_opens_what_is_sealed(exchange: ServiceIdentity, audit: ServiceIdentity) -> None:
    sealed = exchange.seal("audit", b"Erika Mustermann")
    assert audit.unseal(sealed) == b"Erika Mustermann"
    with pytest.raises(Forbidden, match=r"call\.seal_broken"):
        exchange.unseal(sealed)


def test_private_keys_are_for_their_owner_and_stay_when_made_again(keys: Path) -> None:
    before = (keys / "audit.json").read_bytes()
    create_identities(keys, ["audit", "consent"])
    assert (keys / "audit.json").read_bytes() == before
    assert (keys / "audit.json").stat().st_mode & 0o777 == 0o600
    public = (keys / "public.json").read_text()
    assert set(json.loads(public)) == {"exchange", "audit", "consent"}
    assert '"d"' not in public


def test_a_key_file_that_others_can_read_is_not_used(keys: Path) -> None:
    (keys / "audit.json").chmod(0o644)
    with pytest.raises(Invalid, match=r"identity\.open_key_file"):
        ServiceIdentity.load(keys, "audit")


def test_a_service_without_keys_is_told_what_to_do(keys: Path) -> None:
    with pytest.raises(NotFound) as refusal:
        ServiceIdentity.load(keys, "health")
    assert refusal.value.remedy


def test_rules_have_no_wildcards(tmp_path: Path) -> None:
    rules = tmp_path / "calls.yaml"
    rules.write_text("gateway:\n  consent: ['*']\n")
    with pytest.raises(Invalid):
        CallRules.load(rules)
    rules.write_text("gateway:\n  consent: [give_consent]\n")
    assert CallRules.load(rules).allow("gateway", "consent", "give_consent")
    assert not CallRules.load(rules).allow("gateway", "consent", "erase")
