"""How long a fact takes from the command that was accepted to the read model of another service, at a steady rate.

    python -m tests.bench.end_to_end [--commands 50] [--seconds 20] [--json FILE]

PostgreSQL with fsync, a RabbitMQ with quorum queues, and two processes as in a deployment: the service that is asked
with its relay, and the service that hears. The clock starts when the command has its receipt and stops when the
hearer's transaction has been committed; times are those of one machine. Goal: p50 up to 25 ms, p99 up to 100 ms at
50 commands a second. The limit is what a message takes without any store: published with a confirm, received.
"""

import contextlib
import multiprocessing
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from kombu import Connection
from sqlalchemy.engine import make_url

from shared import telemetry
from shared.clock import SystemClock
from shared.config import Settings
from shared.database import after_commit
from shared.domain import Recorded, value
from shared.eventstore import EventStore
from shared.messaging import Consumer, Handler, Message, bind_inbox, message_of, set_up
from shared.outbox import relay
from tests.bench.servers import durable_postgres, rabbitmq
from tests.bench.table import latencies, options, report
from tests.support.notebook import Notebook
from tests.support.stores import Place, place

TOLD = "telling.NotebookOpened.v1"
processes = multiprocessing.get_context("spawn")
arrivals = sa.Table(
    "arrivals",
    sa.MetaData(),
    sa.Column("notebook", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
)


@value
class Opened:
    notebook: str


class Service:
    """What relay and consumer need."""

    def __init__(self, name: str, where: Place, broker: str) -> None:
        self.name, self.settings, self.clock = name, Settings(mode="test", broker=broker), SystemClock()
        self.database = where.database()
        self.store: EventStore = where.store(self.database)


def outbound(record: Recorded) -> Message:
    return message_of("telling", record, {"notebook": record.id})


def hear(where: Place, broker: str, stop: Event, told: Any) -> None:
    """The service that hears; sends the moment of each commit."""

    def arrived(_context: Service, tx: sa.Connection, seen: Opened, message: Message) -> None:
        tx.execute(sa.insert(arrivals).values(notebook=seen.notebook, position=message.position))
        after_commit(tx, lambda: told.send((seen.notebook, time.time())))

    telemetry.set_up("hearing", log_level="warning")
    service = Service("hearing", where, broker)
    Consumer(service, {TOLD: Handler(Opened, arrived)}).run(stop)  # type: ignore[arg-type]


def measure(asked: Place, hearing: Place, broker: str, per_second: float, seconds: float) -> list[float]:
    """Milliseconds from receipt to commit, of each command."""
    stop, (here, there) = processes.Event(), processes.Pipe(duplex=False)
    telling = Service("telling", asked, broker)
    relaying = threading.Thread(target=relay, args=(telling, outbound, stop))
    other = processes.Process(target=hear, args=(hearing, broker, stop, there))
    relaying.start()
    other.start()
    arrived: dict[str, float] = {}
    receiving = threading.Thread(target=lambda: _receive(here, arrived), daemon=True)
    receiving.start()
    accepted = send(telling.store, per_second, seconds, lambda name: _until(lambda: name in arrived))
    _until(lambda: len(arrived) > len(accepted))
    stop.set()
    relaying.join()
    other.join()
    telling.database.close()
    return [(arrived[name] - moment) * 1000 for name, moment in accepted.items()]


def send(store: EventStore, per_second: float, seconds: float, warmed: Any) -> dict[str, float]:
    """A command at each beat of the clock; when each had its receipt."""
    agency = store.agency("bench")

    def command() -> tuple[str, float]:
        name = str(uuid4())
        agency.change(Notebook, name, lambda n: n.open("x" * 400), command_id=name)
        return name, time.time()

    first, _ = command()
    warmed(first)
    due, accepted = time.perf_counter(), {}
    for _ in range(int(per_second * seconds)):
        due += 1 / per_second
        time.sleep(max(due - time.perf_counter(), 0))
        name, moment = command()
        accepted[name] = moment
    return accepted


def bare(broker: str, per_second: float, seconds: float) -> list[float]:
    """Published with a confirm and received, in one process."""
    taken = []
    with Connection(broker, transport_options={"confirm_publish": True}) as connection, Connection(broker) as hearing:
        channel = hearing.channel()
        received: list[Any] = []
        channel.basic_consume("hearing.inbox", callback=received.append)
        producer = connection.Producer()
        for _ in range(int(per_second * min(seconds, 5))):
            began = time.perf_counter()
            producer.publish("{}", exchange="telling.events", routing_key=TOLD, delivery_mode=2)
            while not received:
                hearing.drain_events(timeout=5)
            message = received.pop()
            taken.append((time.perf_counter() - began) * 1000)
            channel.basic_ack(message.delivery_tag)
            time.sleep(1 / per_second)
    return taken


def _receive(here: Any, arrived: dict[str, float]) -> None:
    with contextlib.suppress(EOFError):
        while True:
            name, moment = here.recv()
            arrived[name] = moment


def _until(question: Any) -> None:
    ends = time.monotonic() + 60
    while not question():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.01)


def on_another(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long commands keep coming")
    parser.add_argument("--commands", type=float, default=50, help="a second")
    chosen = parser.parse_args()
    telemetry.set_up("telling", log_level="warning")
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        server, broker = stack.enter_context(durable_postgres()), stack.enter_context(rabbitmq())
        asked, hearing = (stack.enter_context(place("postgresql", folder, server)) for folder in folders)
        database = hearing.database()
        with database.write() as tx:
            arrivals.create(tx)
        database.close()
        set_up(broker, "telling")
        bind_inbox(broker, "hearing", {TOLD: Handler(Opened, print)})
        limit = bare(broker, chosen.commands, chosen.seconds)
        taken = measure(asked, hearing, broker, chosen.commands, chosen.seconds)
    rate = f"command accepted → another service's read model, {chosen.commands:.0f}/s"
    rows = latencies("end to end", rate, taken, limit=limit, notes=("goal: 25 ms", "goal: 100 ms"))
    report(rows, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
