"""Reading a queue: what arrives is held in a list, never more than the prefetch, until it is acknowledged."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp.transport import TCPTransport
from kombu import Connection, Queue
from kombu import Consumer as KombuConsumer

READ_AHEAD = 8192
AT_HAND = 0.002


def consuming(connection: Connection, queue: str, prefetch: int) -> list[Any]:
    """Start to consume; what arrives is appended to the list that is returned.

    The broker sends no more than `prefetch` messages that are not acknowledged, however many wait.
    """
    received: list[Any] = []
    consumer = KombuConsumer(
        connection.channel(), [Queue(queue, no_declare=True)], on_message=received.append, auto_declare=False
    )
    consumer.qos(prefetch_count=prefetch)
    _read_ahead(connection)
    consumer.consume()
    return received


def _read_ahead(connection: Connection) -> None:
    """Let py-amqp ask the socket for more than the next few bytes; it keeps what is left for the next frame.

    By itself it asks three times for each frame, nine times for each message: a fifth of the price of a batch.
    """
    transport: Any = getattr(connection.connection, "transport", None)
    if type(transport) is TCPTransport:
        receive = transport._quick_recv  # noqa: SLF001 - no public way
        transport._quick_recv = lambda wanted: receive(max(wanted, READ_AHEAD))  # noqa: SLF001 - no public way


def collect(connection: Connection, received: list[Any], most: int, patience: float = 0.5) -> None:
    """Wait for a message, then take what else is there, up to `most`."""
    with suppress(TimeoutError):
        if not received:
            connection.drain_events(timeout=patience)
        with _at_hand(connection) as timeout:
            while len(received) < most:
                connection.drain_events(timeout=timeout)
    connection.heartbeat_check()


@contextmanager
def _at_hand(connection: Connection) -> Iterator[float]:
    """The patience for what is there already. The socket has it meanwhile, or py-amqp would set it twice a frame."""
    if connection.transport_cls == "inproc":
        yield 0
        return
    socket = connection.connection.transport.sock
    usual = socket.gettimeout()
    socket.settimeout(AT_HAND)
    try:
        yield AT_HAND
    finally:
        socket.settimeout(usual)
