"""Calls, seals and work over the broker inside the process and over RabbitMQ, under green threads."""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import sqlalchemy as sa
import yaml
from kombu import Connection, Exchange, Queue
from nameko.standalone.rpc import ClusterRpcProxy

from deploy.rabbitmq import generate
from shared import identity, runtime, telemetry
from shared.database import Database
from shared.domain import Receipt, Recorded
from shared.errors import Forbidden, HandschlagError, Invalid, Refused, Unavailable
from shared.identity import Caller, ServiceIdentity, payload_digest, sign_call
from shared.runtime import (
    Calls,
    Handler,
    LocalCalls,
    Message,
    Running,
    ServiceDefinition,
    Work,
)
from shared.runtime.calling import make_reply, open_reply, open_request, signature_of
from shared.runtime.envelope import pack, unpack
from tests.support import flow
from tests.support.cable import Cable
from tests.support.flow import CALLER, Greet, Greeting, Heard, Nothing, Ring
from tests.support.servers import private_rabbitmq

green = pytest.mark.green
SECRET = "Erika Mustermann, geboren 1964"
GREET = Greet(person_id="p-1", name=SECRET)
BROKERS = ["inproc", pytest.param("rabbitmq", marks=pytest.mark.real_rabbitmq)]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "inproc":
        return f"inproc://{uuid.uuid4().hex}"
    return str(request.getfixturevalue("rabbitmq_server").url)


@pytest.fixture
def running(tmp_path: Path, broker: str) -> Iterator[Running]:
    runtime.patch()
    settings = replace(flow.prepare(tmp_path, broker), spans=tmp_path / "spans.jsonl")
    started = runtime.start([flow.BELL, flow.ECHO], settings)
    assert started.wait_until_ready()
    yield started
    started.stop()


@pytest.fixture
def gateway(running: Running) -> Iterator[Calls]:
    calls = runtime.calls_of("gateway", running.settings)
    yield calls
    calls.close()


def until(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not question():
        assert time.monotonic() < ends
        time.sleep(0.02)


def refused(code: str, ask: Callable[[], object]) -> HandschlagError:
    with pytest.raises(HandschlagError) as refusal:
        ask()
    assert refusal.value.code == code
    return refusal.value


@green
def test_a_question_is_answered(gateway: Calls) -> None:
    answer = gateway.ask("bell", "greet", GREET, Greeting, caller=CALLER)
    assert answer == Greeting(person_id="p-1", text=f"good day, {SECRET}")


@green
def test_twenty_nested_calls_at_once_find_their_own_answers(gateway: Calls) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        question = Greet(person_id="p-1", name=f"number {number}")
        found = gateway.ask("echo", "ask_back", question, Greeting, caller=CALLER, timeout=20)
        answers[number] = str(found.text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"good day, number {number}" for number in range(20)}


@green
def test_personal_values_stand_in_no_queue(running: Running, gateway: Calls) -> None:
    bodies: list[str] = []
    stop, listening = threading.Event(), threading.Event()

    def overhear() -> None:
        with Connection(running.settings.broker) as connection:
            exchange = Exchange("nameko-rpc", type="topic", durable=True, no_declare=True)
            everything = Queue(f"overheard-{uuid.uuid4().hex}", exchange, routing_key="#", auto_delete=True)
            with connection.Consumer([everything], on_message=lambda it: bodies.append(_text(it)), no_ack=True):
                listening.set()
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        connection.drain_events(timeout=0.1)

    ear = threading.Thread(target=overhear)
    ear.start()
    listening.wait()
    answer = gateway.ask("echo", "ask_back", GREET, Greeting, caller=CALLER)
    assert SECRET in str(answer.text)
    until(lambda: len(bodies) >= 4)
    stop.set()
    ear.join()
    assert len(bodies) == 4, "question and answer, twice"
    assert not [body for body in bodies if "Erika" in body or "good day" in body]
    assert [body for body in bodies if "p-1" in body], "what is not personal stays readable"


def _text(message: Any) -> str:
    return message.body if isinstance(message.body, str) else bytes(message.body).decode()


@green
def test_a_refusal_arrives_as_itself(gateway: Calls) -> None:
    refusal = refused("bell.broken", lambda: gateway.ask("bell", "refuse", Nothing(), None, caller=CALLER))
    assert isinstance(refusal, Refused)
    assert refusal.remedy == "mend it"
    assert refusal.problems == (("/times", "too many", "fewer"),)


@green
def test_any_other_failure_arrives_without_its_text(gateway: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    failure = refused("internal", lambda: gateway.ask("bell", "fail", Nothing(), None, caller=CALLER))
    assert "secret" not in str(failure)
    assert "the secret text" not in capfd.readouterr().err


@green
def test_a_faulty_question_names_its_fields(gateway: Calls) -> None:
    @dataclass(frozen=True)
    class Wrong:
        bell_id: int

    refusal = refused("request.invalid", lambda: gateway.ask("bell", "ring", Wrong(3), Receipt, caller=CALLER))
    assert isinstance(refusal, Invalid)
    assert refusal.problems[0].pointer == "/bell_id"


@green
def test_a_call_that_is_not_listed_is_refused_by_the_callee(running: Running) -> None:
    echo = Calls(running.settings, running.contexts["echo"].identity)
    refused("call.not_granted", lambda: echo.ask("bell", "ring", Ring(bell_id="b"), Receipt, caller=CALLER))
    echo.close()


@green
def test_a_changed_payload_is_refused_by_the_callee(running: Running, gateway: Calls) -> None:
    gate = ServiceIdentity.load(running.settings.keys, "gateway")
    signed = pack(Ring(bell_id="b-1", times=1), gate, "bell")
    token = sign_call(gate, "bell", "ring", CALLER, payload_digest(signed), datetime.now(UTC))
    changed = {**signed, "body": {**signed["body"], "times": 99}, "call": token}
    reply = gateway._lines.exchange("bell", "ring", changed, 5)
    refused("call.changed", lambda: open_reply(gate, "bell", identity.call_id(token), reply, Receipt))


@green
def test_an_unsigned_call_is_answered_with_nothing(running: Running) -> None:
    with ClusterRpcProxy({"AMQP_URI": running.settings.broker}, timeout=5) as nameko:
        assert nameko.bell.ring({"body": {"bell_id": "b-1"}, "sealed": None}) is None
    assert running.contexts["bell"].store.position() == 0


@green
def test_nobody_waits_for_a_service_that_is_not_there(gateway: Calls) -> None:
    refused("nobody.unavailable", lambda: _ask_nobody(gateway))


def _ask_nobody(gateway: Calls) -> None:
    create = Caller(service="gateway")
    identity.create_identities(gateway._settings.keys, ["nobody"])
    gateway._identity.directory._keys["nobody"] = gateway._identity.directory["echo"]
    gateway.ask("nobody", "x", Nothing(), None, caller=create, timeout=30)


@green
def test_a_change_is_projected_told_and_heard_within_one_trace(running: Running, gateway: Calls) -> None:
    with telemetry.span("request"):
        trace = telemetry.current_trace_id()
        receipt = gateway.ask(
            "bell", "ring", Ring(bell_id="b-1", times=3), Receipt, caller=replace(CALLER, command_id="c-1")
        )
    assert (receipt.stream, receipt.version) == ("bell-b-1", 3)
    until(lambda: gateway.ask("echo", "heard", Nothing(), Heard, caller=CALLER).ids == ("b-1",) * 3)
    until(lambda: _rung(running.contexts["bell"].database) == 3)
    spans = [json.loads(line) for line in (running.settings.state / "spans.jsonl").read_text().splitlines()]
    names = [span["name"] for span in spans if span["trace_id"] == trace]
    assert names[:3] == ["bell.ring", "ask bell.ring", "request"]
    assert names.count("hear bell.BellRung.v1") == 3


def _rung(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(sa.select(flow.rung.c.times)).scalar() or 0)


@green
def test_the_same_command_again_gives_the_first_receipt(gateway: Calls) -> None:
    caller = replace(CALLER, command_id="c-1")
    question = Ring(bell_id="b-1", times=2)
    first = gateway.ask("bell", "ring", question, Receipt, caller=caller)
    assert gateway.ask("bell", "ring", question, Receipt, caller=caller) == first


@green
def test_an_application_is_served_beside_the_services(gateway: Calls) -> None:
    def application(environ: dict[str, Any], respond: Callable[..., Any]) -> list[bytes]:
        answer = gateway.ask("bell", "greet", Greet(person_id="p", name="you"), Greeting, caller=CALLER)
        respond("200 OK", [("Content-Type", "text/plain")])
        return [str(answer.text).encode()]

    serving = runtime.serve_wsgi(application, "127.0.0.1", 0)
    with urlopen(f"http://127.0.0.1:{serving.port}/") as page:
        assert page.read() == b"good day, you"
    serving.stop()


@green
def test_a_loop_that_fails_is_started_again(tmp_path: Path) -> None:
    runtime.patch()
    settings = flow.prepare(tmp_path, f"inproc://{uuid.uuid4().hex}")
    began = threading.Semaphore(0)

    def loop(_context: object, _stop: threading.Event) -> None:
        began.release()
        raise ValueError("Erika Mustermann")

    definition = replace(flow.BELL, work=runtime.Work(loops=(loop,)))
    started = runtime.start([definition], settings)
    assert all(began.acquire(timeout=10) for _ in range(3))
    started.stop()


@green
@pytest.mark.real_rabbitmq
def test_a_broker_that_goes_and_comes_back_delays_things_and_loses_nothing(
    tmp_path: Path, rabbitmq_server: Any
) -> None:
    runtime.patch()
    address = rabbitmq_server.url.rpartition("@")[2]
    host, _, port = address.partition("/")[0].partition(":")
    cable = Cable(host, int(port or 5672))
    settings = flow.prepare(tmp_path, rabbitmq_server.url.replace(f"{host}:{port}", f"127.0.0.1:{cable.port}"))
    cable.cut()
    started = runtime.start([flow.BELL, flow.ECHO], settings)
    gateway = runtime.calls_of("gateway", settings)
    before = time.monotonic()
    refused("bell.unavailable", lambda: gateway.ask("bell", "greet", GREET, Greeting, caller=CALLER, timeout=2))
    assert time.monotonic() - before < 4
    cable.mend()
    assert started.wait_until_ready()
    for round_ in range(1, 3):
        cable.cut()
        store = started.contexts["bell"].store.agency("jobcenter")
        store.change(flow.Bell, "b-1", lambda bell: bell.ring(2), command_id=f"c-{round_}")
        refused("bell.unavailable", lambda: gateway.ask("bell", "greet", GREET, Greeting, caller=CALLER, timeout=2))
        cable.mend()
        until(partial(_all_heard, gateway, round_ * 2))
    cable.cut()
    started.stop()
    assert not [thread.name for thread in started._threads if thread.is_alive()]


def _all_heard(gateway: Calls, count: int) -> bool:
    try:
        return len(gateway.ask("echo", "heard", Nothing(), Heard, caller=CALLER, timeout=3).ids) == count
    except Unavailable:
        return False


class ConsentService(flow.BellService):
    name = "consent"


class AuditService(flow.EchoService):
    name = "audit"

    @runtime.rpc
    def overreach(self, command: Greet, caller: Caller) -> Greeting:
        return self.calls.ask("consent", "refuse", command, Greeting, caller=caller, timeout=3)


def told_by_consent(record: Recorded) -> Message | None:
    message = flow.outbound(record)
    return message and replace(message, type="consent.BellRung.v1")


@green
@pytest.mark.real_rabbitmq
def test_the_rights_of_the_platforms_definitions_suffice_and_hold(tmp_path: Path) -> None:
    """Each service signs in as itself; a call outside of the list fails at the broker, before anybody reads it."""
    runtime.patch()
    calls = {"gateway": {"consent": ["ring", "greet"], "audit": ["heard", "overreach"]}}
    passwords = {name: f"{name}-secret" for name in ("gateway", "consent", "audit")}
    rules = yaml.safe_dump(calls) + "audit: {consent: [refuse]}"
    with private_rabbitmq(generate.definitions(calls, passwords)) as server:
        settings = {
            name: replace(flow.settings_of(tmp_path, server.url_for(name, passwords[name]))) for name in passwords
        }
        flow.prepare(tmp_path, "inproc://", bell="consent", echo="audit", rules=rules)
        inbound = {"consent.BellRung.v1": Handler(flow.RungBell, flow.note)}
        audit = ServiceDefinition("audit", AuditService, Work(inbound=inbound))
        consent = ServiceDefinition("consent", ConsentService, Work(outbound=told_by_consent))
        both = [runtime.start([each], settings[each.name]) for each in (audit, consent)]
        assert all(each.wait_until_ready() for each in both)
        gateway = runtime.calls_of("gateway", settings["gateway"])
        caller = replace(CALLER, command_id="c-1")
        assert gateway.ask("consent", "ring", Ring(bell_id="b-1"), Receipt, caller=caller).version == 1
        ids = ("b-1",)
        until(lambda: gateway.ask("audit", "heard", Nothing(), Heard, caller=CALLER).ids == ids)
        refused(
            "consent.unavailable",
            lambda: gateway.ask("audit", "overreach", GREET, Greeting, caller=CALLER, timeout=10),
        )
        for each in both:
            each.stop()
        gateway.close()


@green
@pytest.mark.real_postgres
def test_a_query_of_psycopg_lets_the_others_run(postgres_server: Any) -> None:
    """By order, not by time: while one query sleeps in the database, a hundred turns are taken here."""
    runtime.patch()
    order: list[str] = []
    database = Database(postgres_server.url)

    def query() -> None:
        with database.read() as tx:
            order.append("asked")
            tx.execute(sa.text("select pg_sleep(1)"))
            order.append("answered")

    asking = threading.Thread(target=query)
    asking.start()
    while "asked" not in order:
        time.sleep(0.005)
    for _ in range(100):
        time.sleep(0.001)
        order.append("turn")
    asking.join()
    database.close()
    assert order.index("answered") > 50


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ServiceIdentity, ServiceIdentity]:
    identity.create_identities(tmp_path, ["gateway", "bell"])
    return ServiceIdentity.load(tmp_path, "gateway"), ServiceIdentity.load(tmp_path, "bell")


def test_only_personal_fields_are_sealed(pair: tuple[ServiceIdentity, ServiceIdentity]) -> None:
    gateway, bell = pair
    packed = pack(GREET, gateway, "bell")
    assert packed["body"] == {"person_id": "p-1", "name": {"$sealed": True}}
    assert SECRET not in json.dumps(packed)
    assert unpack(Greet, packed, bell) == GREET
    assert pack(Ring(bell_id="b"), gateway, "bell")["sealed"] is None


def test_a_personal_field_in_the_open_is_refused(pair: tuple[ServiceIdentity, ServiceIdentity]) -> None:
    _, bell = pair
    packed = {"body": {"person_id": "p-1", "name": SECRET}, "sealed": None}
    refusal = refused("call.personal_in_the_open", lambda: unpack(Greet, packed, bell))
    assert SECRET not in str(refusal)


@pytest.mark.parametrize("pointer", ["/person_id", "/name/deeper", "/absent", "", "/0"])
def test_the_sealed_part_fills_only_what_is_marked(pair: tuple[ServiceIdentity, ServiceIdentity], pointer: str) -> None:
    gateway, bell = pair
    sealed = gateway.seal("bell", json.dumps({pointer: "x"}).encode())
    packed = {"body": {"person_id": "p-1", "name": {"$sealed": True}}, "sealed": sealed}
    with pytest.raises(Invalid):
        unpack(Greet, packed, bell)


def test_a_changed_answer_is_refused(pair: tuple[ServiceIdentity, ServiceIdentity]) -> None:
    gateway, bell = pair
    reply = make_reply(bell, "gateway", "call-1", Greeting(person_id="p-1", text="x"))
    assert open_reply(gateway, "bell", "call-1", reply, Greeting).text == "x"
    changed = {**reply, "body": {**reply["body"], "plain": "changed"}}
    refused("call.answer_changed", lambda: open_reply(gateway, "bell", "call-1", changed, Greeting))
    refused("call.answer_changed", lambda: open_reply(gateway, "bell", "call-2", reply, Greeting))
    with pytest.raises(Unavailable):
        open_reply(gateway, "bell", "call-1", None, Greeting)


@pytest.mark.parametrize("envelope", [None, [], {}, {"call": 1}, {"call": "x"}, {"call": "a.b.c", "body": 1}])
def test_what_is_no_call_is_refused(pair: tuple[ServiceIdentity, ServiceIdentity], envelope: object) -> None:
    _, bell = pair
    with pytest.raises(Forbidden):
        open_request(bell, identity.CallRules([]), "greet", envelope, Greet)


def test_a_service_can_be_tried_without_a_broker() -> None:
    bell = runtime.local(flow.BellService)
    calls = LocalCalls(bell=bell)
    echo = runtime.local(flow.EchoService, calls=calls)
    assert echo.ask_back(GREET, CALLER).text == f"good day, {SECRET}"
    assert calls.asked == [("bell", "greet", GREET)]
    with pytest.raises(AttributeError, match="was not given"):
        bell.ring(Ring(bell_id="b"), CALLER)
    with pytest.raises(Unavailable):
        calls.ask("health", "assessment", GREET, Greeting, caller=CALLER)


def test_a_method_says_by_its_types_what_it_takes_and_gives() -> None:
    assert signature_of(flow.BellService.greet) == (Greet, Greeting)

    def without(self: object, caller: Caller) -> None: ...

    with pytest.raises(TypeError):
        signature_of(without)


def test_a_timer_acts_until_it_is_stopped() -> None:
    stop, turns = threading.Event(), []

    def act(_context: object) -> None:
        turns.append(1)
        if len(turns) == 3:
            stop.set()

    runtime.timer(0.001, act)(None, stop)  # type: ignore[arg-type]
    assert len(turns) == 3


def test_a_process_that_was_not_patched_is_told_so(tmp_path: Path) -> None:
    import eventlet

    if eventlet.patcher.is_monkey_patched("thread"):
        pytest.skip("this process is patched")
    with pytest.raises(RuntimeError, match="patch"):
        runtime.start([flow.BELL], flow.prepare(tmp_path, "inproc://"))


def test_life_of_a_signature_ends_soon_after_the_wait() -> None:
    from shared.runtime.calling import _life

    assert _life(5.0) == timedelta(seconds=6)
