"""What those outside send: letters are handed on, and acknowledged once they were dealt with."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import Any, Self

from kombu import Exchange

from shared import telemetry
from shared.messaging.receiving import collect, consuming
from shared.messaging.topology import HEARTBEAT, bind, connected, own_queue, provide_exchange, provide_own_queue

ATTEMPTS = 5
HELD = 40
AT_ONCE = 4
GLANCE = 0.005

Handle = Callable[[bytes, Mapping[str, Any]], None]


def listen(  # noqa: PLR0917 - from where, what, to whom, how long
    url: str,
    exchange: str,
    queue: str,
    keys: Iterable[str],
    handler: Handle,
    stop: Event,
) -> None:
    """Hand every letter in `queue` to `handler(body, properties)` until `stop`; raises when the broker goes away.

    `properties` are those of AMQP (message_id, correlation_id, reply_to, user_id, content_type, headers). RabbitMQ
    vouches for `user_id`; the broker inside the process does not. The letters of one `user_id` are dealt with in their
    order, those of different ones side by side. A letter is acknowledged once the handler is through; one that fails
    five times goes to the dead letters.
    """
    with connected(url, heartbeat=HEARTBEAT) as connection:
        provide_exchange(connection, Exchange(exchange, type="topic", durable=True))
        service = queue.partition(".")[0]
        provide_own_queue(connection, own_queue(queue, service), service)
        for key in keys:
            bind(connection, queue, exchange, key)
        received = consuming(connection, queue, HELD)
        with _Senders(handler, stop) as senders:
            while not stop.is_set():
                collect(connection, received, HELD, GLANCE if senders.busy else 0.5)
                while received:
                    senders.take(received.pop(0))
                senders.settle()
        senders.settle()


class _Senders:
    """Deals with letters in threads; everything about the connection stays with whoever calls."""

    def __init__(self, handler: Handle, stop: Event) -> None:
        self._handler = handler
        self._stop = stop
        self._ended = Event()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._waiting: dict[str, deque[Any]] = {}
        self._lock = Lock()
        self._through: SimpleQueue[tuple[Any, bool]] = SimpleQueue()
        self._open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was begun is finished; what was not begun comes again to whoever listens next."""
        self._ended.set()
        self._pool.shutdown()

    @property
    def busy(self) -> bool:
        return self._open > 0

    def take(self, letter: Any) -> None:
        sender = str(letter.properties.get("user_id") or "")
        self._open += 1
        with self._lock:
            if sender in self._waiting:
                self._waiting[sender].append(letter)
                return
            self._waiting[sender] = deque([letter])
        self._pool.submit(self._deal_with, sender)

    def settle(self) -> None:
        """Acknowledge what is through."""
        while True:
            try:
                letter, delivered = self._through.get_nowait()
            except Empty:
                return
            self._open -= 1
            if delivered:
                letter.ack()
            else:
                letter.reject(requeue=self._stop.is_set())

    def _deal_with(self, sender: str) -> None:
        while (letter := self._next(sender)) is not None:
            self._through.put((letter, _delivered(letter, self._handler, self._stop)))

    def _next(self, sender: str) -> Any:
        with self._lock:
            waiting = self._waiting[sender]
            if waiting and not self._ended.is_set():
                return waiting.popleft()
            del self._waiting[sender]
            return None


def _delivered(letter: Any, handler: Handle, stop: Event) -> bool:
    body = letter.body.encode() if isinstance(letter.body, str) else bytes(letter.body)
    properties = {**letter.properties, "headers": dict(letter.headers or {})}
    properties["routing_key"] = letter.delivery_info["routing_key"]
    for attempt in range(ATTEMPTS):
        try:
            handler(body, properties)
        except Exception as error:  # noqa: BLE001
            telemetry.logger("listen").error("a letter failed", attempt=attempt + 1, **telemetry.describe(error))
            if stop.wait(min(0.2 * 3**attempt, 10)):
                return False
        else:
            return True
    return False
