"""An agency's program at the broker, as `contracts/formats/commands.md` describes it: kombu and joserfc only."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from joserfc import jwe
from joserfc.jwk import OKPKey
from kombu import Connection, Consumer, Exchange, Producer, Queue

Json = dict[str, Any]
PATIENCE = 40.0


@dataclass
class AgencyProgram:
    """Sends commands as `user` and hears the answers; `key` is the gateway's JWK, from `GET /v1/keys`."""

    url: str
    user: str
    key: Json

    def seal(self, body: Json) -> str:
        apu = base64.urlsafe_b64encode(self.user.encode()).rstrip(b"=").decode()
        head = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "handschlag-body+jwe", "apu": apu}
        algorithms = ["ECDH-ES+A256KW", "A256GCM"]
        return jwe.encrypt_compact(head, json.dumps(body).encode(), OKPKey.import_key(self.key), algorithms=algorithms)

    def send(self, message: Json, *, routing_key: str = "command", **properties: str) -> str:
        """Publish and wait until the broker has it; the correlation id by which the answer is known."""
        correlation = uuid4().hex
        common = {"user_id": self.user, "correlation_id": correlation, **properties}
        options = {"confirm_publish": True}
        with Connection(self.url, transport_options=options) as connection, connection.channel() as channel:
            inbox = Exchange("handschlag.inbox", type="topic", no_declare=True)
            Producer(channel, inbox).publish(message, routing_key=routing_key, declare=[], **common)
        return correlation

    def hear(self, correlation: str) -> Json:
        """The answer to one message; answers to others are passed over."""
        found: list[Json] = []

        def take(body: Any, message: Any) -> None:
            if message.properties.get("correlation_id") == correlation:
                found.append(body if isinstance(body, dict) else json.loads(body))
            message.ack()

        ends = time.monotonic() + PATIENCE
        with Connection(self.url) as connection, connection.channel() as channel:
            queue = Queue(f"client.{self.user}", no_declare=True)
            with Consumer(channel, [queue], callbacks=[take], accept=["json"]):
                while not found:
                    connection.drain_events(timeout=max(0.1, ends - time.monotonic()))
        return found[0]

    def order(self, operation: str, body: Json, key: str | None = None, *, sealed: bool = False) -> Json:
        """Send a command and wait for its answer."""
        content = {"sealed": self.seal(body)} if sealed else {"body": body}
        return self.hear(self.send({"type": operation, "idempotency_key": key or uuid4().hex, **content}))
