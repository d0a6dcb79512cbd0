"""Letters between the platform and those outside: into queues of partners and clients."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from shared.domain import Json
from shared.errors import Unavailable
from shared.messaging.publisher import Confirms
from shared.messaging.topology import (
    CONNECT_SECONDS,
    DELIVERY_LIMIT,
    PARTNERS,
    bind,
    connected,
    provide_exchange,
    provide_queue,
    release,
)

KEPT = 4


@dataclass(frozen=True)
class Letter:
    """What is put into `queue`; after `ttl` nobody receives it any more."""

    queue: str
    message_id: str
    body: bytes
    headers: Mapping[str, str]
    content_type: str
    correlation_id: str | None = None
    ttl: timedelta | None = None

    def on_the_wire(self, channel: Any) -> Any:
        """As `channel` publishes it."""
        properties: Json = {"message_id": self.message_id, "delivery_mode": 2, "type": self.headers.get("ce-type", "")}
        if self.correlation_id:
            properties["correlation_id"] = self.correlation_id
        if self.ttl is not None:
            properties["expiration"] = str(int(self.ttl.total_seconds() * 1000))
        return channel.prepare_message(
            self.body,
            content_type=self.content_type,
            content_encoding="binary",
            headers=dict(self.headers),
            properties=properties,
        )


class Mailbox:
    """Letters into queues of others, `partner.<id>` or `client.<id>`. What was not received yet can be taken back.

    One for a process is enough: any thread may use it. Connections are kept and made anew when they broke.
    """

    def __init__(self, url: str, exchange: str = PARTNERS) -> None:
        self._url = url
        self._exchange = exchange
        self._idle: list[_Line] = []
        self._lock = threading.Lock()

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
        if self.put_together([Letter(queue, message_id, body, headers, content_type, correlation_id, ttl)]):
            raise Unavailable("mailbox.missing", "the partner has no queue", "declare it")

    def put_together(self, letters: Sequence[Letter]) -> frozenset[str]:
        """The queues among those named that are not there: letters to them lie nowhere, all others are confirmed.

        `Unavailable` when the broker did not confirm; then each of them may lie in its queue all the same. A connection
        that broke while it was kept is replaced once: then a letter may lie there twice, under the same id.
        """
        line = self._taken()
        if line is not None:
            with suppress(_Broken):
                return self._put(line, letters)
        try:
            return self._put(_Line(self._url), letters)
        except _Broken as error:
            raise Unavailable("broker.unavailable", "the broker is away", "send the same again later") from error

    def close(self) -> None:
        """Give up the connections that are kept. Putting something afterwards makes new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _put(self, line: "_Line", letters: Sequence[Letter]) -> frozenset[str]:
        try:
            missing = line.put(self._exchange, letters)
        except BaseException:
            line.close()
            raise
        self._keep(line)
        return missing

    def _taken(self) -> "_Line | None":
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, line: "_Line") -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(line)
                return
        line.close()

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


class _Broken(Exception):
    """The connection cannot be used: it was not made, or it ended."""


class _Line:
    """A connection that asks the broker to confirm; for one caller at a time."""

    def __init__(self, url: str) -> None:
        self._embedded = url.startswith("inproc:")
        self._confirms = _Confirms()
        self._channel: Any = None
        self._connection = Connection(url, connect_timeout=CONNECT_SECONDS, heartbeat=0)
        self._broken = (OSError, KombuError, *self._connection.connection_errors, *self._connection.channel_errors)

    def put(self, exchange: str, letters: Sequence[Letter]) -> frozenset[str]:
        """One wait for all. Raises `_Broken`, or `Unavailable` when the broker is there and does not take them."""
        try:
            channel = self._opened()
            for letter in letters:
                prepared = letter.on_the_wire(channel)
                channel.basic_publish(prepared, exchange=exchange, routing_key=letter.queue, mandatory=True)
            if not self._embedded:
                self._confirms.sent += len(letters)
                self._confirms.wait(self._connection)
        except self._broken as error:
            raise _Broken from error
        return self._confirms.missing()

    def close(self) -> None:
        release(self._connection)

    def _opened(self) -> Any:
        if self._channel is None:
            self._connection.connect()
            channel = self._connection.default_channel
            if self._embedded:
                channel.events.setdefault("basic_return", set()).add(self._confirms.returned)
            else:
                self._confirms.ask_for(channel)
            self._channel = channel
        return self._channel


class _Confirms(Confirms):
    """Here a letter that comes back is no fault of the broker: its queue is not there."""

    def __init__(self) -> None:
        super().__init__()
        self._missing: set[str] = set()

    def returned(self, _error: object, _exchange: str, routing_key: str, _message: object) -> None:
        self._missing.add(routing_key)

    def missing(self) -> frozenset[str]:
        """What came back since this was asked the last time."""
        missing, self._missing = frozenset(self._missing), set()
        return missing
