"""Letters between the platform and those outside: into queues of partners and clients, and out of what they send."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any

from kombu import Exchange, Queue

from shared import telemetry
from shared.domain import Json
from shared.errors import Unavailable
from shared.messaging.receiving import collect, consuming
from shared.messaging.topology import (
    DELIVERY_LIMIT,
    HEARTBEAT,
    PARTNERS,
    bind,
    connected,
    own_queue,
    provide_exchange,
    provide_own_queue,
    provide_queue,
)

LETTER_ATTEMPTS = 5
LETTERS_HELD = 20


class Mailbox:
    """Letters into queues of others, `partner.<id>` or `client.<id>`. What was not received yet can be taken back."""

    def __init__(self, url: str, exchange: str = PARTNERS) -> None:
        self._url = url
        self._exchange = exchange

    def declare(self, queue: str) -> None:
        """Make sure that the partner's queue is there and gets what is put under its name."""
        with connected(self._url) as connection:
            provide_exchange(connection, Exchange(self._exchange, type="direct", durable=True))
            letters = Queue(queue, queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT})
            if provide_queue(connection, letters):
                bind(connection, queue, self._exchange, queue)

    def put(  # noqa: PLR0917 - what stands on a letter, in its order
        self,
        queue: str,
        message_id: str,
        body: bytes,
        headers: Mapping[str, str],
        content_type: str,
        correlation_id: str | None = None,
        ttl: timedelta | None = None,
    ) -> None:
        """Returns when the broker has confirmed it. `Unavailable` when it did not, or when there is no such queue."""
        properties: Json = {"message_id": message_id, "delivery_mode": 2, "type": headers.get("ce-type", "")}
        if correlation_id:
            properties["correlation_id"] = correlation_id
        if ttl is not None:
            properties["expiration"] = str(int(ttl.total_seconds() * 1000))
        returned: list[object] = []
        with connected(self._url, confirmed=True) as connection:
            channel = connection.default_channel
            channel.events.setdefault("basic_return", set()).add(lambda *_: returned.append(_))
            letter = channel.prepare_message(
                body,
                content_type=content_type,
                content_encoding="binary",
                headers=dict(headers),
                properties=properties,
            )
            channel.basic_publish(letter, exchange=self._exchange, routing_key=queue, mandatory=True)
        if returned:
            raise Unavailable("mailbox.missing", "the partner has no queue", "declare it")

    @contextmanager
    def take_back(self, queue: str) -> Iterator[list[str]]:
        """The ids of the letters that were still unread, taken out for good when the block has ended well.

        When it raises, or the process dies in it, they lie in the queue again. What the partner has received but not
        acknowledged is out of reach and counts as delivered.
        """
        taken: list[str] = []
        with connected(self._url) as connection:
            channel = connection.default_channel
            last = None
            while (letter := channel.basic_get(queue, no_ack=False)) is not None:
                taken.append(str(letter.properties.get("message_id", "")))
                last = letter
            yield taken
            if last is not None:
                channel.basic_ack(last.delivery_tag, multiple=True)
                channel.queue_declare(queue, passive=True)


def listen(  # noqa: PLR0917 - from where, what, to whom, how long
    url: str,
    exchange: str,
    queue: str,
    keys: Iterable[str],
    handler: Callable[[bytes, Mapping[str, Any]], None],
    stop: Event,
) -> None:
    """Hand every letter in `queue` to `handler(body, properties)` until `stop`; raises when the broker goes away.

    `properties` are those of AMQP (message_id, correlation_id, reply_to, user_id, content_type, headers). RabbitMQ
    vouches for `user_id`; the broker inside the process does not. A letter is acknowledged once the handler is
    through; one that fails five times goes to the dead letters.
    """
    with connected(url, heartbeat=HEARTBEAT) as connection:
        provide_exchange(connection, Exchange(exchange, type="topic", durable=True))
        service = queue.partition(".")[0]
        provide_own_queue(connection, own_queue(queue, service), service)
        for key in keys:
            bind(connection, queue, exchange, key)
        received = consuming(connection, queue, LETTERS_HELD)
        while not stop.is_set():
            collect(connection, received, LETTERS_HELD)
            while received:
                letter = received.pop(0)
                if _delivered(letter, handler, stop):
                    letter.ack()
                else:
                    letter.reject(requeue=stop.is_set())


def _delivered(letter: Any, handler: Callable[[bytes, Mapping[str, Any]], None], stop: Event) -> bool:
    body = letter.body.encode() if isinstance(letter.body, str) else bytes(letter.body)
    properties = {**letter.properties, "headers": dict(letter.headers or {})}
    properties["routing_key"] = letter.delivery_info["routing_key"]
    for attempt in range(LETTER_ATTEMPTS):
        try:
            handler(body, properties)
        except Exception as error:  # noqa: BLE001
            telemetry.logger("listen").error("a letter failed", attempt=attempt + 1, **telemetry.describe(error))
            if stop.wait(min(0.2 * 3**attempt, 10)):
                return False
        else:
            return True
    return False
