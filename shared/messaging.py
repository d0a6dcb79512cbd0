"""Facts on their way between services, and letters to partners: exchanges, inbox, retries, mailboxes.

Each service publishes to its own topic exchange `<service>.events` (routing key = message type) and reads its own
quorum queue `<service>.inbox`. Delivery is at least once; the inbox table makes the second time harmless, because a
message is noted in the transaction that acts on it. Within one stream the order is kept: while a message waits in
`parked`, later ones of its stream wait behind it. Messages carry ids and states, never personal data; who may write
to an exchange is the broker's rights (`deploy/rabbitmq`), and whoever holds such a right can invent messages there.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from itertools import groupby
from threading import Event
from typing import Any, Protocol

import orjson
from kombu import Connection, Exchange, Queue
from kombu import Consumer as KombuConsumer
from sqlalchemy import Connection as Transaction
from sqlalchemy import text

import shared.transport
from shared import telemetry
from shared.clock import Clock
from shared.config import Settings
from shared.database import Database
from shared.domain import Json, Recorded
from shared.errors import HandschlagError, Unavailable
from shared.eventstore.inbox import (
    Parked,
    first_times,
    forget_before,
    park,
    parked,
    unpark,
    waiting_streams,
)
from shared.schema import parse

RPC_EXCHANGE = "nameko-rpc"
UNROUTED = "handschlag.unrouted"
PARTNERS = "handschlag.partners"
DELIVERY_LIMIT = 20
INBOX_DELIVERY_LIMIT = 100
PREFETCH = 200
BATCH = 100
CONFIRM_SECONDS = 30.0
CONNECT_SECONDS = 3.0
HEARTBEAT = 30
LONGEST_DELAY = timedelta(hours=1)
NOTES_KEPT = timedelta(days=30)
RETRY_SECONDS = 1.0
CLEAN_SECONDS = 3600.0
LETTER_ATTEMPTS = 5
BEHIND = "inbox.behind_another"

shared.transport.register()


@dataclass(frozen=True, kw_only=True)
class Message:
    """One fact for others. `id` is the event's; `key` names the stream within which the order is kept."""

    id: str
    type: str
    agency: str
    data: Json
    trace: str = ""
    key: str = ""


def message_of(service: str, record: Recorded, data: Json) -> Message:
    """The message about an event of `service`: named like it, known by its id, in the order of its stream."""
    name = f"{service}.{type(record.event).__name__}.v{record.event.version}"
    return Message(
        id=record.event_id, type=name, agency=record.agency, data=data, trace=record.trace, key=record.stream
    )


@dataclass(frozen=True)
class Handler:
    """What a message sets off.

    `cls` names the fields that are read; others are ignored. A transactional `function(context, tx, seen, message)`
    acts in the transaction that notes the message; any other `function(context, seen, message)` runs before it is
    noted, may therefore run again, and must be harmless the second time.
    """

    cls: type
    function: Callable[..., object]
    transactional: bool = True


class Context(Protocol):
    """What is needed of a service here."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...


def inbox_queue(service: str) -> Queue:
    """The queue of what a service hears."""
    return _quorum(f"{service}.inbox", service)


def events_exchange(service: str) -> Exchange:
    """The exchange of what a service tells; what nobody wants there is kept in `handschlag.unrouted`."""
    return Exchange(f"{service}.events", type="topic", durable=True, arguments={"alternate-exchange": UNROUTED})


def set_up(url: str, service: str, sources: Iterable[str] = ()) -> None:
    """Make sure that exchanges, inbox queues and dead letters exist. What is there is left as it is.

    Where the broker's definitions were loaded, a service makes only what bears its own name.
    """
    with _connection(url) as connection:
        unrouted = Exchange(UNROUTED, type="fanout", durable=True)
        if _provide_exchange(connection, unrouted):
            _provide_queue(connection, Queue(UNROUTED, queue_arguments={"x-queue-type": "quorum"}))
            _bind(connection, UNROUTED, UNROUTED, "")
        _provide_exchange(connection, Exchange(RPC_EXCHANGE, type="topic", durable=True))
        for name in sorted({service, *sources}):
            _provide_exchange(connection, events_exchange(name))
        _provide_own_queue(connection, inbox_queue(service), service)


def hearing(service: str, handlers: Mapping[str, Handler], sources: Iterable[str] = ()) -> list[tuple[str, str]]:
    """What a service hears, as (exchange, routing key): those are bound to its inbox queue."""
    told_by = sorted({*_named(handlers), *sources} - {service})
    keys = {source: [name for name in handlers if name.partition(".")[0] in (source, "*", "#")] for source in told_by}
    return [(f"{source}.events", key) for source in told_by for key in keys[source]]


def bind_inbox(url: str, service: str, handlers: Mapping[str, Handler], sources: Iterable[str] = ()) -> None:
    """Bind before anybody starts: a message that is published before its hearer's first start is not lost then."""
    heard = hearing(service, handlers, sources)
    set_up(url, service, {exchange.removesuffix(".events") for exchange, _ in heard})
    with _connection(url) as connection:
        for exchange, key in heard:
            _bind(connection, f"{service}.inbox", exchange, key)


class Publisher:
    """Publishes for one service, a page at a time; not to be shared between threads."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._exchange = f"{service}.events"
        self._embedded = url.startswith("inproc:")
        self._connection: Connection | None = None
        self._confirms = _Confirms()

    def publish(self, messages: Sequence[Message], stop: Event | None = None) -> None:
        """Returns when every message is safe: the broker confirmed it, or in one process every reader acknowledged it.

        Raises otherwise, and then some of the messages may have been published all the same.
        """
        if not messages:
            return
        try:
            channel = self._channel()
            for message in messages:
                channel.basic_publish(_on_the_wire(channel, message), exchange=self._exchange, routing_key=message.type)
            self._wait(self._connection, len(messages), stop)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up the connection; the next `publish` makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _release(connection)

    def _channel(self) -> Any:
        if self._connection is None:
            self._connection = Connection(self._url, connect_timeout=CONNECT_SECONDS, heartbeat=0)
            channel = self._connection.default_channel
            self._confirms = _Confirms()
            if not self._embedded:
                channel.confirm_select()
                channel.events["basic_ack"].add(self._confirms.acknowledged)
                channel.events["basic_nack"].add(self._confirms.refused)
        return self._connection.default_channel

    def _wait(self, connection: Any, count: int, stop: Event | None) -> None:
        if self._embedded:
            while not shared.transport.drained(self._url, self._exchange, 0.25):
                if stop is not None and stop.is_set():
                    raise Unavailable("relay.stopped", "stopped before all readers had acknowledged")
            return
        self._confirms.sent += count
        ends = time.monotonic() + CONFIRM_SECONDS
        while not self._confirms.complete():
            if time.monotonic() > ends:
                raise Unavailable("broker.unavailable", "the broker did not confirm in time")
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)


class _Confirms:
    """Counts publisher confirms: all numbers up to `_low` have arrived, `_early` ones beyond it too."""

    def __init__(self) -> None:
        self.sent = 0
        self._low = 0
        self._early: set[int] = set()
        self._refused = False

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
        self._refused = True

    def complete(self) -> bool:
        if self._refused:
            raise Unavailable("broker.refused", "the broker could not keep a message")
        return self._low >= self.sent


class Consumer:
    """Hears for one service: reads its inbox queue, acts once, parks what fails."""

    def __init__(self, context: Context, handlers: Mapping[str, Handler], sources: Iterable[str] = ()) -> None:
        self._context = context
        self._handlers = dict(handlers)
        self._patterns = [name for name in handlers if "*" in name or "#" in name]
        self._heard = hearing(context.name, handlers, sources)
        self.bound = Event()
        self._name = f"{context.name}.inbox"

    @property
    def sources(self) -> list[str]:
        """The services whose messages are heard."""
        return sorted({exchange.removesuffix(".events") for exchange, _ in self._heard})

    def run(self, stop: Event) -> None:
        """Read until `stop`. Raises when the broker goes away; what was not done comes again.

        `bound` is set as soon as nothing that is published any more can pass this service by.
        """
        with _connection(self._context.settings.broker, heartbeat=HEARTBEAT) as connection:
            for exchange, key in self._heard:
                _bind(connection, self._name, exchange, key)
            self.bound.set()
            received = _consuming(connection, self._name, PREFETCH)
            next_retry = next_cleaning = 0.0
            while not stop.is_set():
                _collect(connection, received)
                if received:
                    self._take(connection, received, stop)
                if time.monotonic() >= next_retry:
                    self._tried(self.retry)
                    next_retry = time.monotonic() + RETRY_SECONDS
                if time.monotonic() >= next_cleaning:
                    self._tried(self._forget)
                    next_cleaning = time.monotonic() + CLEAN_SECONDS

    def handle(self, messages: Sequence[Message]) -> None:
        """Act on each message that is new, in order. On return all of them are noted or parked."""
        known = [message for message in messages if self._handler(message.type) is not None]
        for transactional, group in groupby(known, lambda m: self._required(m.type).transactional):
            batch = list(group)
            if not transactional:
                for message in batch:
                    self._one(message)
                continue
            try:
                self._together(batch)
            except Exception:  # noqa: BLE001
                for message in batch:
                    self._one(message)

    def parked(self, limit: int = 100) -> list[Parked]:
        """What waits, in its order."""
        with self._context.database.read() as tx:
            return parked(tx, self._name, limit=limit)

    def retry(self, *, now: bool = False) -> int:
        """Try again what is due, or with `now` all that is first in its stream; how many could be handled."""
        handled, blocked = 0, set[str]()
        moment = self._context.clock.now()
        for waiting in self.parked(limit=10_000):
            due = now or waiting.code == BEHIND or waiting.next_attempt_at <= moment
            if waiting.stream in blocked or not due or not self._retried(waiting):
                blocked.add(waiting.stream)
            else:
                handled += 1
        return handled

    def give_up(self, message_id: str) -> bool:
        """Somebody decided that a parked message is never to be handled; whether it was there."""
        with self._context.database.write() as tx:
            return unpark(tx, self._name, message_id)

    def _take(self, connection: Connection, received: list[Any], stop: Event) -> None:
        """Handle and acknowledge what was received. While the database is away the messages are held, not returned."""
        batch = list(received)
        messages = [message for message in map(self._understood, batch) if message is not None]
        pause = 0.5
        while True:
            try:
                self.handle(messages)
                break
            except Exception as error:  # noqa: BLE001
                telemetry.logger("inbox").error("messages are held", queue=self._name, **telemetry.describe(error))
            if stop.is_set():
                return
            with suppress(TimeoutError):
                connection.drain_events(timeout=pause)
            connection.heartbeat_check()
            pause = min(pause * 2, 10)
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
            return _off_the_wire(raw)
        except (ValueError, KeyError, TypeError):
            telemetry.logger("inbox").error("a message cannot be read", queue=self._name)
            return None

    def _forget(self) -> None:
        before = self._context.clock.today() - NOTES_KEPT
        while True:
            with self._context.database.write() as tx:
                if not forget_before(tx, before):
                    return

    def _together(self, batch: Sequence[Message]) -> None:
        with self._context.database.write() as tx:
            waiting = waiting_streams(tx, self._name, {_stream(message) for message in batch})
            free = [message for message in batch if _stream(message) not in waiting]
            fresh = first_times(tx, self._name, [message.id for message in free], self._context.clock.today())
            for message in batch:
                if _stream(message) in waiting:
                    self._park(tx, message, BEHIND, 0)
                elif message.id in fresh:
                    fresh.discard(message.id)
                    self._act(message, tx)

    def _one(self, message: Message) -> None:
        try:
            self._attempt(message)
        except Exception as error:  # noqa: BLE001
            self._put_aside(message, error, 1)

    def _attempt(self, message: Message) -> None:
        """One message by itself: acted on and noted, or parked behind an earlier one, or nothing if known."""
        if self._required(message.type).transactional:
            self._together([message])
            return
        with self._context.database.read() as tx:
            if waiting_streams(tx, self._name, {_stream(message)}):
                behind, known = True, False
            else:
                behind, known = False, _is_noted(tx, self._name, message.id)
        if behind:
            with self._context.database.write() as tx:
                self._park(tx, message, BEHIND, 0)
        elif not known:
            self._act(message, None)
            with self._context.database.write() as tx:
                first_times(tx, self._name, [message.id], self._context.clock.today())

    def _retried(self, waiting: Parked) -> bool:
        message = Message(**waiting.body)
        try:
            if self._required(message.type).transactional:
                with self._context.database.write() as tx:
                    self._act_if_new(message, tx)
                    unpark(tx, self._name, message.id)
            else:
                self._act(message, None)
                with self._context.database.write() as tx:
                    first_times(tx, self._name, [message.id], self._context.clock.today())
                    unpark(tx, self._name, message.id)
        except Exception as error:  # noqa: BLE001
            self._put_aside(message, error, waiting.attempts + 1)
            return False
        return True

    def _act_if_new(self, message: Message, tx: Transaction) -> None:
        if first_times(tx, self._name, [message.id], self._context.clock.today()):
            self._act(message, tx)

    def _act(self, message: Message, tx: Transaction | None) -> None:
        handler = self._required(message.type)
        with telemetry.continue_trace(
            message.trace, f"hear {message.type}", service=self._context.name, message_type=message.type
        ):
            seen: object = parse(handler.cls, _read_fields(handler.cls, message.data), code="message.invalid")
            if tx is None:
                handler.function(self._context, seen, message)
            else:
                handler.function(self._context, tx, seen, message)

    def _put_aside(self, message: Message, error: Exception, attempts: int) -> None:
        with self._context.database.write() as tx:
            self._park(tx, message, _code(error), attempts)
        telemetry.logger("inbox").error(
            "a message waits",
            message_id=message.id,
            message_type=message.type,
            attempt=attempts,
            queue=self._name,
            **telemetry.describe(error),
        )

    def _park(self, tx: Transaction, message: Message, code: str, attempts: int) -> None:
        now = self._context.clock.now()
        park(
            tx,
            consumer=self._name,
            message_id=message.id,
            stream=_stream(message),
            type=message.type,
            agency=message.agency,
            body={field.name: getattr(message, field.name) for field in fields(Message)},
            code=code,
            now=now,
            next_attempt_at=now + _delay(attempts),
            attempts=attempts,
        )

    def _handler(self, message_type: str) -> Handler | None:
        if message_type in self._handlers:
            return self._handlers[message_type]
        return next((self._handlers[name] for name in self._patterns if matches(name, message_type)), None)

    def _required(self, message_type: str) -> Handler:
        handler = self._handler(message_type)
        if handler is None:
            raise Unavailable("inbox.no_handler", "nobody here deals with this type any more")
        return handler


class Mailbox:
    """Letters into queues of others, `partner.<id>` or `client.<id>`. What was not received yet can be taken back."""

    def __init__(self, url: str, exchange: str = PARTNERS) -> None:
        self._url = url
        self._exchange = exchange

    def declare(self, queue: str) -> None:
        """Make sure that the partner's queue is there and gets what is put under its name."""
        with _connection(self._url) as connection:
            _provide_exchange(connection, Exchange(self._exchange, type="direct", durable=True))
            letters = Queue(queue, queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT})
            if _provide_queue(connection, letters):
                _bind(connection, queue, self._exchange, queue)

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
        with _connection(self._url, confirmed=True) as connection:
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
        with _connection(self._url) as connection:
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
    with _connection(url, heartbeat=HEARTBEAT) as connection:
        _provide_exchange(connection, Exchange(exchange, type="topic", durable=True))
        service = queue.partition(".")[0]
        _provide_own_queue(connection, _quorum(queue, service), service)
        for key in keys:
            _bind(connection, queue, exchange, key)
        received = _consuming(connection, queue, 20)
        while not stop.is_set():
            _collect(connection, received)
            while received:
                letter = received.pop(0)
                if _delivered(letter, handler, stop):
                    letter.ack()
                else:
                    letter.reject(requeue=stop.is_set())


def matches(pattern: str, key: str) -> bool:
    """Whether a topic pattern (`*` one word, `#` any number of words) covers a routing key."""
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[start:]) for start in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])


@contextmanager
def _connection(url: str, *, heartbeat: int = 0, confirmed: bool = False) -> Iterator[Connection]:
    options = {"confirm_publish": confirmed}
    connection = Connection(url, connect_timeout=CONNECT_SECONDS, heartbeat=heartbeat, transport_options=options)
    connection.connect()
    try:
        yield connection
    finally:
        _release(connection)


def _release(connection: Connection) -> None:
    with suppress(Exception):
        connection.release()


def _provide_exchange(connection: Connection, exchange: Exchange) -> bool:
    """Whether it had to be made."""
    return _provide(
        connection,
        lambda channel: channel.exchange_declare(
            exchange=exchange.name, type=exchange.type, durable=True, auto_delete=False, passive=True
        ),
        lambda channel: channel.exchange_declare(
            exchange=exchange.name,
            type=exchange.type,
            durable=True,
            auto_delete=False,
            arguments=exchange.arguments,
        ),
    )


def _provide_queue(connection: Connection, queue: Queue) -> bool:
    """Whether it had to be made."""
    return _provide(
        connection,
        lambda channel: channel.queue_declare(queue=queue.name, passive=True),
        lambda channel: channel.queue_declare(
            queue=queue.name, durable=True, auto_delete=False, arguments=queue.queue_arguments
        ),
    )


def _provide(connection: Connection, look: Callable[[Any], object], make: Callable[[Any], object]) -> bool:
    channel = connection.channel()
    try:
        look(channel)
    except connection.channel_errors as error:
        if "404" not in str(getattr(error, "code", "")) and "NOT_FOUND" not in str(error):
            raise
    else:
        channel.close()
        return False
    channel = connection.channel()
    make(channel)
    channel.close()
    return True


def _bind(connection: Connection, queue: str, exchange: str, key: str) -> None:
    channel = connection.channel()
    channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)
    channel.close()


def _quorum(name: str, service: str) -> Queue:
    """A queue of a service. One process reads at a time, or the order would be lost."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": INBOX_DELIVERY_LIMIT,
        "x-dead-letter-exchange": f"{service}.dead",
        "x-single-active-consumer": True,
    }
    return Queue(name, durable=True, queue_arguments=arguments)


def _provide_own_queue(connection: Connection, queue: Queue, service: str) -> None:
    dead = f"{service}.dead"
    if _provide_exchange(connection, Exchange(dead, type="fanout", durable=True)):
        _provide_queue(connection, Queue(dead, queue_arguments={"x-queue-type": "quorum"}))
        _bind(connection, dead, dead, "")
    _provide_queue(connection, queue)


def _consuming(connection: Connection, queue: str, prefetch: int) -> list[Any]:
    """Start to consume; what arrives is appended to the list that is returned."""
    received: list[Any] = []
    consumer = KombuConsumer(
        connection.channel(), [Queue(queue, no_declare=True)], on_message=received.append, auto_declare=False
    )
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    return received


def _collect(connection: Connection, received: list[Any]) -> None:
    """Wait for a message, then take what else is there, up to a batch."""
    at_hand = 0 if connection.transport_cls == "inproc" else 0.002
    with suppress(TimeoutError):
        if not received:
            connection.drain_events(timeout=0.5)
        while len(received) < BATCH:
            connection.drain_events(timeout=at_hand)
    connection.heartbeat_check()


def _on_the_wire(channel: Any, message: Message) -> Any:
    headers = {"agency": message.agency, "traceparent": message.trace, "stream": message.key}
    properties = {"message_id": message.id, "type": message.type, "delivery_mode": 2}
    return channel.prepare_message(
        orjson.dumps(message.data).decode(),
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties=properties,
    )


def _off_the_wire(raw: Any) -> Message:
    headers = raw.headers or {}
    body = raw.body if isinstance(raw.body, (str, bytes)) else bytes(raw.body)
    return Message(
        id=str(raw.properties["message_id"]),
        type=str(raw.delivery_info["routing_key"]),
        agency=str(headers.get("agency", "")),
        data=orjson.loads(body),
        trace=str(headers.get("traceparent", "")),
        key=str(headers.get("stream", "")),
    )


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


def _named(handlers: Mapping[str, Handler]) -> set[str]:
    first_words = {name.partition(".")[0] for name in handlers}
    return first_words - {"*", "#"}


def _stream(message: Message) -> str:
    return message.key or message.id


def _is_noted(tx: Transaction, consumer: str, message_id: str) -> bool:
    statement = text("select 1 from inbox where consumer = :consumer and message_id = :message_id")
    return tx.execute(statement, {"consumer": consumer, "message_id": message_id}).scalar() is not None


def _read_fields(cls: type, data: Json) -> Json:
    """The fields that `cls` declares; a publisher may add others at any time."""
    return {field.name: data[field.name] for field in fields(cls) if field.name in data}


def _code(error: Exception) -> str:
    return error.code if isinstance(error, HandschlagError) else f"internal.{type(error).__name__}"


def _delay(attempts: int) -> timedelta:
    """None at first for what waits behind another; then 2, 4, 8 seconds up to an hour."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), LONGEST_DELAY) if attempts else timedelta(0)
