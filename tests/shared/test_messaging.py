import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from kombu import Connection

from shared.config import Settings
from shared.database import Database
from shared.domain import Personal, value
from shared.errors import Invalid, Refused, Unavailable
from shared.eventstore import create_all
from shared.eventstore.store import uuid7
from shared.messaging import (
    UNROUTED,
    Consumer,
    Handler,
    Mailbox,
    Message,
    Publisher,
    bind_inbox,
    listen,
    matches,
    set_up,
    unrouted_queue,
)
from shared.messaging.consumer import PREFETCH
from shared.messaging.topology import UNROUTED_KEPT, connected
from tests.support.clock import FixedClock
from tests.support.servers import RabbitMQ

WITHDRAWN = "consent.ConsentWithdrawn.v1"
CHECKED = "consent.ConsentChecked.v1"
seen_table = sa.Table(
    "seen", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True), sa.Column("consent", sa.String)
)


@value
class Withdrawn:
    consent: str


@dataclass
class Heard:
    """A service that hears: what arrived where, and what it stumbles over."""

    settings: Settings
    database: Database
    clock: FixedClock
    name: str = "cases"
    stumbles: set[str] = field(default_factory=set)
    outside: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def inside(self) -> list[str]:
        with self.database.read() as tx:
            return list(tx.execute(sa.select(seen_table.c.consent).order_by(seen_table.c.number)).scalars())


def note(context: Heard, tx: sa.Connection, seen: Withdrawn, _message: Message) -> None:
    tx.execute(sa.insert(seen_table).values(consent=seen.consent))
    if seen.consent in context.stumbles:
        raise Refused("cases.not_yet")


def check(context: Heard, seen: Withdrawn, _message: Message) -> None:
    if seen.consent in context.stumbles:
        raise Unavailable("consent.unavailable")
    context.outside.append(seen.consent)


HANDLERS = {WITHDRAWN: Handler(Withdrawn, note), CHECKED: Handler(Withdrawn, check, transactional=False)}


@pytest.fixture
def context() -> Iterator[Heard]:
    database = Database("sqlite://")
    create_all(database)
    with database.write() as tx:
        seen_table.create(tx)
    yield Heard(Settings(mode="test", broker=f"inproc://{uuid.uuid4().hex}"), database, FixedClock())
    database.close()


@pytest.fixture
def consumer(context: Heard) -> Consumer:
    return Consumer(context, HANDLERS)


def message(consent: str, *, kind: str = WITHDRAWN, key: str = "", **more: object) -> Message:
    data = {"consent": consent, **more}
    return Message(id=consent, type=kind, agency="jobcenter", data=data, key=key or consent)


def test_a_message_acts_once_however_often_it_comes(context: Heard, consumer: Consumer) -> None:
    consumer.handle([message("c-1"), message("c-2"), message("c-1")])
    consumer.handle([message("c-2"), message("c-3")])
    assert context.inside() == ["c-1", "c-2", "c-3"]


def test_fields_that_are_not_read_may_be_there(context: Heard, consumer: Consumer) -> None:
    consumer.handle([message("c-1", added_later="of no concern")])
    assert context.inside() == ["c-1"]


def test_a_type_nobody_deals_with_is_passed_over(context: Heard, consumer: Consumer) -> None:
    consumer.handle([message("c-1", kind="consent.SomethingElse.v1")])
    assert consumer.parked() == []


def test_a_message_that_fails_leaves_no_trace_and_waits(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"c-2"}
    consumer.handle([message("c-1"), message("c-2"), message("c-3")])
    assert context.inside() == ["c-1", "c-3"]
    [waiting] = consumer.parked()
    assert (waiting.message_id, waiting.code, waiting.attempts) == ("c-2", "cases.not_yet", 1)


def test_later_messages_of_its_stream_wait_behind_it(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"bad"}
    consumer.handle([message("bad", key="s"), message("later", key="s"), message("other", key="t")])
    consumer.handle([message("even later", key="s")])
    assert context.inside() == ["other"]
    assert [waiting.message_id for waiting in consumer.parked()] == ["bad", "later", "even later"]
    context.stumbles = set()
    assert consumer.retry(now=True) == 3
    assert context.inside() == ["other", "bad", "later", "even later"]
    assert consumer.parked() == []


def test_attempts_come_later_each_time(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"bad"}
    consumer.handle([message("bad")])
    gaps = []
    for _ in range(3):
        [waiting] = consumer.parked()
        gaps.append(waiting.next_attempt_at - context.clock.now())
        assert consumer.retry() == 0
        assert consumer.parked() == [waiting]
        context.clock.moment = waiting.next_attempt_at
        consumer.retry()
    assert gaps == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]


def test_a_message_can_be_given_up_and_lets_the_others_through(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"bad"}
    consumer.handle([message("bad", key="s"), message("later", key="s")])
    assert consumer.give_up("bad")
    assert not consumer.give_up("bad")
    consumer.retry()
    assert context.inside() == ["later"]


def test_a_message_that_lacks_a_field_waits(context: Heard, consumer: Consumer) -> None:
    consumer.handle([Message(id="m", type=WITHDRAWN, agency="a", data={}), message("c-1")])
    assert context.inside() == ["c-1"]
    assert [waiting.code for waiting in consumer.parked()] == ["message.invalid"]


def test_what_acts_outside_of_a_transaction_is_noted_afterwards(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"c-2"}
    batch = [message(consent, kind=CHECKED) for consent in ("c-1", "c-2", "c-3", "c-1")]
    consumer.handle(batch)
    assert context.outside == ["c-1", "c-3"]
    context.stumbles = set()
    assert consumer.retry(now=True) == 1
    consumer.handle(batch)
    assert context.outside == ["c-1", "c-3", "c-2"]


def test_both_kinds_keep_their_order_within_a_stream(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"first"}
    consumer.handle([message("first", key="s"), message("second", key="s", kind=CHECKED)])
    assert context.outside == []
    context.stumbles = set()
    consumer.retry(now=True)
    assert (context.inside(), context.outside) == (["first"], ["second"])


def test_a_pattern_hears_everything_of_the_services_named(context: Heard) -> None:
    consumer = Consumer(context, {"#": Handler(Withdrawn, note)}, sources=["consent", "health"])
    assert consumer.sources == ["consent", "health"]
    consumer.handle([message("c-1"), message("h-1", kind="health.AssessmentRecorded.v1")])
    assert context.inside() == ["c-1", "h-1"]


def note_all(context: Heard, tx: sa.Connection, seen: Sequence[Withdrawn], _messages: Sequence[Message]) -> None:
    context.batches.append(len(seen))
    for each in seen:
        note(context, tx, each, _messages[0])


TOGETHER = {WITHDRAWN: Handler(Withdrawn, note_all, together=True), CHECKED: HANDLERS[CHECKED]}


def test_a_handler_may_take_all_that_came_at_once(context: Heard) -> None:
    consumer = Consumer(context, TOGETHER)
    consumer.handle([message("c-1"), message("c-2"), message("c-1"), message("c-3")])
    consumer.handle([message("c-2"), message("c-4")])
    assert (context.batches, context.inside()) == ([3, 1], ["c-1", "c-2", "c-3", "c-4"])


def test_a_batch_that_fails_is_done_again_one_by_one(context: Heard) -> None:
    consumer = Consumer(context, TOGETHER)
    context.stumbles = {"c-2"}
    consumer.handle([message("c-1"), message("c-2"), message("c-3")])
    assert (context.batches, context.inside()) == ([3, 1, 1, 1], ["c-1", "c-3"])
    assert [waiting.message_id for waiting in consumer.parked()] == ["c-2"]


def test_a_parked_message_is_repaired_and_tried_at_its_place(context: Heard, consumer: Consumer) -> None:
    faulty = Message(id="m", type=WITHDRAWN, agency="jobcenter", data={"consent": 7}, key="s")
    consumer.handle([faulty, message("later", key="s")])
    with pytest.raises(Invalid, match=r"message\.invalid"):
        consumer.repair("m", {"consent": 8})
    assert not consumer.repair("another", {"consent": "c-8"})
    assert consumer.repair("m", {"consent": "c-8"})
    assert consumer.retry() == 2
    assert context.inside() == ["c-8", "later"]
    consumer.handle([faulty])
    assert context.inside() == ["c-8", "later"], "what it said at first comes again"


def test_a_parked_message_that_comes_again_changes_nothing(context: Heard, consumer: Consumer) -> None:
    context.stumbles = {"bad"}
    consumer.handle([message("bad")])
    before = consumer.parked()
    consumer.handle([message("bad")])
    assert consumer.parked() == before


def test_a_clock_that_ran_ahead_does_not_put_off_an_attempt_for_years(context: Heard, consumer: Consumer) -> None:
    context.clock.move(days=400)
    context.stumbles = {"bad"}
    consumer.handle([message("bad")])
    context.clock.move(days=-400)
    context.stumbles = set()
    assert consumer.retry() == 1


def test_many_streams_that_wait_are_all_tried(context: Heard, consumer: Consumer) -> None:
    names = [f"c-{number}" for number in range(250)]
    context.stumbles = set(names)
    consumer.handle([message(name) for name in names])
    assert consumer.waiting() == 250
    context.stumbles = set()
    assert consumer.retry(now=True) == 250


def dated(day: date, position: int, consent: str, key: str = "") -> Message:
    made = uuid7(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    data = {"consent": consent}
    return Message(id=made, type=WITHDRAWN, agency="jobcenter", data=data, key=key or consent, position=position)


def test_what_comes_again_after_its_note_was_dropped_does_nothing(context: Heard, consumer: Consumer) -> None:
    early = context.clock.today()
    first, second = dated(early, 1, "c-1"), dated(early, 2, "c-2")
    consumer.handle([first])
    context.clock.move(days=33)
    consumer.forget()
    context.stumbles = {"c-3"}
    consumer.handle([dated(context.clock.today(), 3, "c-3", key="c-1")])
    consumer.handle([first])
    assert [waiting.body["position"] for waiting in consumer.parked()] == [3], "it does not wait behind another either"
    assert context.inside() == ["c-1"]
    with context.database.read() as tx:
        assert tx.execute(sa.text("select count(*) from inbox")).scalar_one() == 0
    consumer.handle([second])
    assert context.inside() == ["c-1"], "3 was heard already: 2, from before the notes, counts as heard"


def test_what_was_under_way_for_a_month_is_heard_all_the_same(context: Heard, consumer: Consumer) -> None:
    early = context.clock.today()
    consumer.handle([dated(early, 1, "c-1")])
    context.clock.move(days=33)
    consumer.forget()
    consumer.handle([dated(early, 2, "c-2"), dated(early, 3, "c-3")])
    assert context.inside() == ["c-1", "c-2", "c-3"]


def test_a_publisher_that_tells_no_positions_is_understood(context: Heard, consumer: Consumer) -> None:
    """As the version before did; and what this version parks, with its position, comes back whole."""
    context.stumbles = {"c-1"}
    consumer.handle([message("c-1"), dated(context.clock.today(), 4, "c-4", key="c-1")])
    context.stumbles = set()
    assert consumer.retry(now=True) == 2
    assert context.inside() == ["c-1", "c-4"]


@value
class Named:
    person_id: str
    name: Personal[str]


def test_a_handler_that_reads_personal_data_is_refused(context: Heard) -> None:
    with pytest.raises(TypeError, match="no personal data"):
        Consumer(context, {WITHDRAWN: Handler(Named, note)})


def test_a_full_disk_delays_messages_and_loses_none(context: Heard, consumer: Consumer) -> None:
    """SQLite's own answer to a disk that is full, from the limit on its pages."""
    held = context.database.engine.raw_connection()
    pages = held.dbapi_connection.execute("pragma page_count").fetchone()[0]
    batch = [message(f"c-{number}") for number in range(2000)]
    held.dbapi_connection.execute(f"pragma max_page_count = {pages + 4}")
    with pytest.raises(sa.exc.OperationalError, match="full"):
        consumer.handle(batch)
    held.dbapi_connection.execute("pragma max_page_count = 100000")
    held.close()
    consumer.handle(batch)
    consumer.retry(now=True)
    assert sorted(context.inside()) == sorted(each.id for each in batch)
    assert consumer.parked() == []


@value
class WithdrawnSince:
    consents: tuple[str, ...]


def note_newer(context: Heard, tx: sa.Connection, seen: WithdrawnSince, each: Message) -> None:
    for consent in seen.consents:
        note(context, tx, Withdrawn(consent=consent), each)


NEWER = WITHDRAWN.replace(".v1", ".v2")


@pytest.mark.parametrize("order", list(itertools.product("on", repeat=4)))
def test_readers_of_either_version_take_turns_while_the_newer_is_rolled_out(context: Heard, order: Any) -> None:
    """Each event is told in both versions; one queue, read by whoever is active: each event acts once."""
    older = Consumer(context, {WITHDRAWN: Handler(Withdrawn, note)})
    newer = Consumer(context, {NEWER: Handler(WithdrawnSince, note_newer)})
    names = [f"c-{number}" for number in range(len(order))]
    for name, reader in zip(names, order, strict=True):
        first = message(name)
        both = [first, replace(first, type=NEWER, data={"consents": [name]})]
        (older if reader == "o" else newer).handle(both)
        newer.handle(both)
    assert context.inside() == names


@pytest.mark.parametrize(
    ("pattern", "key", "covered"),
    [
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("*.b.*", "a.b.c", True),
        ("*.b", "a.b.c", False),
        ("a.b.c", "a.b.c", True),
        ("a.b", "a.b.c", False),
        ("#.c", "a.b.c", True),
    ],
)
def test_patterns_are_those_of_topic_exchanges(pattern: str, key: str, *, covered: bool) -> None:
    assert matches(pattern, key) is covered


def broker_urls() -> list[Any]:
    return ["inproc", pytest.param("rabbitmq", marks=pytest.mark.real_rabbitmq)]


@pytest.fixture(params=broker_urls())
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "inproc":
        return f"inproc://{uuid.uuid4().hex}"
    server: RabbitMQ = request.getfixturevalue("rabbitmq_server")
    return server.url


@pytest.fixture
def name() -> str:
    return f"svc{uuid.uuid4().hex[:8]}"


def until(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not question():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_what_one_service_tells_the_other_hears_in_order(context: Heard, broker: str, name: str) -> None:
    context.settings, context.name = Settings(mode="test", broker=broker), f"{name}-hearing"
    handlers = {f"{name}.Told.v1": Handler(Withdrawn, note)}
    consumer, stop = Consumer(context, handlers), threading.Event()
    set_up(broker, context.name, consumer.sources)
    hearing = threading.Thread(target=consumer.run, args=(stop,))
    hearing.start()
    publisher = Publisher(broker, name)
    ids = [f"c-{number:03}" for number in range(250)]
    try:
        assert consumer.bound.wait(20)
        publisher.publish([message(each, kind=f"{name}.Told.v1") for each in ids], stop)
        publisher.publish([message(each, kind=f"{name}.Told.v1") for each in ids], stop)
        until(lambda: len(context.inside()) >= 250)
    finally:
        stop.set()
        hearing.join(10)
        publisher.close()
    assert not hearing.is_alive()
    assert context.inside() == ids


@pytest.mark.real_rabbitmq
def test_however_many_read_one_acts_and_the_order_stays(context: Heard, rabbitmq_server: RabbitMQ, name: str) -> None:
    """One of three reads; it loses its connection in the middle, another goes on where it was."""
    context.settings, context.name = Settings(mode="test", broker=rabbitmq_server.url), f"{name}-hearing"
    told = f"{name}.Told.v1"
    acting: list[int] = []

    def act(heard: Heard, tx: sa.Connection, seen: Withdrawn, each: Message) -> None:
        acting.append(threading.get_ident())
        note(heard, tx, seen, each)
        time.sleep(0.001)

    bind_inbox(rabbitmq_server.url, context.name, {told: Handler(Withdrawn, act)})
    stops = [threading.Event() for _ in range(3)]
    readers = [Consumer(context, {told: Handler(Withdrawn, act)}) for _ in stops]
    threads = [threading.Thread(target=each.run, args=(stop,)) for each, stop in zip(readers, stops, strict=True)]
    publisher = Publisher(rabbitmq_server.url, name)
    ids = [f"c-{number:04}" for number in range(1500)]
    for thread in threads:
        thread.start()
    try:
        for start in range(0, 1500, 500):
            publisher.publish([message(each, kind=told, key=each[-1]) for each in ids[start : start + 500]])
        for number, stop in enumerate(stops):
            until(lambda enough=400 * (number + 1): len(context.inside()) >= enough)
            if number < 2:
                stop.set()
        until(lambda: len(context.inside()) >= 1500)
    finally:
        for stop in stops:
            stop.set()
        for thread in threads:
            thread.join(20)
        publisher.close()
    assert context.inside() == ids
    assert len(set(acting)) > 1


@pytest.mark.real_rabbitmq
def test_a_slow_consumer_holds_little_and_leaves_the_rest_to_the_broker(
    context: Heard, rabbitmq_server: RabbitMQ, name: str
) -> None:
    context.settings, context.name = Settings(mode="test", broker=rabbitmq_server.url), f"{name}-hearing"
    told, go, stop = f"{name}.Told.v1", threading.Event(), threading.Event()

    def slow(heard: Heard, tx: sa.Connection, seen: Withdrawn, each: Message) -> None:
        go.wait()
        note(heard, tx, seen, each)

    handlers = {told: Handler(Withdrawn, slow)}
    bind_inbox(rabbitmq_server.url, context.name, handlers)
    publisher = Publisher(rabbitmq_server.url, name)
    for start in range(0, 3000, 500):
        publisher.publish([message(f"c-{number}", kind=told) for number in range(start, start + 500)])
    publisher.close()
    reading = threading.Thread(target=Consumer(context, handlers).run, args=(stop,))
    reading.start()
    try:
        with Connection(rabbitmq_server.url) as broker:

            def left() -> int:
                return int(broker.default_channel.queue_declare(f"{context.name}.inbox", passive=True).message_count)

            until(lambda: left() == 3000 - PREFETCH)
            time.sleep(0.5)
            assert left() == 3000 - PREFETCH
        go.set()
        until(lambda: len(context.inside()) == 3000)
    finally:
        go.set()
        stop.set()
        reading.join(20)


@pytest.mark.real_rabbitmq
def test_of_what_nobody_hears_the_newest_is_kept_and_no_disk_filled(rabbitmq_server: RabbitMQ, name: str) -> None:
    """Some facts are told for programs of agencies, which may or may not listen."""
    kept = unrouted_queue()
    arguments = {**kept.queue_arguments, "x-max-length": 5}
    assert kept.queue_arguments["x-max-length"] == UNROUTED_KEPT
    with connected(rabbitmq_server.url, confirmed=True) as broker:
        channel = broker.default_channel
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        producer = broker.Producer()
        for number in range(8):
            producer.publish({"number": number}, routing_key=name)
        told = iter(lambda: channel.basic_get(name, no_ack=True), None)
        assert [json.loads(letter.body)["number"] for letter in told] == [3, 4, 5, 6, 7]


@pytest.mark.real_rabbitmq
def test_what_nobody_hears_is_kept_and_what_nobody_keeps_is_an_error(rabbitmq_server: RabbitMQ, name: str) -> None:
    set_up(rabbitmq_server.url, name)
    publisher = Publisher(rabbitmq_server.url, name)
    publisher.publish([message("c-1", kind=f"{name}.Told.v1")])
    lost = f"{name}-lost"
    with Connection(rabbitmq_server.url) as broker:
        channel = broker.default_channel
        until(lambda: bool(channel.queue_declare(UNROUTED, passive=True).message_count))
        channel.exchange_declare(f"{lost}.events", "topic", durable=True, auto_delete=False)
    with pytest.raises(Unavailable, match=r"broker\.unroutable"):
        Publisher(rabbitmq_server.url, lost).publish([message("c-1", kind=f"{lost}.Told.v1")])
    publisher.publish([message("c-2", kind=f"{name}.Told.v1")])
    publisher.close()


def test_a_letter_can_be_taken_back_until_the_partner_has_it(broker: str, name: str) -> None:
    mailbox, queue = Mailbox(broker), f"partner.{name}"
    mailbox.declare(queue)
    for number in range(4):
        mailbox.put(queue, f"m-{number}", b'{"sealed":true}', {"ce-id": f"m-{number}"}, "application/json", "d-1")
    with Connection(broker) as partner:
        letter = partner.default_channel.basic_get(queue)
        assert letter.properties["message_id"] == "m-0"
        assert letter.properties["correlation_id"] == "d-1"
        assert bytes(letter.body if isinstance(letter.body, bytes) else letter.body.encode()) == b'{"sealed":true}'
        with suppress(ZeroDivisionError), mailbox.take_back(queue) as tried:
            assert tried == ["m-1", "m-2", "m-3"]
            raise ZeroDivisionError
        with mailbox.take_back(queue) as taken:
            assert taken == ["m-1", "m-2", "m-3"], "what a failed attempt took is there again"
        partner.default_channel.basic_ack(letter.delivery_tag)
    with mailbox.take_back(queue) as nothing:
        assert nothing == []


def test_a_letter_to_nobody_is_an_error(broker: str, name: str) -> None:
    mailbox = Mailbox(broker)
    mailbox.declare(f"partner.{name}")
    with pytest.raises(Unavailable, match=r"mailbox\.missing"):
        mailbox.put(f"partner.{name}-other", "m-1", b"{}", {}, "application/json")


def test_commands_of_partners_are_handed_on_and_tried_again(broker: str, name: str) -> None:
    received: list[tuple[bytes, Mapping[str, Any]]] = []
    failures = iter([True, False])

    def handler(body: bytes, properties: Mapping[str, Any]) -> None:
        if next(failures, False):
            raise Unavailable("database.unavailable")
        received.append((body, properties))

    stop = threading.Event()
    arguments = (broker, f"{name}.commands", f"{name}.in", ["command.#"], handler, stop)
    listening = threading.Thread(target=listen, args=arguments)
    listening.start()
    try:
        until(lambda: _heard(broker, name, received))
    finally:
        stop.set()
        listening.join(10)
    body, properties = received[0]
    assert body == b"please"
    assert properties["reply_to"] == "partner.aok"
    assert properties["correlation_id"] == "k-1"
    assert properties["routing_key"] == "command.request_assessment"


def _heard(broker: str, name: str, received: list[Any]) -> bool:
    with Connection(broker) as partner:
        channel = partner.default_channel
        channel.exchange_declare(exchange=f"{name}.commands", type="topic", durable=True, auto_delete=False)
        properties = {"reply_to": "partner.aok", "correlation_id": "k-1", "message_id": "k-1"}
        letter = channel.prepare_message(b"please", content_type="text/plain", properties=properties)
        channel.basic_publish(letter, exchange=f"{name}.commands", routing_key="command.request_assessment")
    time.sleep(0.3)
    return bool(received)
