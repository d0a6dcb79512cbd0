"""Personal data appears nowhere but in sealed fields: searched for in every file, database, queue, log line and span.

The search proves itself: a leak that is planted on purpose is found by it.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import amqp
import pytest
import sqlalchemy as sa

from services import SERVICES
from services.command.demo.world import PARTNERS
from shared.messaging import Mailbox
from tests.journeys.acting import Office
from tests.support.leaks import Leak, leaks_in, leaks_under, spellings
from tests.support.platform import Platform

NAME, BIRTH_DATE = "Ottilie Quendelwasser-Zabel", "1979-12-21"
SECRET_TEXT = "Befundtext-Kolibri-4711"
WORDS = (NAME, "Quendelwasser", BIRTH_DATE, SECRET_TEXT)
NOT_OURS = ("demo.json",)
PENSION, HEALTH = PARTNERS
QUEUES = ("rpc-{}", "{}.inbox", "{}.dead")


def live(platform: Platform) -> None:
    """A person lives through everything: recorded, assessed, disclosed, withdrawn, refused, mistyped."""
    office = Office(platform).open()
    person = office.person(NAME, BIRTH_DATE)
    entry = {"person_id": person, "category": "health_data", "content": SECRET_TEXT, "origin": "person"}
    office.worker.post("/entries", entry, "leak-entry-" + person)
    office.worker.post("/cases", {"person_id": person, "main_companion": "demo-fachkraft"}, "leak-case-" + person)
    for partner in (PENSION, HEALTH):
        consent = office.consent(person, partner, ["master_data", "health_data"])
        reasons = f"{NAME} braucht die Konferenz"
        made = office.disclose(person, partner, ["master_data", "health_data"], reasons=reasons)
        assert made["state"] in ("permitted", "handed_over"), made["answer"]
        office.worker.post(f"/consents/{consent}/withdrawal", {}, "leak-withdrawal-" + consent)
        office.disclose(person, partner, ["master_data", "health_data"], reasons=reasons)
    wrong = {"person_id": person, "name": NAME, "birth_date": BIRTH_DATE + "T", "unknown": SECRET_TEXT}
    office.worker.post("/persons", wrong, "leak-wrong-" + person, expect=(422,))


def sqlite_text(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The databases as text, so that no page layout hides anything."""
    for path in folder.glob("*.db"):
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            yield from _tables(path.name, connection)
        engine.dispose()


def postgres_text(platform: Platform) -> Iterator[tuple[str, bytes]]:
    for service in (*SERVICES, "gateway"):
        url = platform.settings.database_url(service)
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            yield from _tables(service, connection)
        engine.dispose()


def _tables(name: str, connection: sa.Connection) -> Iterator[tuple[str, bytes]]:
    for table in sa.inspect(connection).get_table_names():
        rows = connection.exec_driver_sql(f'select * from "{table}"').all()
        text = "\n".join(" ".join(_shown(value) for value in row) for row in rows)
        yield f"{name}.{table}", text.encode()


def _shown(value: object) -> str:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("latin-1")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)


class Tap:
    """Copies of everything that passes the exchanges of the broker, RPC questions and answers included."""

    def __init__(self, platform: Platform) -> None:
        assert platform.broker is not None
        broker = platform.broker
        login = broker.url.split("//")[1].split("@")[0].split(":")
        self._connection = amqp.Connection(
            host=f"{broker.host}:{broker.port}", userid=login[0], password=login[1], virtual_host="/handschlag"
        )
        self._connection.connect()
        self._channel = self._connection.channel()
        self.bodies: list[bytes] = []
        queue = self._channel.queue_declare("", exclusive=True).queue
        for exchange in ("nameko-rpc", "handschlag.inbox", *(f"{service}.events" for service in SERVICES)):
            self._channel.queue_bind(queue, exchange, "#")
        for partner in PARTNERS:
            self._channel.queue_bind(queue, "handschlag.partners", f"partner.{partner}")
        self._channel.basic_consume(queue, no_ack=True, callback=self._take)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _take(self, message: amqp.Message) -> None:
        about = json.dumps([message.delivery_info["routing_key"], message.properties], default=str)
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        self.bodies.append(about.encode() + body)

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.2)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()


def test_in_one_process_nothing_stands_in_the_open(embedded_platform: Platform) -> None:
    live(embedded_platform)
    folder = embedded_platform.settings.state
    assert list(leaks_under(folder, WORDS, NOT_OURS)) == []
    assert [leak for name, text in sqlite_text(folder) for leak in leaks_in(name, text, WORDS)] == []
    assert (folder / "spans.jsonl").stat().st_size > 0
    assert (folder / "platform.log").stat().st_size > 0


def test_on_real_servers_nothing_stands_in_the_open(deployed_platform: Platform) -> None:
    with Tap(deployed_platform) as tap:
        live(deployed_platform)
    assert len(tap.bodies) > 50, "the tap saw no traffic"
    heard = [leak for body in tap.bodies for leak in leaks_in("a message", body, WORDS)]
    stored = [leak for name, text in postgres_text(deployed_platform) for leak in leaks_in(name, text, WORDS)]
    files = list(leaks_under(deployed_platform.settings.state, WORDS, NOT_OURS))
    broker = list(leaks_under(broker_folder(deployed_platform), WORDS))
    assert heard + stored + files + broker == []


def test_a_planted_leak_is_found(deployed_platform: Platform, tmp_path: Path) -> None:
    """In a message, in a table, in a log line, in a file name: the same search, the same words."""
    with Tap(deployed_platform) as tap:
        assert deployed_platform.broker is not None
        Mailbox(deployed_platform.broker.url).put(
            f"partner.{HEALTH}", "planted", json.dumps({"name": NAME}).encode(), {}, "application/json"
        )
    assert Leak("a message", NAME) in [leak for body in tap.bodies for leak in leaks_in("a message", body, WORDS)]
    with Mailbox(deployed_platform.broker.url).take_back(f"partner.{HEALTH}"):
        pass
    for content in spellings(NAME):
        (tmp_path / "planted.log").write_bytes(b"before " + content + b" after")
        assert [leak.word for leak in leaks_under(tmp_path, [NAME])] == [NAME]
    (tmp_path / "planted.log").unlink()
    (tmp_path / f"{BIRTH_DATE}.txt").touch()
    assert list(leaks_under(tmp_path, WORDS))
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'planted.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table t (a text)")
        connection.exec_driver_sql("insert into t values (?)", (BIRTH_DATE,))
    assert [leak for name, text in sqlite_text(tmp_path) for leak in leaks_in(name, text, WORDS)]


def broker_folder(platform: Platform) -> Path:
    """Where our private broker keeps queues on disk and writes its log."""
    assert platform.broker is not None
    if platform.broker.keeper is None:
        pytest.fail("a broker that the environment names cannot be searched; use a private one")
    return platform.broker.keeper.folders[0]
