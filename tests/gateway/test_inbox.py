"""The AMQP front door: the broker says who speaks, and the rest is as over HTTP."""

import base64
import json
import re
import threading
import typing
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import amqp
import kombu
import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey

import shared.transport
from contracts.generate import FOLDER
from deploy.rabbitmq import generate
from services.gateway.inbox import CLIENTS, Inbox, serve_inbox
from services.gateway.resources import OPERATIONS
from shared.domain import Sealed
from shared.errors import Unavailable
from shared.identity import ServiceIdentity, create_identities
from tests.conftest import cannot_be_had
from tests.gateway.test_resources import role_for
from tests.gateway.test_roles import call
from tests.gateway.world import ME, REQUESTS, SOME_ID, World
from tests.support.servers import NoServerError, RabbitMQ, private_rabbitmq

CASE = {"person_id": ME, "main_companion": "weber"}
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


def order(operation: str = "cases.open_case", body: Any = CASE, key: str | None = None, **more) -> bytes:
    content = {"type": operation, "idempotency_key": key or str(uuid.uuid4()), "body": body, **more}
    return json.dumps(content).encode()


def seal(world: World, body: Any, sender: str = USER, key: OKPKey | None = None, **header: str) -> str:
    """As a program of an agency does it, by nothing but the key that the gateway publishes."""
    (public,) = world.ask("case_worker", "GET", "/keys").json["keys"]
    apu = base64.urlsafe_b64encode(sender.encode()).rstrip(b"=").decode()
    head = {"alg": public["alg"], "enc": "A256GCM", "typ": "handschlag-body+jwe", "apu": apu, **header}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return jwe.encrypt_compact(head, content, key or OKPKey.import_key(public), algorithms=[public["alg"], "A256GCM"])


def sealed(
    world: World,
    operation: str = "cases.register_person",
    body: Any = PERSON,
    key: str | None = None,
    sender: str = USER,
) -> bytes:
    content = {"type": operation, "idempotency_key": key or str(uuid.uuid4()), "sealed": seal(world, body, sender)}
    return json.dumps(content).encode()


def told(letters: Letters) -> Any:
    return letters.put_there[-1][1]


def test_a_command_is_carried_out_and_answered_into_the_senders_queue(world, inbox, letters):
    inbox.take(order(), {"user_id": USER, "correlation_id": "c-1", "reply_to": f"client.{USER}"})
    queue, answer, correlation = letters.put_there[0]
    assert (queue, correlation, answer["status"]) == (f"client.{USER}", "c-1", 201)
    assert answer["location"].startswith("/v1/cases/")
    assert answer["body"]["version"] == 3
    assert answer["etag"] == "3"
    caller = world.calls.asked[0][3]
    assert (caller.actor, caller.role, caller.agency) == (USER, "case_worker", "jobcenter")


def test_a_message_that_comes_twice_is_carried_out_once(world, inbox, letters):
    message = order()
    for _ in range(2):
        inbox.take(message, {"user_id": USER})
    assert world.calls.names().count("cases.open_case") == 1
    assert [answer["status"] for _, answer, _ in letters.put_there] == [201, 201]
    assert told(letters)["replayed"] is True


def test_both_doors_know_the_same_request(world, inbox, letters):
    key = str(uuid.uuid4())
    world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    inbox.take(sealed(world, key=key), {"user_id": USER})
    assert world.calls.names().count("cases.register_person") == 1
    assert told(letters)["replayed"] is True
    inbox.take(sealed(world, body={**PERSON, "name": "Jemand"}, key=key), {"user_id": USER})
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
        if operation.changes:
            place = operation.found_at(REQUESTS[name][0]) or {}
            more = {"if_match": '"3"'} if operation.guarded else {}
            body = {**(REQUESTS[name][1] or {}), **place}
            for user in (USER, "drv", "revision"):
                message = sealed(world, name, body, sender=user) if operation.personal else order(name, body, **more)
                inbox.take(message, {"user_id": user})
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
        (order(body={"person_id": 4}), "request.invalid"),
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
    world.calls.answers["cases.open_case"] = RuntimeError("Ayşe Demir")
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


def personal_fields(cls: type) -> set[str]:
    """The names of all fields in `cls`, however deep, that a service marks as personal."""
    pairs: list[str] = []
    kinds = [cls]
    while kinds:
        for name, annotation in typing.get_type_hints(kinds.pop(), include_extras=True).items():
            kind, personal = unwrapped(annotation)
            pairs += [name] if personal else []
            kinds += [each for each in (kind, *typing.get_args(kind)) if is_dataclass(each)]
    return set(pairs)


def unwrapped(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) is not typing.Annotated:
        return annotation, False
    return typing.get_args(annotation)[0], any(isinstance(mark, Sealed) for mark in annotation.__metadata__)


@pytest.mark.parametrize("name", sorted(name for name, each in OPERATIONS.items() if each.changes))
def test_an_operation_is_confidential_exactly_where_the_services_say_personal(world, name):
    """Both sides are asked: what the gateway declares is what the dataclasses of the services mark."""
    operation = OPERATIONS[name]
    assert call(world, name, role_for(name)).status_code == operation.status
    questions = set().union(*(personal_fields(question) for question, _ in world.calls.forms))
    answers = set().union(*(personal_fields(answer) for _, answer in world.calls.forms))
    assert set(operation.personal) == questions & set(operation.other_fields)
    assert operation.confidential == bool(questions or answers)


def test_the_published_format_lists_what_must_be_sealed():
    text = (FOLDER / "formats" / "commands.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|$", text.partition("## What must be sealed")[2], re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows if name in OPERATIONS}
    assert listed == {name: set(each.personal) for name, each in OPERATIONS.items() if each.personal}


def test_personal_data_in_the_open_is_refused_and_nothing_is_done(world, inbox, letters):
    for name, operation in OPERATIONS.items():
        for each in operation.personal:
            body = {**REQUESTS[name][1], each: REQUESTS[name][1].get(each) or {"some": "thing"}}
            inbox.take(order(name, body), {"user_id": "revision" if role_for(name) == "auditor" else USER})
            problem = told(letters)["problem"]
            assert (problem["code"], problem["status"]) == ("inbox.personal_in_the_open", 422)
            assert f"/{each}" in [error["pointer"] for error in problem["errors"]]
            assert all("/v1/keys" in error["remedy"] for error in problem["errors"])
    assert world.calls.asked == []
    assert "Demir" not in str(letters.put_there)


def test_a_disclosure_that_states_nothing_about_the_person_may_be_asked_for_in_the_open(inbox, letters):
    body = REQUESTS["exchange.request_disclosure"][1]
    for more in ({}, {"reasons": "", "facts": {}}):
        inbox.take(order("exchange.request_disclosure", {**body, **more}), {"user_id": USER})
        assert told(letters)["status"] == 201
    inbox.take(order("exchange.request_disclosure", {**body, "reasons": "braucht Hilfe"}), {"user_id": USER})
    assert [error["pointer"] for error in told(letters)["problem"]["errors"]] == ["/reasons"]


def test_a_sealed_body_is_the_same_request_and_its_answer_says_only_where_to_read(world, inbox, letters):
    inbox.take(sealed(world), {"user_id": USER})
    answer = told(letters)
    assert answer.keys() == {"status", "location", "etag"}
    assert answer["status"] == 201
    written = next(question for _, method, question, _ in world.calls.asked if method == "register_person")
    assert written["name"] == PERSON["name"]


def test_an_answer_that_names_a_professional_is_not_put_into_a_message(inbox, letters):
    inbox.take(order("consent.withdraw_release", {"release_id": SOME_ID}), {"user_id": USER})
    assert told(letters).keys() == {"status", "location", "etag"}


def test_what_is_not_personal_may_be_sealed_too(world, inbox, letters):
    inbox.take(sealed(world, "cases.open_case", CASE), {"user_id": USER})
    assert told(letters)["body"]["version"] == 3


def test_a_copied_message_cannot_be_sent_as_ones_own(world, inbox, letters):
    world.ask("case_worker", "GET", "/keys")
    asked = len(world.calls.asked)
    copied = json.dumps(
        {"type": "exchange.acknowledge", "idempotency_key": "k", "sealed": seal(world, {"signed": "a"})}
    )
    inbox.take(copied.encode(), {"user_id": "drv"})
    assert told(letters)["problem"]["code"] == "inbox.seal_broken"
    assert len(world.calls.asked) == asked


@pytest.mark.parametrize("how", ["nonsense", "", "a.b.c.d.e", "changed", "typ", "other key", "of a service", "no apu"])
def test_what_was_not_sealed_for_the_gateway_is_refused_by_name(world, inbox, letters, tmp_path, how):
    content = json.dumps(PERSON).encode()
    token = seal(world, PERSON)
    create_identities(tmp_path / "elsewhere", ["gateway"])
    match how:
        case "changed":
            token = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
        case "typ":
            token = seal(world, PERSON, typ="JOSE")
        case "no apu":
            token = seal(world, PERSON, apu="")
        case "other key":
            key = ServiceIdentity.load(tmp_path / "elsewhere", "gateway").directory["gateway"].seal
            token = seal(world, PERSON, key=key)
        case "of a service":
            token = ServiceIdentity.load(world.settings.keys, "gateway").seal("gateway", content)
        case _:
            token = how
    message = {"type": "cases.register_person", "idempotency_key": "k", "sealed": token}
    inbox.take(json.dumps(message).encode(), {"user_id": USER})
    assert told(letters)["problem"]["code"] == "inbox.seal_broken"
    assert told(letters)["problem"]["errors"][0]["pointer"] == "/sealed"
    assert world.calls.asked == []


@pytest.mark.parametrize(("content", "code"), [(b"{", "request.malformed"), (b"[]", "request.invalid")])
def test_what_was_sealed_is_read_as_strictly_as_the_rest(world, inbox, letters, content, code):
    inbox.take(sealed(world, body=content), {"user_id": USER})
    assert told(letters)["problem"]["code"] == code


@pytest.mark.parametrize("parts", [{}, {"body": {}, "sealed": "a.b.c.d.e"}, {"body": None}])
def test_a_message_has_one_body(world, inbox, letters, parts):
    message = {"type": "cases.open_case", "idempotency_key": "k", **parts}
    inbox.take(json.dumps(message).encode(), {"user_id": USER})
    assert told(letters)["problem"]["code"] == "request.invalid"
    assert world.calls.asked == []


def test_the_key_for_sealing_is_public_and_only_that(world):
    (key,) = world.ask("partner_system", "GET", "/keys").json["keys"]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "X25519", "enc", "ECDH-ES+A256KW")
    assert "d" not in key


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
