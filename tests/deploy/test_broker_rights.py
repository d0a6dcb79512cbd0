"""The broker's rights, seen from the outside: what a service or a partner cannot do, whatever it tries."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import amqp
import pytest
from click.testing import CliRunner

from deploy.rabbitmq import generate
from shared.messaging import Mailbox, set_up
from tests.conftest import cannot_be_had
from tests.support.servers import NoServerError, RabbitMQ, private_rabbitmq

CALLS = {
    "gateway": {"consent": ["grant_consent"], "cases": ["open_case"]},
    "exchange": {"audit": ["authorize"]},
    "audit": {"consent": ["evidence"]},
}
PARTNERS = ("aok-nordost", "drv-bund")
USERS = (*generate.SERVICES, generate.GATEWAY, *PARTNERS)
PASSWORDS = {user: f"secret of {user}" for user in USERS}

pytestmark = pytest.mark.real_rabbitmq


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    definitions = generate.definitions(CALLS, PASSWORDS, PARTNERS)
    with ExitStack() as servers:
        try:
            running = servers.enter_context(private_rabbitmq(definitions))
        except NoServerError as missing:
            cannot_be_had(missing)
        yield running


class Session:
    """One signed-in user, as plain as the protocol."""

    def __init__(self, broker: RabbitMQ, user: str, password: str) -> None:
        self.connection = amqp.Connection(
            host=f"{broker.host}:{broker.port}",
            userid=user,
            password=password,
            virtual_host=generate.VHOST,
            connect_timeout=5,
            confirm_publish=True,
        )
        self.connection.connect()
        self.channel = self.connection.channel()

    def publish(self, exchange: str, key: str, body: str = "{}", **properties: Any) -> None:
        message = amqp.Message(body, **properties)
        self.channel.basic_publish_confirm(message, exchange=exchange, routing_key=key)

    def own_queue(self, name: str) -> str:
        return str(self.channel.queue_declare(name, durable=False, auto_delete=True).queue)

    def next(self, queue: str) -> str | None:
        message = self.channel.basic_get(queue, no_ack=True)
        return str(message.body) if message else None


@pytest.fixture
def sign_in(broker: RabbitMQ) -> Iterator[Any]:
    opened: list[Session] = []

    def opener(user: str) -> Session:
        opened.append(Session(broker, user, PASSWORDS[user]))
        return opened[-1]

    yield opener
    for session in opened:
        session.connection.collect()


def refused_with(code: int, act: Any, *args: Any) -> None:
    with pytest.raises(amqp.AMQPError) as refusal:
        act(*args)
    assert refusal.value.reply_code == code, refusal.value


def test_a_service_calls_a_method_it_was_granted(sign_in: Any) -> None:
    audit = sign_in("audit")
    queue = audit.own_queue("rpc-audit")
    audit.channel.queue_bind(queue, generate.RPC, "audit.*")
    sign_in("exchange").publish(generate.RPC, "audit.authorize", "please")
    assert audit.next(queue) == "please"


def test_a_service_that_calls_a_method_it_was_not_granted_is_refused(sign_in: Any) -> None:
    refused_with(403, sign_in("exchange").publish, generate.RPC, "audit.erase")
    refused_with(403, sign_in("health").publish, generate.RPC, "audit.authorize")
    refused_with(403, sign_in("gateway").publish, generate.RPC, "audit.authorize")
    refused_with(403, sign_in("gateway").publish, generate.RPC, "consent.grant_consent.more")


def test_an_answer_reaches_whoever_waits_for_it(sign_in: Any) -> None:
    key = str(uuid.uuid4())
    gateway = sign_in("gateway")
    queue = gateway.own_queue(f"rpc.reply-gateway-{key}")
    gateway.channel.queue_bind(queue, generate.RPC, key)
    sign_in("consent").publish(generate.RPC, key, "granted")
    assert gateway.next(queue) == "granted"


@pytest.mark.parametrize("key", ["audit.*", "audit.authorize", "#", "*.*", "consent.#"])
def test_nobody_listens_in_on_the_calls_of_others(sign_in: Any, key: str) -> None:
    consent = sign_in("consent")
    queue = consent.own_queue("consent.listener")
    refused_with(403, consent.channel.queue_bind, queue, generate.RPC, key)


def test_nobody_reads_the_queue_of_another_service(sign_in: Any) -> None:
    refused_with(403, sign_in("consent").channel.basic_get, "audit.inbox")
    refused_with(403, sign_in("gateway").channel.basic_get, "audit.inbox")
    refused_with(403, sign_in("health").channel.basic_get, "partner.drv-bund")


def test_a_service_publishes_its_own_events_and_nobody_elses(sign_in: Any) -> None:
    audit = sign_in("audit")
    queue = audit.own_queue("audit.hearing")
    audit.channel.queue_bind(queue, "consent.events", "#")
    sign_in("consent").publish("consent.events", "consent.ConsentWithdrawn.v1", "withdrawn")
    assert audit.next(queue) == "withdrawn"
    refused_with(403, sign_in("cases").publish, "consent.events", "consent.ConsentWithdrawn.v1")


@pytest.mark.parametrize("user", USERS)
def test_the_default_exchange_is_closed_to_everybody(sign_in: Any, user: str) -> None:
    refused_with(403, sign_in(user).publish, "", "rpc-audit")


def test_what_nobody_wanted_is_kept_where_it_is_seen(broker: RabbitMQ, sign_in: Any) -> None:
    sign_in("health").publish("health.events", "health.NobodyListens.v1", "lost?")
    password = broker.url.split("//administrator:")[1].split("@")[0]
    operator = Session(broker, "administrator", password)
    assert operator.next(generate.UNROUTED) == "lost?"
    operator.connection.collect()


def test_a_partner_reads_its_own_queue_and_no_other(sign_in: Any) -> None:
    sign_in("exchange").publish(generate.PARTNERS, "partner.aok-nordost", "for the insurer")
    partner = sign_in("aok-nordost")
    assert partner.next("partner.aok-nordost") == "for the insurer"
    refused_with(403, sign_in("drv-bund").channel.basic_get, "partner.aok-nordost")
    refused_with(403, partner.channel.basic_get, generate.UNROUTED)


def test_only_the_exchange_service_writes_to_partners(sign_in: Any) -> None:
    refused_with(403, sign_in("cases").publish, generate.PARTNERS, "partner.aok-nordost")
    refused_with(403, sign_in("drv-bund").publish, generate.PARTNERS, "partner.aok-nordost")


def test_the_exchange_service_makes_a_partners_queue_and_takes_back_what_was_not_read(
    broker: RabbitMQ, sign_in: Any
) -> None:
    url = broker.url_for("exchange", PASSWORDS["exchange"])
    mailbox = Mailbox(url)
    mailbox.declare("partner.new-partner")
    mailbox.put("partner.new-partner", "letter-1", b"{}", {}, "application/json")
    with mailbox.take_back("partner.new-partner") as unread:
        assert unread == ["letter-1"]


def test_every_service_finds_what_it_needs_without_any_right_to_make_it(broker: RabbitMQ) -> None:
    for service in generate.SERVICES:
        set_up(broker.url_for(service, PASSWORDS[service]), service, generate.SERVICES)


def test_a_partner_sends_commands_and_acknowledgements_only(sign_in: Any) -> None:
    exchange = sign_in("exchange")
    queue = exchange.own_queue("exchange.letters")
    exchange.channel.queue_bind(queue, generate.INBOX, "#")
    partner = sign_in("aok-nordost")
    partner.publish(generate.INBOX, "command.request_assessment", "ask")
    partner.publish(generate.INBOX, "acknowledgement.received", "had it")
    assert [exchange.next(queue), exchange.next(queue)] == ["ask", "had it"]
    refused_with(403, partner.publish, generate.INBOX, "commander.obey")
    refused_with(403, sign_in("aok-nordost").publish, "consent.events", "consent.ConsentWithdrawn.v1")
    refused_with(403, sign_in("aok-nordost").publish, generate.RPC, "audit.authorize")


def test_a_partner_declares_and_binds_nothing(sign_in: Any) -> None:
    refused_with(403, sign_in("drv-bund").channel.queue_declare, "partner.mine")
    refused_with(403, sign_in("drv-bund").channel.queue_delete, "partner.drv-bund")
    refused_with(403, sign_in("drv-bund").channel.queue_bind, "partner.drv-bund", "consent.events", "#")


def test_nobody_speaks_in_the_name_of_another(sign_in: Any) -> None:
    partner = sign_in("drv-bund")

    def pretend() -> None:
        partner.publish(generate.INBOX, "command.request_assessment", user_id="aok-nordost")

    refused_with(406, pretend)
    sign_in("drv-bund").publish(generate.INBOX, "command.request_assessment", user_id="drv-bund")


@pytest.mark.parametrize(("user", "password"), [("guest", "guest"), ("consent", ""), ("consent", "wrong")])
def test_strangers_are_not_let_in(broker: RabbitMQ, user: str, password: str) -> None:
    with pytest.raises(amqp.AMQPError) as refusal:
        Session(broker, user, password)
    assert refusal.value.reply_code == 403


def test_the_committed_definitions_belong_to_the_committed_calls() -> None:
    committed = json.loads(generate.DEFINITIONS.read_text(encoding="utf-8"))
    assert committed == generate.definitions(generate.read_calls(), {})


def test_the_committed_definitions_let_nobody_in() -> None:
    committed = json.loads(generate.DEFINITIONS.read_text(encoding="utf-8"))
    assert {user["password_hash"] for user in committed["users"]} == {""}


@pytest.mark.parametrize("name", ["consent", "gateway", "", "a.b", "x|.*", "Großschreibung"])
def test_a_partner_cannot_be_named_like_a_service_or_a_pattern(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a partner's name"):
        generate.definitions({}, {}, [name])


def test_secrets_become_hashes_in_a_file_for_its_owner_only(tmp_path: Path) -> None:
    folder, output = tmp_path / "secrets", tmp_path / "definitions.json"
    folder.mkdir()
    for user in (*generate.SERVICES, generate.GATEWAY, "drv-bund"):
        (folder / user).write_text(PASSWORDS[user])
    options = ["--secrets", str(folder), "-o", str(output), "--partner", "drv-bund"]
    assert CliRunner().invoke(generate.main, options).exit_code == 0
    written = output.read_text()
    assert output.stat().st_mode & 0o777 == 0o600
    assert not [secret for secret in PASSWORDS.values() if secret in written]
    assert all(user["password_hash"] for user in json.loads(written)["users"])


def test_a_missing_secret_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "definitions.json"
    result = CliRunner().invoke(generate.main, ["-o", str(output)])
    assert result.exit_code == 1
    assert "no secret for audit" in result.output
    assert not output.exists()
