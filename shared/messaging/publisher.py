"""Publishing a page at a time: one wait for all its confirms, on the channel that kombu has anyway."""

import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Event
from typing import Any

from amqp import spec
from kombu import Connection

import shared.transport
from shared import telemetry
from shared.errors import Unavailable
from shared.messaging.message import Message, on_the_wire
from shared.messaging.topology import CONNECT_SECONDS, release

CONFIRM_SECONDS = 30.0
MANDATORY = True


class Publisher:
    """Publishes for one service, a page at a time; not to be shared between threads.

    A broker that is short of memory or disk stops to read: the confirms fail to come, `publish` raises, and the page
    stays where it is, in the store.
    """

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._exchange = f"{service}.events"
        self._embedded = url.startswith("inproc:")
        self._connection: Connection | None = None
        self._confirms = Confirms()

    def publish(self, messages: Sequence[Message], stop: Event | None = None) -> None:
        """Returns when every message is safe: the broker confirmed it, or in one process every reader acknowledged it.

        Raises otherwise, and then some of the messages may have been published all the same.
        """
        if not messages:
            return
        try:
            channel = self._channel()
            for message in messages:
                self._send(channel, on_the_wire(channel, message), message.type)
            self._wait(self._connection, len(messages), stop)
        except BaseException:
            self.close()
            raise

    def _send(self, channel: Any, prepared: Any, key: str) -> None:
        """As `basic_publish` does, without its look at the socket before each message: one in `_wait` will do."""
        if self._embedded:
            channel.basic_publish(prepared, exchange=self._exchange, routing_key=key)
        else:
            channel.send_method(spec.Basic.Publish, "Bssbb", (0, self._exchange, key, MANDATORY, False), prepared)

    def close(self) -> None:
        """Give up the connection; the next `publish` makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            release(connection)

    def _channel(self) -> Any:
        if self._connection is None:
            self._connection = Connection(self._url, connect_timeout=CONNECT_SECONDS, heartbeat=0)
            channel = self._connection.default_channel
            self._confirms = Confirms()
            if not self._embedded:
                self._confirms.ask_for(channel)
        return self._connection.default_channel

    def _wait(self, connection: Any, count: int, stop: Event | None) -> None:
        if self._embedded:
            while not shared.transport.drained(self._url, self._exchange, 0.25):
                if stop is not None and stop.is_set():
                    raise Unavailable("relay.stopped", "stopped before all readers had acknowledged")
            return
        self._confirms.sent += count
        self._confirms.wait(connection)


class Confirms:
    """Counts publisher confirms: all numbers up to `_low` have arrived, `_early` ones beyond it too."""

    def __init__(self) -> None:
        self.sent = 0
        self._low = 0
        self._early: set[int] = set()
        self._fault: tuple[str, str, str] | None = None

    def ask_for(self, channel: Any) -> None:
        """From here on what is published on the channel is confirmed, and counted here."""
        channel.confirm_select()
        channel.events["basic_ack"].add(self.acknowledged)
        channel.events["basic_nack"].add(self.refused)
        channel.events["basic_return"].add(self.returned)

    def wait(self, connection: Any) -> None:
        """Until all that was `sent` is confirmed. `Unavailable` when it is not, or not in time."""
        ends = time.monotonic() + CONFIRM_SECONDS
        while not self.complete():
            if time.monotonic() > ends:
                raise Unavailable("broker.unavailable", "the broker did not confirm in time")
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)

    def acknowledged(self, number: int, multiple: bool) -> None:  # noqa: FBT001 - called by the client library
        if multiple:
            self._low = max(self._low, number)
            self._early = {tag for tag in self._early if tag > number}
        else:
            self._early.add(number)
        while self._low + 1 in self._early:
            self._low += 1
            self._early.discard(self._low)

    def refused(self, _number: int, _multiple: bool) -> None:  # noqa: FBT001 - as above
        self._fault = ("broker.refused", "the broker could not keep a message", "look at its memory and its disk")

    def returned(self, _error: object, exchange: str, routing_key: str, _message: object) -> None:
        """Nobody is bound and the alternate exchange is missing, too: the message is nowhere."""
        telemetry.logger("outbox").error("a message was returned", exchange=exchange, message_type=routing_key)
        self._fault = (
            "broker.unroutable",
            "a message reached no queue, not even that of what nobody hears",
            "declare the exchanges anew",
        )

    def complete(self) -> bool:
        """Whether all that was sent is confirmed; raises `Unavailable` when something was refused or returned."""
        if self._fault is not None:
            raise Unavailable(*self._fault)
        return self._low >= self.sent
