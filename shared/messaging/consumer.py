"""Reading the inbox queue of a service: batches by size or by a short pause, one multiple acknowledgement for each."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Event
from typing import Any

from kombu import Connection

from shared import telemetry
from shared.messaging.inbox import Context, Handler, Inbox
from shared.messaging.message import Message, off_the_wire
from shared.messaging.receiving import collect, consuming
from shared.messaging.topology import HEARTBEAT, bind, connected

PREFETCH = 500
BATCH = 250
RETRY_SECONDS = 1.0
FORGET_SECONDS = 3600.0
BEAT_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class Consumer(Inbox):
    """Hears for one service: reads its inbox queue, acts once, parks what fails.

    Several processes may run it: the broker lets one of them read, the others stand by. Never more than `PREFETCH`
    messages are in memory, however many wait at the broker.
    """

    def __init__(self, context: Context, handlers: Mapping[str, Handler], sources: Iterable[str] = ()) -> None:
        super().__init__(context, handlers, sources)
        self.bound = Event()

    def run(self, stop: Event) -> None:
        """Read until `stop`. Raises when the broker goes away; what was not done comes again.

        `bound` is set as soon as nothing that is published any more can pass this service by.
        """
        with connected(self._context.settings.broker, heartbeat=HEARTBEAT) as connection:
            for exchange, key in self._heard:
                bind(connection, self._name, exchange, key)
            self.bound.set()
            received = consuming(connection, self._name, PREFETCH)
            beat = _Beat(connection)
            next_retry = next_forgetting = 0.0
            while not stop.is_set():
                collect(connection, received, BATCH)
                if received:
                    self._take(connection, received, beat, stop)
                if time.monotonic() >= next_retry:
                    self._tried(lambda: self.retry(between=beat))
                    next_retry = time.monotonic() + RETRY_SECONDS
                if time.monotonic() >= next_forgetting:
                    self._tried(self.forget)
                    next_forgetting = time.monotonic() + FORGET_SECONDS

    def _take(self, connection: Connection, received: list[Any], beat: "_Beat", stop: Event) -> None:
        """Handle and acknowledge what was received. While the database is away the messages are held, not returned."""
        batch = received[:BATCH]
        messages = [message for message in map(self._understood, batch) if message is not None]
        pause = FIRST_PAUSE
        while True:
            try:
                self.handle(messages, beat)
                break
            except connection.connection_errors:
                raise
            except Exception as error:  # noqa: BLE001
                telemetry.logger("inbox").error("messages are held", queue=self._name, **telemetry.describe(error))
            if stop.is_set():
                return
            with suppress(TimeoutError):
                connection.drain_events(timeout=pause)
            connection.heartbeat_check()
            pause = min(pause * 2, LONGEST_PAUSE)
        batch[-1].channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        del received[: len(batch)]

    def _tried(self, action: Callable[[], object]) -> None:
        """Do what can wait: a database that is away just now is no reason to give back what was received."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            telemetry.logger("inbox").warning("put off", queue=self._name, **telemetry.describe(error))

    def _understood(self, raw: Any) -> Message | None:
        try:
            return off_the_wire(raw)
        except (ValueError, KeyError, TypeError):
            telemetry.logger("inbox").error("a message cannot be read", queue=self._name)
            return None


class _Beat:
    """Keeps a connection alive while handlers take long: answers the broker's heartbeats, once a second at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = time.monotonic() + BEAT_SECONDS

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=0.001)
        self._connection.heartbeat_check()
        self._next = time.monotonic() + BEAT_SECONDS
