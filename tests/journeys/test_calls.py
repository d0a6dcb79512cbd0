"""Who may ask whom is held twice: by the broker for whoever signs in there, and by the callee for every signature."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import amqp
import pytest
from kombu import Connection, Exchange, Producer

from services.audit.queries import LogKey, LogQuestion
from services.cases.queries import PersonQuestion, PersonView
from services.command.demo.world import AGENCY
from services.exchange.directory import DirectoryPage, DirectoryQuestion
from shared import identity
from shared.errors import HandschlagError, Unavailable
from shared.identity import Caller, ServiceIdentity, call_id, payload_digest, sign_call
from shared.runtime import Calls
from shared.runtime.calling import open_reply
from shared.runtime.envelope import pack
from tests.journeys.acting import Office
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[2]
CALLER = Caller(service="gateway", actor="somebody", role="auditor", agency=AGENCY)


def refused(code: str, ask: Callable[[], object]) -> None:
    with pytest.raises(HandschlagError) as refusal:
        ask()
    assert refusal.value.code == code


@pytest.fixture
def as_if_the_broker_were_open(deployed_platform: Platform) -> Iterator[Callable[[str], Calls]]:
    """Calls of a service whose broker user may do everything: what is left is what the callee checks."""
    assert deployed_platform.broker is not None
    settings = replace(deployed_platform.settings, broker=deployed_platform.broker.url)
    made: list[Calls] = []

    def calls(service: str) -> Calls:
        made.append(Calls(settings, ServiceIdentity.load(settings.keys, service)))
        return made[-1]

    yield calls
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("health", "audit.authorize"),
        ("cases", "consent.evidence"),
        ("health", "cases.content"),
        ("consent", "audit.log_retraction"),
        ("gateway", "audit.authorize"),
        ("gateway", "health.content"),
        ("exchange", "audit.entries"),
    ],
)
def test_the_broker_refuses_a_call_that_is_not_granted(deployed_platform: Platform, service: str, key: str) -> None:
    url = deployed_platform.broker_url(service)
    with Connection(url, transport_options={"confirm_publish": True}) as connection, connection.channel() as channel:
        exchange = Exchange("nameko-rpc", type="topic", no_declare=True)
        with pytest.raises(amqp.AccessRefused) as error:
            Producer(channel, exchange).publish({"args": [{}], "kwargs": {}}, routing_key=key, declare=[])
        assert error.value.code == 403


@pytest.mark.parametrize("queue", ["rpc-audit", "audit.inbox", "gateway.inbox"])
def test_the_broker_refuses_a_service_the_queue_of_another(deployed_platform: Platform, queue: str) -> None:
    with Connection(deployed_platform.broker_url("cases")) as connection, connection.channel() as channel:
        with pytest.raises(amqp.AccessRefused) as error:
            channel.basic_get(queue)
        assert error.value.code == 403


def test_the_callee_refuses_what_its_list_does_not_grant(as_if_the_broker_were_open: Any) -> None:
    cases = as_if_the_broker_were_open("cases")
    refused("call.not_granted", lambda: cases.ask("audit", "key", LogQuestion(), LogKey, caller=CALLER))
    gateway = as_if_the_broker_were_open("gateway")
    assert gateway.ask("exchange", "directory", DirectoryQuestion(), DirectoryPage, caller=CALLER).items


def test_the_callee_refuses_what_nobody_signed(deployed_platform: Platform, as_if_the_broker_were_open: Any) -> None:
    gateway = as_if_the_broker_were_open("gateway")
    key = ServiceIdentity.load(deployed_platform.settings.keys, "gateway")
    question = pack(LogQuestion(), key, "audit")
    for envelope in (question, {**question, "call": ""}, {**question, "call": "a.b.c"}):
        reply = gateway._lines.exchange("audit", "key", envelope, 5)
        with pytest.raises(Unavailable):
            open_reply(key, "audit", "", reply, LogKey)


def test_the_callee_refuses_what_was_changed_directed_elsewhere_or_kept(
    deployed_platform: Platform, as_if_the_broker_were_open: Any, tmp_path: Path
) -> None:
    gateway = as_if_the_broker_were_open("gateway")
    key = ServiceIdentity.load(deployed_platform.settings.keys, "gateway")
    person = Office(deployed_platform).open().person()
    question = pack(PersonQuestion(person_id=person), key, "cases")
    other = pack(PersonQuestion(person_id=str(uuid.uuid4())), key, "cases")
    now, digest = datetime.now(UTC), payload_digest(question)

    def sent(envelope: dict[str, Any], token: str, callee: str = "cases", method: str = "person") -> object:
        reply = gateway._lines.exchange(callee, method, {**envelope, "call": token}, 5)
        return open_reply(key, callee, call_id(token), reply, PersonView)

    token = sign_call(key, "cases", "person", CALLER, digest, now)
    refused("call.changed", lambda: sent(other, token))
    sent(question, sign_call(key, "cases", "person", CALLER, digest, now))
    once = sign_call(key, "cases", "person", CALLER, digest, now)
    sent(question, once)
    refused("call.replayed", lambda: sent(question, once))
    refused("call.expired", lambda: sent(question, sign_call(key, "cases", "person", CALLER, digest, now - AGO)))
    refused("call.misdirected", lambda: sent(question, sign_call(key, "health", "person", CALLER, digest, now)))
    identity.create_identities(tmp_path, ["gateway"])
    forged = sign_call(ServiceIdentity.load(tmp_path, "gateway"), "cases", "person", CALLER, digest, now)
    refused_without_a_trusted_answer(lambda: sent(question, forged))


AGO = timedelta(minutes=2)


def refused_without_a_trusted_answer(ask: Callable[[], object]) -> None:
    with pytest.raises(HandschlagError) as refusal:
        ask()
    assert refusal.value.code in ("call.bad_signature", "audit.unavailable", "cases.unavailable")


def test_in_one_process_the_same_list_holds(tmp_path: Path) -> None:
    """Without a broker only the signature stands between two services: tried in a process of its own."""
    command = [sys.executable, "-m", "tests.journeys.strange_calls", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "granted": "answered",
        "not granted": "call.not_granted",
        "unsigned": "no answer",
        "changed": "call.changed",
    }
