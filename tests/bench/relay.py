"""How fast events leave and arrive, beside the same done one by one and beside the bare drivers, in one run.

    python -m tests.bench.relay [--events 5000] [--runs 3] [--json FILE]

PostgreSQL with fsync and synchronous_commit, a RabbitMQ with quorum queues, persistent messages of about 500 bytes,
every publication confirmed. The cases take turns, medians count, and only ratios within one run mean anything.
`HANDSCHLAG_BENCH_POSTGRES` and `HANDSCHLAG_BENCH_RABBITMQ` name servers that may be filled; else private ones start.
"""

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import sqlalchemy as sa
from kombu import Connection
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import make_url

from shared import telemetry
from shared.clock import SystemClock
from shared.config import Settings
from shared.database import Database, after_commit
from shared.domain import Recorded, value
from shared.eventstore import Bookmark, EventStore
from shared.eventstore.store import uuid7
from shared.messaging import Consumer, Handler, Message, Publisher, message_of, set_up
from shared.messaging.publisher import Confirms
from shared.outbox import BOOKMARK, PAGE, relay_once
from tests.bench.servers import durable_postgres, rabbitmq
from tests.bench.table import Row, interleaved, options_of_turns, report
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.stores import place

TEXT = "x" * 400
TOLD = "bench.NotebookOpened.v1"
EXCHANGE, QUEUE = "bench.events", "bench-hearing.inbox"
ONE_BY_ONE = 1000

totals = sa.Table(
    "bench_totals",
    sa.MetaData(),
    sa.Column("notebook", sa.String, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
)


@dataclass(frozen=True)
class Bench:
    """A service that tells and one that hears."""

    settings: Settings
    database: Database
    store: EventStore
    clock: SystemClock
    events: int
    name: str = "bench"

    @property
    def broker(self) -> str:
        return self.settings.broker

    def bare(self) -> psycopg.Connection:
        """The database by its driver alone."""
        url = make_url(self.database.url).set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def empty_queue(self) -> None:
        with Connection(self.broker) as connection:
            connection.default_channel.queue_purge(QUEUE)


# --- relays -------------------------------------------------------------------------------------------------------


def outbound(record: Recorded) -> Message:
    return message_of("bench", record, {"notebook": record.id, "title": TEXT})


def relay(bench: Bench) -> float:
    """Ours: the store's events as messages, a page at a time, a bookmark after each."""
    with bench.database.write() as tx:
        Bookmark(bench.database, BOOKMARK).move(tx, 0)
    publisher, told = Publisher(bench.broker, bench.name), 0
    publisher.publish([outbound(bench.store.follow(0, 1)[0])])
    began = time.perf_counter()
    while count := relay_once(bench, outbound, publisher):
        told += count
    taken = time.perf_counter() - began
    publisher.close()
    return told / taken


def kombu_confirms_each(bench: Bench) -> float:
    """The producer of kombu, a confirm for each message, and no store behind it."""
    body = orjson.dumps({"notebook": "n", "title": TEXT}).decode()
    with Connection(bench.broker, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        began = time.perf_counter()
        for _ in range(ONE_BY_ONE):
            producer.publish(
                body,
                exchange=EXCHANGE,
                routing_key=TOLD,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=str(uuid4()),
            )
        return ONE_BY_ONE / (time.perf_counter() - began)


def bare_relay(bench: Bench) -> float:
    """A log and a bookmark by bare drivers: rows as they are, 500 a page, confirms per page, no codec, no headers."""
    import amqp

    where = make_url(bench.broker.replace("amqp://", "http://", 1))
    sent = Confirms()
    with bench.bare() as database:
        connection = amqp.Connection(
            f"{where.host}:{where.port}", str(where.username), str(where.password), virtual_host=where.database
        )
        connection.connect()
        channel = connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(sent.acknowledged)
        cursor = database.cursor(binary=True)
        mark, told, began = 0, 0, time.perf_counter()
        question = (
            "select position, event_id, data from events where agency = 'bench' and position > %s order by position"
            f" limit {PAGE}"
        )
        while rows := cursor.execute(question, (mark,), prepare=True).fetchall():
            for _, event_id, data in rows:
                message = amqp.Message(orjson.dumps(data).decode(), delivery_mode=2, message_id=str(event_id))
                channel.basic_publish(message, EXCHANGE, TOLD)
                sent.sent += 1
            while not sent.complete():
                connection.drain_events(timeout=10)
            mark, told = rows[-1][0], told + len(rows)
            database.execute("update bookmarks set position = %s where name = 'bare'", (mark,), prepare=True)
        taken = time.perf_counter() - began
        connection.close()
    return told / taken


# --- consumers ----------------------------------------------------------------------------------------------------


NEW = insert(totals)
COUNT_UP = NEW.on_conflict_do_update(index_elements=["notebook"], set_={"times": totals.c.times + NEW.excluded.times})


@value
class Told:
    notebook: str


def count_one(context: "Hearing", tx: sa.Connection, seen: Told, message: Message) -> None:
    count_all(context, tx, [seen], [message])


def count_all(context: "Hearing", tx: sa.Connection, seen: Sequence[Told], _messages: Sequence[Message]) -> None:
    """One row per notebook, as many times up as it was told of."""
    times: dict[str, int] = {}
    for each in seen:
        times[each.notebook] = times.get(each.notebook, 0) + 1
    tx.execute(COUNT_UP, [{"notebook": name, "times": count} for name, count in sorted(times.items())])
    after_commit(tx, lambda: context.committed(len(seen)))


def fill_queue(bench: Bench, count: int) -> None:
    """Messages that nobody has heard yet."""
    publisher = Publisher(bench.broker, bench.name)
    now = bench.clock.now()
    for start in range(0, count, PAGE):
        publisher.publish(
            [
                Message(
                    id=uuid7(now),
                    type=TOLD,
                    agency="bench",
                    data={"notebook": f"n-{number % 100}", "title": TEXT},
                    key=f"n-{number % 100}",
                    position=number + 1,
                )
                for number in range(start, min(start + PAGE, count))
            ]
        )
    publisher.close()


def consumer(bench: Bench, handler: Handler) -> float:
    """Ours: batches, one transaction and one acknowledgement for each; until the last of them is committed."""
    fill_queue(bench, bench.events)
    with bench.database.write() as tx:
        tx.execute(sa.delete(totals))
    stop, hearing = threading.Event(), Hearing(bench)
    ours = Consumer(hearing, {TOLD: handler})
    thread = threading.Thread(target=ours.run, args=(stop,))
    began = time.perf_counter()
    thread.start()
    hearing.heard_all.wait()
    taken = time.perf_counter() - began
    stop.set()
    thread.join()
    assert counted(bench) == bench.events
    return bench.events / taken


def counted(bench: Bench) -> int:
    with bench.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.sum(totals.c.times))).scalar_one())


class Hearing:
    """The service that hears; its inbox is in the same database."""

    def __init__(self, bench: Bench) -> None:
        self.name, self.settings = "bench-hearing", bench.settings
        self.database, self.clock = bench.database, bench.clock
        self.missing, self.heard_all = bench.events, threading.Event()

    def committed(self, count: int) -> None:
        self.missing -= count
        if self.missing <= 0:
            self.heard_all.set()


def one_by_one(bench: Bench) -> float:
    """By bare drivers: inbox row and read model in a transaction for each message, an acknowledgement for each."""
    fill_queue(bench, ONE_BY_ONE)
    received: list[Any] = []
    with bench.bare() as database, Connection(bench.broker) as connection:
        database.autocommit = False
        channel = connection.channel()
        channel.basic_qos(prefetch_size=0, prefetch_count=200, a_global=False)
        channel.basic_consume(QUEUE, callback=received.append)
        done, began = 0, time.perf_counter()
        while done < ONE_BY_ONE:
            while not received:
                connection.drain_events(timeout=10)
            message = received.pop(0)
            told = orjson.loads(message.body)
            note = "insert into inbox (consumer, message_id, slot) values ('bare', %s, 0) on conflict do nothing"
            if database.execute(note, (message.properties["message_id"],), prepare=True).rowcount:
                database.execute(
                    "insert into bench_totals values (%s, 1) on conflict (notebook)"
                    " do update set times = bench_totals.times + 1",
                    (told["notebook"],),
                    prepare=True,
                )
            database.commit()
            channel.basic_ack(message.delivery_tag)
            done += 1
        return ONE_BY_ONE / (time.perf_counter() - began)


# --- the run ------------------------------------------------------------------------------------------------------

CONFIRMED_EACH, BARE_LOG = "kombu, a confirm for each", "log and bookmark, bare drivers"
ACKED_EACH = "a transaction for each, bare drivers"
CASES: dict[str, Callable[[Bench], float]] = {
    CONFIRMED_EACH: kombu_confirms_each,
    BARE_LOG: bare_relay,
    "relay": relay,
    ACKED_EACH: one_by_one,
    "consumer, a handler for each message": lambda bench: consumer(bench, Handler(Told, count_one)),
    "consumer, a handler for all at once": lambda bench: consumer(bench, Handler(Told, count_all, together=True)),
}


def measure(bench: Bench, runs: int) -> list[Row]:
    """Medians of `runs` rounds in which every case has its turn."""

    def alone(case: Callable[[Bench], float]) -> Callable[[], float]:
        def run() -> float:
            bench.empty_queue()
            return case(bench)

        return run

    found = interleaved({name: alone(case) for name, case in CASES.items()}, runs)
    told = Row("relay", "relay, a page of 500", found["relay"], found[CONFIRMED_EACH], found[BARE_LOG])
    heard = [
        Row("relay", name, found[name], found[ACKED_EACH], None, note="peer: a transaction and an ack for each")
        for name in CASES
        if name.startswith("consumer")
    ]
    return [replace(told, note="peer: kombu, a confirm for each; limit: log and bookmark by bare drivers"), *heard]


@contextlib.contextmanager
def prepared(events: int) -> Iterator[Bench]:
    """Real servers, a log of that many events, exchanges and queues."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server, broker = stack.enter_context(durable_postgres()), stack.enter_context(rabbitmq())
        found = stack.enter_context(place("postgresql", folder, server))
        database = found.database()
        stack.callback(database.close)
        store = found.store(database)
        with database.write() as tx:
            totals.create(tx)
            tx.execute(sa.text("insert into bookmarks values ('bare', 0)"))
        for number in range(events // 100):
            opened = [NotebookOpened(title=TEXT)] * 100
            store.agency("bench").change(Notebook, f"n-{number}", lambda _, e=opened: e, command_id="c")  # type: ignore[misc]
        bench = Bench(Settings(mode="test", broker=broker), database, store, SystemClock(), events)
        set_up(broker, "bench")
        set_up(broker, "bench-hearing")
        with Connection(broker) as connection:
            connection.default_channel.queue_bind(QUEUE, EXCHANGE, "#")
        yield bench


def main() -> None:
    parser = options_of_turns(__doc__)
    parser.add_argument("--events", type=int, default=5000, help="in the log, and in the queue of the consumer")
    chosen = parser.parse_args()
    telemetry.set_up("bench", log_level="warning")
    with prepared(chosen.events) as bench:
        report(measure(bench, chosen.runs), chosen.json)


if __name__ == "__main__":
    main()
