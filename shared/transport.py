"""The broker inside the process: kombu's transport `inproc://`, for the default start and for tests.

It keeps what the services rely on: topic and direct exchanges, acknowledgement, prefetch counted per queue, the
return of unroutable mandatory messages, and redelivery of what a closed channel had not acknowledged, to the queue it
came from. Consumers are woken, they do not poll. Nothing survives the process, and nobody inside it is kept from any
queue: the store is the source of delivery, and `drained` tells the relay when all it published has been acknowledged.
Queue arguments such as quorum, limits and expiry have no meaning here. `inproc://name` is a broker of its own.
"""

import itertools
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, virtual

Raw = dict[str, Any]


class Broker:
    """Queues of one name, and who waits for them. Safe under threads and under green threads."""

    def __init__(self) -> None:
        self.state = virtual.BrokerState()
        self.queues: dict[str, deque[Raw]] = {}
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._open: Counter[str] = Counter()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._tags = itertools.count(1)

    def put(self, queue: str, message: Raw) -> None:
        properties = message["properties"]
        info = {**properties["delivery_info"], "queue": queue}
        own = {**properties, "delivery_info": info, "delivery_tag": next(self._tags)}
        with self.lock:
            self.queues.setdefault(queue, deque()).append({**message, "properties": own})
            self._open[str(info.get("exchange") or "")] += 1
        self.wake(queue)

    def get(self, queue: str) -> Raw:
        with self.lock:
            waiting = self.queues.get(queue)
            if not waiting:
                raise Empty
            return waiting.popleft()

    def put_back(self, message: Raw) -> None:
        queue = message["properties"]["delivery_info"]["queue"]
        with self.lock:
            self.queues.setdefault(queue, deque()).appendleft({**message, "redelivered": True})
        self.wake(queue)

    def settle(self, message: Raw) -> None:
        """The message is acknowledged or gone."""
        info = message["properties"]["delivery_info"]
        with self._changed:
            self._open[str(info.get("exchange") or "")] -= 1
            self._changed.notify_all()
        self.wake(info["queue"])

    def purge(self, queue: str) -> int:
        with self.lock:
            gone = list(self.queues.get(queue, ()))
            self.queues[queue] = deque()
        for message in gone:
            self.settle(message)
        return len(gone)

    def delete(self, queue: str) -> None:
        self.purge(queue)
        with self.lock:
            self.queues.pop(queue, None)

    def drained(self, exchange: str, timeout: float) -> bool:
        """Wait until all that was published to `exchange` is acknowledged by every queue that got it."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open[exchange] <= 0, timeout)

    def wake(self, queue: str) -> None:
        with self.lock:
            waiting = list(self._waiting.get(queue, ()))
        for event in waiting:
            event.set()

    def watch(self, queues: set[str], event: threading.Event) -> None:
        with self.lock:
            for queue in queues:
                self._waiting.setdefault(queue, set()).add(event)

    def unwatch(self, queues: set[str], event: threading.Event) -> None:
        with self.lock:
            for queue in queues:
                watching = self._waiting.get(queue, set())
                watching.discard(event)
                if not watching:
                    self._waiting.pop(queue, None)


_brokers: dict[str, Broker] = {}
_brokers_lock = threading.Lock()


def broker(name: str = "") -> Broker:
    """The broker `inproc://<name>` of this process."""
    with _brokers_lock:
        return _brokers.setdefault(name or "localhost", Broker())


def drained(url: str, exchange: str, timeout: float) -> bool:
    """`Broker.drained` of the broker at `url`."""
    return broker(url.partition("://")[2].strip("/")).drained(exchange, timeout)


class QoS:
    """What a channel was given and has not acknowledged."""

    def __init__(self, channel: "Channel", prefetch_count: int = 0) -> None:
        self.channel = channel
        self.prefetch_count = prefetch_count
        self._given: OrderedDict[int, Any] = OrderedDict()
        self._per_queue: Counter[str] = Counter()

    def has_room(self, queue: str) -> bool:
        return not self.prefetch_count or self._per_queue[queue] < self.prefetch_count

    def can_consume(self) -> bool:
        return True

    def append(self, message: Any, delivery_tag: int) -> None:
        self._given[delivery_tag] = message
        self._per_queue[message.delivery_info["queue"]] += 1

    def ack(self, delivery_tag: int) -> None:
        message = self._taken(delivery_tag)
        if message is not None:
            self.channel.broker.settle(message.raw)

    def ack_until(self, delivery_tag: int) -> None:
        for tag in [tag for tag in self._given if tag <= delivery_tag]:
            self.ack(tag)

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        message = self._taken(delivery_tag)
        if message is None:
            return
        if requeue:
            self.channel.broker.put_back(message.raw)
        else:
            self.channel.broker.settle(message.raw)

    def restore_unacked_once(self, stderr: object = None) -> None:
        """The channel ends: what it had not acknowledged is delivered again, in the old order."""
        del stderr
        for tag in reversed(list(self._given)):
            self.reject(tag, requeue=True)

    def _taken(self, delivery_tag: int) -> Any:
        message = self._given.pop(delivery_tag, None)
        if message is not None:
            self._per_queue[message.delivery_info["queue"]] -= 1
        return message


class Message(virtual.Message):
    """A delivered message; `raw` is what goes back if it is not acknowledged."""

    def __init__(self, payload: Raw, channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel=channel, **kwargs)
        self.raw = payload


class Channel(virtual.Channel):
    QoS = QoS
    Message = Message
    body_encoding = None
    supports_fanout = False

    @property
    def broker(self) -> Broker:
        found: Broker = self._broker
        return found

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        self._broker = connection.broker
        super().__init__(connection, **kwargs)
        self.events: dict[str, set[Callable[..., None]]] = {}

    def prepare_message(self, body: Any, *args: Any, **kwargs: Any) -> Raw:
        message: Raw = super().prepare_message(body, *args, **kwargs)
        properties = message["properties"]
        properties.setdefault("content_type", message["content-type"])
        properties.setdefault("content_encoding", message["content-encoding"])
        return message

    def basic_publish(
        self,
        message: Raw,
        exchange: str,
        routing_key: str,
        mandatory: bool = False,  # noqa: FBT001, FBT002 - kombu's signature
        **kwargs: Any,
    ) -> None:
        with self.broker.lock:
            targets = self._targets(exchange, routing_key)
        if not targets and mandatory:
            for returned in self.events.get("basic_return", ()):
                returned(None, exchange, routing_key, message)
        self._inplace_augment_message(message, exchange, routing_key)
        for queue in targets:
            self.broker.put(queue, message)

    def _targets(self, exchange: str, routing_key: str) -> list[str]:
        if not exchange:
            return [routing_key] if routing_key in self.broker.queues else []
        if exchange not in self.state.exchanges:
            return []
        return sorted(self._lookup(exchange, routing_key))

    def exchange_declare(self, *args: Any, **kwargs: Any) -> None:
        with self.broker.lock:
            super().exchange_declare(*args, **kwargs)

    def queue_bind(self, *args: Any, **kwargs: Any) -> None:
        with self.broker.lock:
            super().queue_bind(*args, **kwargs)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        with self.broker.lock:
            if if_empty and self._size(queue):
                return
            for exchange, routing_key, _ in list(self.state.queue_bindings(queue)):
                self.queue_unbind(queue, exchange, routing_key)
            self.state.queue_bindings_delete(queue)
        self.broker.delete(queue)

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> None:
        super().basic_consume(queue, *args, **kwargs)
        self.broker.wake(queue)

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        if multiple:
            self.qos.ack_until(delivery_tag)
        else:
            self.qos.ack(delivery_tag)

    def _get_and_deliver(self, queue: str, callback: Callable[[Raw, str], None]) -> None:
        if not self.qos.has_room(queue):
            raise Empty
        callback(self.broker.get(queue), queue)

    def _get(self, queue: str, timeout: float | None = None) -> Raw:
        return self.broker.get(queue)

    def _put(self, queue: str, message: Raw, **kwargs: Any) -> None:
        self.broker.put(queue, message)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return queue in self.broker.queues

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        with self.broker.lock:
            self.broker.queues.setdefault(queue, deque())

    def _size(self, queue: str) -> int:
        return len(self.broker.queues.get(queue, ()))

    def _purge(self, queue: str) -> int:
        return self.broker.purge(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.broker.delete(queue)


class Transport(virtual.Transport):
    Channel = Channel
    driver_type = "inproc"
    driver_name = "inproc"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.broker = broker(client.hostname or "")
        super().__init__(client, **kwargs)
        self.state = self.broker.state

    def driver_version(self) -> str:
        return "1"

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {"hostname": None, "port": None}

    def drain_events(self, connection: object, timeout: float | None = None) -> None:
        """Deliver one message, or raise `TimeoutError` when none came in time."""
        if self._delivered_one():
            return
        ends = None if timeout is None else time.monotonic() + timeout
        queues = {queue for channel in self.channels for queue in channel._active_queues}  # noqa: SLF001 - channel and transport are one
        arrived = threading.Event()
        self.broker.watch(queues, arrived)
        try:
            while not self._delivered_one():
                left = None if ends is None else ends - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                arrived.wait(left)
                arrived.clear()
        finally:
            self.broker.unwatch(queues, arrived)

    def _delivered_one(self) -> bool:
        try:
            self.cycle.get(self._deliver)
        except Empty:
            return False
        return True


def register() -> None:
    """Make `inproc://` known to kombu; twice is as good as once."""
    TRANSPORT_ALIASES["inproc"] = f"{__name__}:Transport"


register()
