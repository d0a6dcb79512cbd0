"""Letters to those outside and from them: confirmed together, dealt with side by side, in each sender's order."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from kombu import Connection

from shared.errors import Unavailable
from shared.messaging import Letter, Mailbox, listen
from shared.messaging.topology import connected
from tests.support.cable import Cable
from tests.support.servers import RabbitMQ


@pytest.fixture(params=["inproc", pytest.param("rabbitmq", marks=pytest.mark.real_rabbitmq)])
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "inproc":
        return f"inproc://{uuid.uuid4().hex}"
    server: RabbitMQ = request.getfixturevalue("rabbitmq_server")
    return server.url


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex[:8]


def letter(queue: str, number: int) -> Letter:
    return Letter(queue, f"m-{number}", b"{}", {"ce-id": f"m-{number}"}, "application/json")


def received(url: str, queue: str) -> list[str]:
    with Connection(url) as partner:
        channel = partner.default_channel
        letters = iter(lambda: channel.basic_get(queue, no_ack=True), None)
        return [str(each.properties["message_id"]) for each in letters]


def until(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not question():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_letters_put_together_lie_in_their_order_in_each_queue(broker: str, name: str) -> None:
    mailbox, queues = Mailbox(broker), [f"partner.{name}-{each}" for each in "ab"]
    for queue in queues:
        mailbox.declare(queue)
    assert mailbox.put_together([letter(queues[number % 2], number) for number in range(6)]) == frozenset()
    assert [received(broker, queue) for queue in queues] == [["m-0", "m-2", "m-4"], ["m-1", "m-3", "m-5"]]


def test_a_queue_that_is_not_there_is_named_and_keeps_no_other_letter_back(broker: str, name: str) -> None:
    mailbox, there, missing = Mailbox(broker), f"partner.{name}", f"partner.{name}-missing"
    mailbox.declare(there)
    assert mailbox.put_together([letter(missing, 1), letter(there, 2), letter(missing, 3)]) == {missing}
    assert mailbox.put_together([letter(there, 4)]) == frozenset(), "what was missing once is not held against others"
    assert received(broker, there) == ["m-2", "m-4"]


def test_any_thread_may_use_a_mailbox(broker: str, name: str) -> None:
    mailbox, queue = Mailbox(broker), f"partner.{name}"
    mailbox.declare(queue)
    with ThreadPoolExecutor(8) as pool:
        missing = list(pool.map(lambda number: mailbox.put_together([letter(queue, number)]), range(40)))
    assert set(missing) == {frozenset()}
    assert sorted(received(broker, queue)) == sorted(f"m-{number}" for number in range(40))


@pytest.mark.real_rabbitmq
def test_a_kept_connection_that_broke_is_replaced_and_a_broker_that_is_away_is_said_to_be(
    rabbitmq_server: RabbitMQ, name: str
) -> None:
    host, _, port = rabbitmq_server.url.rpartition("@")[2].partition("/")[0].partition(":")
    cable = Cable(host, int(port or 5672))
    mailbox = Mailbox(rabbitmq_server.url.replace(f"{host}:{port}", f"127.0.0.1:{cable.port}"))
    queue = f"partner.{name}"
    mailbox.declare(queue)
    mailbox.put_together([letter(queue, 1)])
    cable.cut()
    with pytest.raises(Unavailable, match=r"broker\.unavailable"):
        mailbox.put_together([letter(queue, 2)])
    cable.mend()
    mailbox.put_together([letter(queue, 3)])
    cable.cut()
    cable.mend()
    mailbox.put_together([letter(queue, 4)])
    cable.cut()
    assert received(rabbitmq_server.url, queue) == ["m-1", "m-3", "m-4"]


Handle = Callable[[bytes, Mapping[str, Any]], None]


@contextmanager
def listening(url: str, name: str, handler: Handle) -> Iterator[None]:
    stop, ended = threading.Event(), threading.Event()

    def run() -> None:
        listen(url, f"{name}.commands", f"{name}.in", ["command.#"], handler, stop)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        until(lambda: is_read(url, name))
        yield
    finally:
        stop.set()
        assert ended.wait(10)


def is_read(url: str, name: str) -> bool:
    """Whether somebody reads the queue: then it is bound. The broker inside the process counts no readers."""
    with suppress(Exception), Connection(url) as connection:
        found = connection.default_channel.queue_declare(f"{name}.in", passive=True)
        return url.startswith("inproc:") or found.consumer_count > 0
    return False


def send(url: str, name: str, *texts: str) -> None:
    """`guest 1` is the letter `guest 1` of the sender `guest`; RabbitMQ lets nobody sign for another user."""
    with connected(url, confirmed=True) as sender:
        channel = sender.default_channel
        for text in texts:
            user = {"user_id": text.split()[0]} if url.startswith("inproc:") else {}
            made = channel.prepare_message(text.encode(), content_type="text/plain", properties=user)
            channel.basic_publish(made, exchange=f"{name}.commands", routing_key="command.x")


def test_the_letters_of_a_sender_keep_their_order(broker: str, name: str) -> None:
    heard: list[str] = []

    def slow_at_first(body: bytes, _properties: Mapping[str, Any]) -> None:
        time.sleep(0 if heard else 0.1)
        heard.append(body.decode())

    sent = [f"aok {number}" for number in range(10)]
    with listening(broker, name, slow_at_first):
        send(broker, name, *sent)
        until(lambda: len(heard) == 10)
    assert heard == sent


def test_a_sender_whose_letter_takes_long_keeps_nobody_else_waiting(name: str) -> None:
    url, heard, goes_on = f"inproc://{name}", list[str](), threading.Event()

    def handler(body: bytes, properties: Mapping[str, Any]) -> None:
        if properties["user_id"] == "aok":
            assert goes_on.wait(10)
        heard.append(body.decode())

    with listening(url, name, handler):
        send(url, name, "aok 1", "aok 2", "drv 1", "drv 2")
        until(lambda: len(heard) == 2)
        assert heard == ["drv 1", "drv 2"]
        goes_on.set()
        until(lambda: len(heard) == 4)
    assert heard[2:] == ["aok 1", "aok 2"]


def test_what_was_not_dealt_with_comes_again_to_whoever_listens_next(broker: str, name: str) -> None:
    heard: list[str] = []
    begun, goes_on = threading.Event(), threading.Event()

    def stops_in_the_middle(body: bytes, _properties: Mapping[str, Any]) -> None:
        begun.set()
        goes_on.wait(10)
        heard.append(body.decode())

    with listening(broker, name, stops_in_the_middle):
        send(broker, name, "aok 1", "aok 2", "aok 3")
        assert begun.wait(30)
        threading.Timer(0.6, goes_on.set).start()
    assert heard == ["aok 1"], "what was begun is finished and acknowledged, the rest is not begun"
    with listening(broker, name, lambda body, _: heard.append(body.decode())):
        until(lambda: len(heard) == 3)
    assert heard == ["aok 1", "aok 2", "aok 3"]
