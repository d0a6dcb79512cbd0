"""The AMQP front door: the same operations as over HTTP, for programs that have a user at the broker.

A message is JSON `{"type": operation, "idempotency_key": …, "body": …}`, and `if_match` where HTTP wants If-Match.
Personal data does not pass the broker in the clear: a body that holds any comes as `sealed`, and the answer to such an
operation says status, location and etag, to be read over HTTP. Who sent it is what the broker vouches for in
`user_id`, never a field of the message. The answer goes to the sender's own queue with the `correlation_id` of the
question. RabbitMQ checks `user_id`; the broker inside the process does not, and is for one machine only. A message
that comes twice is carried out once. `contracts/formats/commands.md` is the long form.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, Protocol

from services.gateway import problems
from services.gateway.accounts import Accounts, Client
from services.gateway.auth import Asker
from services.gateway.front_door import FrontDoor, Outcome, seen_version
from services.gateway.operations import Operation
from services.gateway.problems import Fault
from services.gateway.reading import read_json
from services.gateway.sealing import REMEDY
from shared import telemetry
from shared.canonical import canonical
from shared.config import Settings
from shared.domain import Json, value
from shared.errors import Forbidden, HandschlagError, Invalid, Unavailable
from shared.messaging import Mailbox, listen
from shared.schema import dump, parse

EXCHANGE = "handschlag.inbox"
CLIENTS = "handschlag.clients"
QUEUE = "gateway.inbox"
KEYS = ("command.#", "acknowledgement.#")
ANSWERS_KEPT = timedelta(hours=24)
PAUSE = 2.0
Properties = Mapping[str, Any]


class Doors(Protocol):
    """What of the application is needed here: `create_app` gives it."""

    front: FrontDoor
    accounts: Accounts


class Letters(Protocol):
    """Where answers are put; `shared.messaging.Mailbox`."""

    def declare(self, queue: str) -> None: ...

    def put(  # noqa: PLR0917
        self,
        queue: str,
        message_id: str,
        body: bytes,
        headers: Mapping[str, str],
        content_type: str,
        correlation_id: str | None = None,
        ttl: timedelta | None = None,
    ) -> None: ...


@value
class Order:
    """What a message asks for; the fields in `body`, or sealed by the sender for the gateway."""

    type: str
    idempotency_key: str
    body: Json | None = None
    sealed: str | None = None
    if_match: str | None = None


def serve_inbox(settings: Settings, doors: Doors, stop: Event) -> None:
    """Take messages until `stop`. A broker that goes away is looked for again."""
    inbox = Inbox(doors.front, doors.accounts, Mailbox(settings.broker, CLIENTS))
    while not stop.is_set():
        try:
            listen(settings.broker, EXCHANGE, QUEUE, KEYS, inbox.take, stop)
        except Exception as error:  # noqa: BLE001
            telemetry.logger("inbox").warning("the broker is away", queue=QUEUE, **telemetry.describe(error))
            stop.wait(PAUSE)


@dataclass(frozen=True)
class Inbox:
    """Deals with one message at a time."""

    front: FrontDoor
    accounts: Accounts
    letters: Letters

    def take(self, body: bytes, properties: Properties) -> None:
        """Carry it out and answer. Raises only when the answer cannot be put; then the message comes again."""
        traceparent = str(properties.get("headers", {}).get("traceparent", ""))
        with telemetry.continue_trace(traceparent, "take from inbox", queue=QUEUE):
            client = self._sender(properties)
            if client is not None:
                self._answer(client, properties, self._told(client, body, properties))

    def _sender(self, properties: Properties) -> Client | None:
        user = str(properties.get("user_id") or "")
        client = self.accounts.broker_user(user) if user else None
        if client is None:
            code = "inbox.unknown_sender" if user else "inbox.no_sender"
            telemetry.logger("inbox").warning("a message was refused", queue=QUEUE, code=code)
        return client

    def _told(self, client: Client, body: bytes, properties: Properties) -> Json:
        try:
            return self._carried_out(client, body, properties)
        except HandschlagError as error:
            problem = problems.document(error)
            return {"status": problem["status"], "problem": problem}
        except Exception as error:  # noqa: BLE001
            telemetry.logger("inbox").error("a message failed", queue=QUEUE, **telemetry.describe(error))
            problem = problems.document(problems.internal())
            return {"status": problem["status"], "problem": problem}

    def _carried_out(self, client: Client, body: bytes, properties: Properties) -> Json:
        reply_to = properties.get("reply_to")
        if reply_to and reply_to != own_queue(client):
            raise Forbidden("inbox.not_your_queue", "answers go to your own queue only", "leave reply_to out")
        asker = Asker.of(client.claims)
        order = parse(Order, read_json(body))
        operation = self.front.operations.get(order.type)
        if operation is None or not operation.changes:
            fault = ("/type", "no such command", "see the operation ids in /openapi.json")
            raise Invalid("inbox.unknown_type", fault[1], fault[2], [fault])
        asker.require(operation.name)
        sent = self._sent(client, operation, order)
        version = seen_version(order.if_match) if operation.guarded else None
        outcome = self.front.handle(operation, asker, sent, key=order.idempotency_key, seen_version=version)
        return _described(operation, outcome)

    def _sent(self, client: Client, operation: Operation, order: Order) -> Json:
        if (order.body is None) == (order.sealed is None):
            remedy = "send either body or sealed"
            raise Invalid("request.invalid", "the message has no body, or two", remedy, [("/body", remedy, remedy)])
        if order.sealed is not None:
            return _object(read_json(self.front.seal.opened(order.sealed, str(client.broker_user))))
        body = _object(order.body)
        open_fields = [f"/{name}" for name in operation.personal if body.get(name)]
        if open_fields:
            faults = [(pointer, "personal data in the open", REMEDY) for pointer in open_fields]
            raise Invalid("inbox.personal_in_the_open", "the broker sees what is not sealed", REMEDY, faults)
        return body

    def _answer(self, client: Client, properties: Properties, told: Json) -> None:
        correlation = properties.get("correlation_id")
        put = partial(
            self.letters.put,
            own_queue(client),
            str(uuid.uuid4()),
            canonical(told),
            {"traceparent": telemetry.current_traceparent()},
            "application/json",
            correlation_id=str(correlation) if correlation else None,
            ttl=ANSWERS_KEPT,
        )
        try:
            put()
        except Unavailable as error:
            if error.code != "mailbox.missing":
                raise
            self.letters.declare(own_queue(client))
            put()


def own_queue(client: Client) -> str:
    """The one queue to which answers for this client go. Disclosures for a partner come into another one."""
    return f"client.{client.broker_user}"


def _described(operation: Operation, outcome: Outcome) -> Json:
    told: Json = {"status": outcome.status}
    if not operation.confidential:
        told["body"] = dump(outcome.view)
    optional = {"etag": outcome.etag, "location": outcome.location and f"/v1{outcome.location}"}
    return told | {name: text for name, text in optional.items() if text} | _replayed(outcome)


def _object(sent: object) -> Json:
    if not isinstance(sent, dict):
        raise Fault(422, "request.invalid", "expected a JSON object", "", [("/body", "expected an object", "")])
    return sent


def _replayed(outcome: Outcome) -> Json:
    return {"replayed": True} if outcome.replayed else {}
