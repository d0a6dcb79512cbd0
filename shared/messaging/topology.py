"""Exchanges, queues and bindings: who hears whom. What is there is left as it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu import Connection, Exchange, Queue

import shared.transport

RPC_EXCHANGE = "nameko-rpc"
UNROUTED = "handschlag.unrouted"
UNROUTED_KEPT = 10_000
PARTNERS = "handschlag.partners"
DELIVERY_LIMIT = 20
INBOX_DELIVERY_LIMIT = 100
CONNECT_SECONDS = 3.0
HEARTBEAT = 30

shared.transport.register()


def inbox_queue(service: str) -> Queue:
    """The queue of what a service hears."""
    return own_queue(f"{service}.inbox", service)


def own_queue(name: str, service: str) -> Queue:
    """A queue of a service. One process reads at a time, or the order would be lost."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": INBOX_DELIVERY_LIMIT,
        "x-dead-letter-exchange": f"{service}.dead",
        "x-single-active-consumer": True,
    }
    return Queue(name, durable=True, queue_arguments=arguments)


def unrouted_queue() -> Queue:
    """The newest of what nobody hears, for whoever looks why. A broker does not fill its disk with it: all of it stands
    in the stores.
    """
    return Queue(UNROUTED, durable=True, queue_arguments={"x-queue-type": "quorum", "x-max-length": UNROUTED_KEPT})


def events_exchange(service: str) -> Exchange:
    """The exchange of what a service tells; what nobody wants there is kept in `handschlag.unrouted`."""
    return Exchange(f"{service}.events", type="topic", durable=True, arguments={"alternate-exchange": UNROUTED})


def set_up(url: str, service: str, sources: Iterable[str] = ()) -> None:
    """Make sure that exchanges, inbox queues and dead letters exist.

    Where the broker's definitions were loaded, a service makes only what bears its own name.
    """
    with connected(url) as connection:
        unrouted = Exchange(UNROUTED, type="fanout", durable=True)
        if provide_exchange(connection, unrouted):
            provide_queue(connection, unrouted_queue())
            bind(connection, UNROUTED, UNROUTED, "")
        provide_exchange(connection, Exchange(RPC_EXCHANGE, type="topic", durable=True))
        for name in sorted({service, *sources}):
            provide_exchange(connection, events_exchange(name))
        provide_own_queue(connection, inbox_queue(service), service)


def hearing(service: str, handlers: Mapping[str, Any], sources: Iterable[str] = ()) -> list[tuple[str, str]]:
    """What a service hears, as (exchange, routing key): those are bound to its inbox queue."""
    first_words = {name.partition(".")[0] for name in handlers} - {"*", "#"}
    told_by = sorted({*first_words, *sources} - {service})
    keys = {source: [name for name in handlers if name.partition(".")[0] in (source, "*", "#")] for source in told_by}
    return [(f"{source}.events", key) for source in told_by for key in keys[source]]


def bind_inbox(url: str, service: str, handlers: Mapping[str, Any], sources: Iterable[str] = ()) -> None:
    """Bind before anybody starts: a message that is published before its hearer's first start is not lost then."""
    heard = hearing(service, handlers, sources)
    set_up(url, service, {exchange.removesuffix(".events") for exchange, _ in heard})
    with connected(url) as connection:
        for exchange, key in heard:
            bind(connection, f"{service}.inbox", exchange, key)


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
def connected(url: str, *, heartbeat: int = 0, confirmed: bool = False) -> Iterator[Connection]:
    """A connection for as long as the block lasts."""
    options = {"confirm_publish": confirmed}
    connection = Connection(url, connect_timeout=CONNECT_SECONDS, heartbeat=heartbeat, transport_options=options)
    connection.connect()
    try:
        yield connection
    finally:
        release(connection)


def release(connection: Connection) -> None:
    """Give a connection up; one that is broken already is no fault."""
    with suppress(Exception):
        connection.release()


def bind(connection: Connection, queue: str, exchange: str, key: str) -> None:
    """What is published to the exchange under that routing key also goes to the queue."""
    channel = connection.channel()
    channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)
    channel.close()


def provide_own_queue(connection: Connection, queue: Queue, service: str) -> None:
    """A queue of a service, with the place where its dead letters go."""
    dead = f"{service}.dead"
    if provide_exchange(connection, Exchange(dead, type="fanout", durable=True)):
        provide_queue(connection, Queue(dead, queue_arguments={"x-queue-type": "quorum"}))
        bind(connection, dead, dead, "")
    provide_queue(connection, queue)


def provide_exchange(connection: Connection, exchange: Exchange) -> bool:
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


def provide_queue(connection: Connection, queue: Queue) -> bool:
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
