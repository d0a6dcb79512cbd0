import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue

from shared import transport

EVENTS = Exchange("consent.events", type="topic", durable=True)
INBOX = Queue("audit.inbox", EVENTS, routing_key="consent.#")


@pytest.fixture
def url() -> str:
    return f"inproc://{uuid.uuid4().hex}"


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with Connection(url) as connection:
        INBOX(connection.default_channel).declare()
        yield connection


def publish(connection: Connection, *bodies: object, key: str = "consent.ConsentWithdrawn.v1") -> None:
    producer = Producer(connection.default_channel)
    for body in bodies:
        producer.publish({"n": body}, exchange=EVENTS.name, routing_key=key)


def consuming(connection: Connection, queue: Queue = INBOX, prefetch: int = 0) -> list[Any]:
    received: list[Any] = []
    consumer = Consumer(connection.channel(), [queue], on_message=received.append)
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    return received


def drain(connection: Connection) -> None:
    while True:
        try:
            connection.drain_events(timeout=0)
        except TimeoutError:
            return


def numbers(received: list[Any]) -> list[int]:
    return [message.decode()["n"] for message in received]


def test_messages_come_in_their_order_with_their_properties(connection: Connection) -> None:
    received = consuming(connection)
    publish(connection, 1, 2, 3)
    drain(connection)
    assert numbers(received) == [1, 2, 3]
    assert received[0].properties["content_type"] == "application/json"
    assert received[0].delivery_info["routing_key"] == "consent.ConsentWithdrawn.v1"


def test_no_more_than_the_prefetch_is_under_way_per_queue(connection: Connection) -> None:
    other = Queue("audit.other", EVENTS, routing_key="consent.#")
    received: list[Any] = []
    consumer = Consumer(connection.channel(), [INBOX, other], on_message=received.append)
    consumer.qos(prefetch_count=2)
    consumer.consume()
    publish(connection, 1, 2, 3)
    drain(connection)
    assert sorted(numbers(received)) == [1, 1, 2, 2]
    received[0].ack()
    drain(connection)
    assert len(received) == 5


def test_what_a_lost_channel_had_not_acknowledged_comes_again_to_its_own_queue_only(
    url: str, connection: Connection
) -> None:
    other = Queue("audit.other", EVENTS, routing_key="consent.#")
    other(connection.default_channel).declare()
    publish(connection, 1, 2, 3)
    with Connection(url) as second:
        received = consuming(second)
        drain(second)
        received[0].ack()
    again = consuming(connection)
    drain(connection)
    assert numbers(again) == [2, 3]
    assert connection.default_channel.queue_declare("audit.other", passive=True).message_count == 3


def test_an_acknowledgement_can_speak_for_all_before_it(connection: Connection) -> None:
    received = consuming(connection)
    publish(connection, 1, 2, 3)
    drain(connection)
    received[1].channel.basic_ack(received[1].delivery_tag, multiple=True)
    received[2].channel.close()
    again = consuming(connection)
    drain(connection)
    assert numbers(again) == [3]


def test_published_means_acknowledged_by_every_queue(url: str, connection: Connection) -> None:
    other = Queue("cases.inbox", EVENTS, routing_key="consent.#")
    publish(connection)
    assert transport.drained(url, EVENTS.name, 0)
    first, second = consuming(connection), consuming(connection, other)
    publish(connection, 1)
    drain(connection)
    assert not transport.drained(url, EVENTS.name, 0)
    first[0].ack()
    assert not transport.drained(url, EVENTS.name, 0)
    second[0].ack()
    assert transport.drained(url, EVENTS.name, 0)


def test_a_purged_queue_keeps_nobody_waiting(url: str, connection: Connection) -> None:
    publish(connection, 1, 2)
    assert not transport.drained(url, EVENTS.name, 0)
    assert connection.default_channel.queue_purge("audit.inbox") == 2
    assert transport.drained(url, EVENTS.name, 0)


def test_a_waiting_reader_is_woken_by_another_thread(url: str, connection: Connection) -> None:
    received = consuming(connection)

    def speak() -> None:
        with Connection(url) as speaking:
            publish(speaking, 1)

    speaker = threading.Timer(0.05, speak)
    speaker.start()
    connection.drain_events(timeout=10)
    speaker.join()
    assert numbers(received) == [1]


def test_a_mandatory_message_nobody_wants_is_returned(connection: Connection) -> None:
    returned: list[str] = []
    channel = connection.default_channel
    channel.events.setdefault("basic_return", set()).add(lambda error, exchange, key, message: returned.append(key))
    Producer(channel).publish({}, exchange=EVENTS.name, routing_key="health.x", mandatory=True)
    assert returned == ["health.x"]


def test_brokers_of_different_names_do_not_meet(connection: Connection) -> None:
    with Connection(f"inproc://{uuid.uuid4().hex}") as elsewhere:
        received = consuming(elsewhere)
        publish(connection, 1)
        drain(elsewhere)
    assert received == []
