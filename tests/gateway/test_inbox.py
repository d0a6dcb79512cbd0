"""The AMQP front door: the broker says who speaks, and the rest is as over HTTP."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import amqp
import kombu
import pytest

import shared.transport
from deploy.rabbitmq import generate
from services.gateway.inbox import CLIENTS, Inbox, serve_inbox
from shared.errors import Unavailable
from tests.conftest import cannot_be_had
from tests.gateway.world import REQUESTS, SOME_ID, World
from tests.support.servers import NoServerError, RabbitMQ, private_rabbitmq

PERSON = {"name": "Ayşe Demir", "birth_date": "1990-05-04"}
USER = "jobcenter-app"


@dataclass
class Letters:
    """Keeps what was put; fails first if told so."""

    put_there: list[tuple[str, Any, str | None]] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)

    def declare(self, queue):
        self.declared.append(queue)

    def put(self, queue, _message_id, body, *_, correlation_id=None, ttl=None):
        if self.fails:
            raise self.fails.pop(0)
        self.put_there.append((queue, json.loads(body), correlation_id))


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def inbox(world: World, letters: Letters) -> Inbox:
    return Inbox(world.app.front, world.app.accounts, letters)


def order(operation: str = "cases.register_person", body: Any = PERSON, key: str | None = None, **more) -> bytes:
    content = {"type": operation, "idempotency_key": key or str(uuid.uuid4()), "body": body, **more}
    return json.dumps(content).encode()


def told(letters: Letters) -> Any:
    return letters.put_there[-1][1]


def test_a_command_is_carried_out_and_answered_into_the_senders_queue(world, inbox, letters):
    inbox.take(order(), {"user_id": USER, "correlation_id": "c-1", "reply_to": f"client.{USER}"})
    queue, answer, correlation = letters.put_there[0]
    assert (queue, correlation, answer["status"]) == (f"client.{USER}", "c-1", 201)
    assert answer["location"].startswith("/v1/persons/")
    assert answer["body"]["version"] == 3
    caller = world.calls.asked[0][3]
    assert (caller.actor, caller.role, caller.agency) == (USER, "case_worker", "jobcenter")


def test_a_message_that_comes_twice_is_carried_out_once(world, inbox, letters):
    message = order()
    for _ in range(2):
        inbox.take(message, {"user_id": USER})
    assert world.calls.names().count("cases.register_person") == 1
    assert [answer["status"] for _, answer, _ in letters.put_there] == [201, 201]
    assert told(letters)["replayed"] is True


def test_both_doors_know_the_same_request(world, inbox, letters):
    key = str(uuid.uuid4())
    world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    inbox.take(order(key=key), {"user_id": USER})
    assert world.calls.names().count("cases.register_person") == 1
    assert told(letters)["replayed"] is True
    inbox.take(order(key=key, body={**PERSON, "name": "Jemand"}), {"user_id": USER})
    assert told(letters)["problem"]["code"] == "idempotency.key_reused"


@pytest.mark.parametrize("user", [None, "", "nobody", "review"])
def test_a_message_whose_sender_the_broker_does_not_name_or_nobody_knows_is_dropped(world, inbox, letters, user):
    inbox.take(order(user_id=USER), {"user_id": user, "reply_to": f"client.{USER}"} if user else {})
    assert world.calls.asked == []
    assert letters.put_there == []


def test_the_message_cannot_say_who_sent_it(world, inbox, letters):
    for claim in ({"user_id": "drv"}, {"role": "operator"}, {"agency": "aok"}):
        inbox.take(order(**claim), {"user_id": USER})
        assert told(letters)["status"] == 422
    assert world.calls.asked == []


@pytest.mark.parametrize("reply_to", ["client.drv", "partner.drv", "rpc-audit", "partner.jobcenter-app"])
def test_an_answer_never_goes_into_the_queue_of_somebody_else(world, inbox, letters, reply_to):
    inbox.take(order(), {"user_id": USER, "reply_to": reply_to})
    assert letters.put_there[0][0] == f"client.{USER}"
    assert told(letters)["problem"]["code"] == "inbox.not_your_queue"
    assert world.calls.asked == []


def test_the_table_of_roles_holds_here_too(world, inbox, letters):
    inbox.take(order(), {"user_id": "drv"})
    assert told(letters)["problem"]["code"] == "role.not_allowed"
    inbox.take(order("exchange.acknowledge", {"signed": "a.b.c"}), {"user_id": "drv"})
    assert told(letters)["status"] == 201
    assert world.calls.asked[-1][2] == {"partner_id": "drv", "signed": "a.b.c"}


def test_every_change_can_be_asked_for(world, inbox, letters):
    for name, operation in world.app.front.operations.items():
        if operation.changes and name != "vocabulary":
            place = operation.found_at(REQUESTS[name][0]) or {}
            more = {"if_match": '"3"'} if operation.guarded else {}
            for user in (USER, "drv"):
                inbox.take(order(name, {**(REQUESTS[name][1] or {}), **place}, **more), {"user_id": user})
                if told(letters)["status"] != 403:
                    assert told(letters)["status"] == operation.status, (name, told(letters))


def test_a_change_that_needs_the_version_seen_needs_it_here(inbox, letters):
    body = {"case_id": SOME_ID, "main_companion": "meyer", "reason": "Elternzeit"}
    inbox.take(order("cases.hand_over_case", body), {"user_id": USER})
    assert told(letters)["status"] == 428


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "request.malformed"),
        (b"[]", "request.invalid"),
        (b"{}", "request.invalid"),
        (order("cases.case", {"case_id": SOME_ID}), "inbox.unknown_type"),
        (order("cases.drop_table"), "inbox.unknown_type"),
        (order(body="text"), "request.invalid"),
        (order(body={"name": 4}), "request.invalid"),
        (order("consent.withdraw_consent", {}), "request.invalid"),
        (order("consent.withdraw_consent", {"consent_id": "../x"}), "request.no_such_place"),
        (order(key="a b"), "idempotency.key_malformed"),
    ],
)
def test_bad_input_is_answered_with_a_problem(world, inbox, letters, content, code):
    inbox.take(content, {"user_id": USER})
    assert told(letters)["problem"]["code"] == code
    assert told(letters)["status"] == told(letters)["problem"]["status"]
    assert world.calls.asked == []


def test_our_own_faults_are_told_without_their_text(world, inbox, letters):
    world.calls.answers["cases.register_person"] = RuntimeError("Ayşe Demir")
    inbox.take(order(), {"user_id": USER})
    assert told(letters)["problem"]["code"] == "internal"
    assert "Demir" not in str(letters.put_there)


def test_a_queue_that_is_not_there_yet_is_made(inbox, letters):
    letters.fails = [Unavailable("mailbox.missing")]
    inbox.take(order(), {"user_id": USER})
    assert letters.declared == [f"client.{USER}"]
    assert told(letters)["status"] == 201


def test_an_answer_that_cannot_be_put_makes_the_message_come_again(inbox, letters):
    letters.fails = [Unavailable("broker.unavailable")]
    with pytest.raises(Unavailable):
        inbox.take(order(), {"user_id": USER})


@contextmanager
def served(world: World, url: str) -> Iterator[None]:
    stop = threading.Event()
    settings = replace(world.settings, broker=url)
    thread = threading.Thread(target=serve_inbox, args=(settings, world.app, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def send(url: str, content: bytes, user: str, key: str = "command.register", *, confirmed: bool = False) -> None:
    with kombu.Connection(url, transport_options={"confirm_publish": confirmed}) as connection:
        exchange = kombu.Exchange("handschlag.inbox", type="topic", durable=True, no_declare=True)
        kombu.Producer(connection.channel(), exchange=exchange).publish(
            content,
            routing_key=key,
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id="c-9",
            reply_to=f"client.{user}",
            user_id=user,
        )


def receive(url: str, queue: str, timeout: float = 15) -> Any:
    with kombu.Connection(url) as connection:
        received: list[Any] = []
        consumer = kombu.Consumer(
            connection.channel(),
            [kombu.Queue(queue, no_declare=True)],
            on_message=received.append,
            auto_declare=False,
        )
        with consumer:
            while not received:
                connection.drain_events(timeout=timeout)
        received[0].ack()
        body = received[0].body
        return json.loads(body if isinstance(body, str) else bytes(body)), received[0].properties


def test_over_the_broker_inside_the_process(world):
    shared.transport.register()
    url = f"inproc://inbox-{uuid.uuid4().hex}"
    with kombu.Connection(url) as connection:
        channel = connection.channel()
        queue = kombu.Queue(
            f"client.{USER}", kombu.Exchange(CLIENTS, type="direct", durable=True), routing_key=f"client.{USER}"
        )
        queue(channel).declare()
        inbox = kombu.Queue(
            "gateway.inbox", kombu.Exchange("handschlag.inbox", type="topic", durable=True), routing_key="command.#"
        )
        inbox(channel).declare()
    with served(world, url):
        send(url, order(), USER)
        answer, properties = receive(url, f"client.{USER}")
    assert answer["status"] == 201
    assert properties["correlation_id"] == "c-9"


SENDERS = ("jobcenter-app", "drv")
PASSWORDS = {user: f"secret of {user}" for user in (generate.GATEWAY, *SENDERS)}


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    definitions = generate.definitions(generate.read_calls(), PASSWORDS, partners=["drv"], clients=["jobcenter-app"])
    with ExitStack() as servers:
        try:
            yield servers.enter_context(private_rabbitmq(definitions))
        except NoServerError as missing:
            cannot_be_had(missing)


@pytest.mark.real_rabbitmq
def test_over_rabbitmq_with_no_more_rights_than_each_has(world, broker):
    def url(user: str) -> str:
        return broker.url_for(user, PASSWORDS[user])

    with served(world, url(generate.GATEWAY)):
        send(url("jobcenter-app"), order(), "jobcenter-app")
        answer, properties = receive(url("jobcenter-app"), "client.jobcenter-app")
        assert (answer["status"], properties["correlation_id"]) == (201, "c-9")
        send(url("drv"), order("exchange.acknowledge", {"signed": "a.b.c"}), "drv", "acknowledgement.signed")
        answer, _ = receive(url("drv"), "client.drv")
        assert answer["status"] == 201
        with pytest.raises(amqp.AMQPError, match="user_id property set to 'jobcenter-app'"):
            send(url("drv"), order(), "jobcenter-app", confirmed=True)
