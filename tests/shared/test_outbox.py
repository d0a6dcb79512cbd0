import contextlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from shared.config import Settings
from shared.database import Database
from shared.domain import Recorded
from shared.errors import Unavailable
from shared.eventstore import EventStore
from shared.messaging import Message
from shared.outbox import leading, relay_once
from shared.runtime import calls_of
from shared.runtime import context as open_context
from tests.support import flow
from tests.support.servers import Postgres, RabbitMQ


@dataclass
class Paper:
    """A publisher that writes down, and tears the page if it is told to."""

    published: list[Message] = field(default_factory=list)
    torn: bool = False

    def publish(self, messages: Sequence[Message], stop: Event | None = None) -> None:
        self.published += messages
        if self.torn:
            raise Unavailable("broker.unavailable")


@dataclass
class Bells:
    name: str
    settings: Settings
    database: Database
    store: EventStore

    def ring(self, times: int, bell: str = "b-1") -> None:
        store = self.store.agency("jobcenter")
        store.change(flow.Bell, bell, lambda it: it.ring(times), command_id=uuid.uuid4().hex)


@pytest.fixture
def bells(tmp_path: Path) -> Iterator[Bells]:
    settings = flow.prepare(tmp_path, f"inproc://{uuid.uuid4().hex}")
    held = open_context("bell", settings)
    yield Bells("bell", settings, held.database, held.store)
    held.close()


def test_events_are_told_once_and_in_order(bells: Bells) -> None:
    bells.ring(3)
    paper = Paper()
    assert relay_once(bells, flow.outbound, paper) == 3
    assert relay_once(bells, flow.outbound, paper) == 0
    assert [message.data["position"] for message in paper.published] == [1, 2, 3]


def test_a_message_bears_the_id_of_its_event_and_the_order_of_its_stream(bells: Bells) -> None:
    bells.ring(1)
    paper = Paper()
    relay_once(bells, flow.outbound, paper)
    [record] = bells.store.follow(0)
    [message] = paper.published
    assert message.id == record.event_id
    assert message.key == "jobcenter/bell-b-1"
    assert message.agency == "jobcenter"
    assert message.position == record.position


def test_an_event_may_be_told_in_two_versions(bells: Bells) -> None:
    def both(record: Recorded) -> list[Message]:
        older = Message(id="", type="bell.BellRung.v1", agency="", data={"bell": record.id})
        return [older, replace(older, type="bell.BellRung.v2", data={"bells": [record.id]})]

    bells.ring(1)
    paper = Paper()
    assert relay_once(bells, both, paper) == 1
    assert [message.type for message in paper.published] == ["bell.BellRung.v1", "bell.BellRung.v2"]
    assert len({message.id for message in paper.published}) == 1


def test_an_unconfirmed_page_is_told_again_with_the_same_ids(bells: Bells) -> None:
    bells.ring(2)
    paper = Paper(torn=True)
    with pytest.raises(Unavailable):
        relay_once(bells, flow.outbound, paper)
    paper.torn = False
    assert relay_once(bells, flow.outbound, paper) == 2
    ids = [message.id for message in paper.published]
    assert ids[:2] == ids[2:]


def test_events_that_do_not_leave_are_passed_over(bells: Bells) -> None:
    bells.ring(2)
    paper = Paper()
    assert relay_once(bells, lambda record: None, paper) == 2
    assert paper.published == []
    assert relay_once(bells, flow.outbound, paper) == 0


@contextlib.contextmanager
def services(state: Path, broker: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.flow_process", str(state), broker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def heard(echo: Database) -> list[str]:
    with echo.read() as tx:
        return list(tx.execute(sa.select(flow.heard.c.bell).order_by(flow.heard.c.number)).scalars())


def until_heard(echo: Database, count: int) -> list[str]:
    ends = time.monotonic() + 60
    while len(found := heard(echo)) < count:
        assert time.monotonic() < ends, f"{len(found)} of {count} arrived"
        time.sleep(0.005)
    return found


@pytest.fixture(params=["inproc", pytest.param("rabbitmq", marks=pytest.mark.real_rabbitmq)])
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "inproc":
        return "inproc://"
    server: RabbitMQ = request.getfixturevalue("rabbitmq_server")
    return server.url


def test_killing_the_process_again_and_again_loses_nothing_and_repeats_nothing(tmp_path: Path, broker: str) -> None:
    settings = flow.prepare(tmp_path, broker)
    held = open_context("bell", settings)
    bells = Bells("bell", settings, held.database, held.store)
    echo = Database(settings.database_url("echo"))
    expected = [f"b-{number}" for number in range(3) for _ in range(400)]
    for number in range(3):
        bells.ring(400, f"b-{number}")
    reached = 0
    for _ in range(4):
        with services(tmp_path, broker) as process:
            reached = len(until_heard(echo, min(reached + 150, len(expected))))
            process.send_signal(signal.SIGKILL)
            process.wait()
    with services(tmp_path, broker):
        until_heard(echo, len(expected))
        time.sleep(0.3)
    assert heard(echo) == expected
    held.close()
    echo.close()


def test_a_stopped_process_ends_by_itself_and_soon(tmp_path: Path) -> None:
    flow.prepare(tmp_path, "inproc://")
    with services(tmp_path, "inproc://") as process:
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.mark.real_rabbitmq
def test_plain_threads_of_another_process_get_their_own_answers(tmp_path: Path, rabbitmq_server: RabbitMQ) -> None:
    """As the gateway asks: unpatched, with a pool of threads."""
    settings = flow.prepare(tmp_path, rabbitmq_server.url)
    with services(tmp_path, rabbitmq_server.url), ThreadPoolExecutor(8) as threads:
        gateway = calls_of("gateway", settings)

        def ask(number: int) -> str:
            question = flow.Greet(person_id="p-1", name=str(number))
            answer = gateway.ask("echo", "ask_back", question, flow.Greeting, caller=flow.CALLER, timeout=20)
            return str(answer.text)

        assert list(threads.map(ask, range(60))) == [f"good day, {number}" for number in range(60)]
        gateway.close()


@pytest.mark.real_postgres
def test_of_several_processes_one_tells_and_another_takes_over(postgres_server: Postgres) -> None:
    first, second = Database(postgres_server.url), Database(postgres_server.url)
    with leading(first) as leads:
        assert leads()
        with leading(second) as standing_by:
            assert not standing_by()
    with leading(second) as took_over:
        assert took_over()
    first.close()
    second.close()
