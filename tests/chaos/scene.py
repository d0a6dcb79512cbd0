"""A scene: two services of several processes on a real PostgreSQL and a real RabbitMQ, and what may go wrong there.

Between the processes and the servers lie cables that can be pulled. `verdict` waits until nothing moves any more and
says what is not as promised: every receipt true, every event projected and heard exactly once, in the order of its
stream, nothing left waiting.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from kombu import Connection
from sqlalchemy.engine import make_url

from shared.domain import Recorded
from shared.errors import Unavailable
from shared.eventstore import create_all
from shared.messaging import Inbox, Publisher, bind_inbox, set_up
from shared.outbox import messages_of
from tests.chaos.part import HANDLERS, HEARER, TELLER, Standing, heard, opened, outbound, shown
from tests.support.cable import Cable
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.platform import Part
from tests.support.servers import NoServerError, Postgres, RabbitMQ, private_postgres, private_rabbitmq

T = TypeVar("T")
ROLES = ("writer", "relay", "projector", "hearer")
NAMES = {"writer": "writer", **{f"{role} {n}": role for role in ROLES[1:] for n in (1, 2)}}
FEW = 100
REST_WITHIN = 120.0
QUIET_SECONDS = 1.5
ATTEMPTS = 20
FULL_AT = 20 * 2**20


class Scene:
    """The processes, the servers, and what can be done to them."""

    def __init__(self, folder: Path, postgres: Postgres, rabbitmq: RabbitMQ) -> None:
        self.folder, self.postgres, self.rabbitmq = folder, postgres, rabbitmq
        database = make_url(postgres.url)
        self.to_database = Cable(str(database.host), database.port or 5432)
        self.to_broker = Cable(rabbitmq.host, rabbitmq.port)
        self.broker = rabbitmq.url.replace(f":{rabbitmq.port}/", f":{self.to_broker.port}/")
        self.server = database.set(port=self.to_database.port).render_as_string(hide_password=False)
        self.teller = opened(TELLER, folder, postgres.url, rabbitmq.url)
        self.hearer = opened(HEARER, folder, postgres.url, rabbitmq.url)
        self.parts: dict[str, Part] = {}
        self.kills = 0

    def begin(self) -> None:
        """Databases, queues, processes."""
        with psycopg.connect(self.postgres.url, autocommit=True) as server:
            for name in (TELLER, HEARER):
                server.execute(f"create database chaos_{name}")
        for here, table in ((self.teller, shown), (self.hearer, heard)):
            create_all(here.database)
            with here.database.write() as tx:
                table.create(tx)
        set_up(self.rabbitmq.url, TELLER)
        bind_inbox(self.rabbitmq.url, HEARER, HANDLERS)
        for name, role in NAMES.items():
            arguments = [sys.executable, "-m", "tests.chaos.part", role, str(self.folder), self.server, self.broker]
            self.parts[name] = Part(arguments, {}, self.folder / f"{name}.log")
            self.parts[name].start()

    def end(self) -> None:
        for part in self.parts.values():
            part.kill()
        for here in (self.teller, self.hearer):
            here.database.close()
        self.to_database.cut()
        self.to_broker.cut()

    # --- what can go wrong ------------------------------------------------------------------------------------

    def kill(self, chance: random.Random, times: int, longest: float = 0.5) -> None:
        """`kill -9` of any process at any moment."""
        for _ in range(times):
            time.sleep(chance.uniform(0, longest))
            part = self.parts[chance.choice(sorted(self.parts))]
            part.kill()
            part.start()
            self.kills += 1

    def stop_broker(self, seconds: float) -> None:
        assert self.rabbitmq.keeper is not None
        self.rabbitmq.keeper.stop()
        time.sleep(seconds)
        self.rabbitmq.restart()

    def restart_database(self, seconds: float = 0) -> None:
        """Without a warning, as if the machine had failed."""
        assert self.postgres.keeper is not None
        self.postgres.keeper.kill()
        time.sleep(seconds)
        for _ in range(ATTEMPTS):
            with contextlib.suppress(NoServerError):  # its last processes may not have noticed yet
                self.postgres.restart()
                return
            time.sleep(0.5)
        self.postgres.restart()

    def pull_cables(self, chance: random.Random, times: int) -> None:
        """In the middle of whatever is under way, commits and confirms included."""
        for _ in range(times):
            time.sleep(chance.uniform(0, 0.4))
            cable = chance.choice([self.to_database, self.to_database, self.to_broker])
            cable.cut()
            time.sleep(chance.uniform(0, 0.2))
            cable.mend()

    def fill_disk(self, seconds: float) -> None:
        """The operating system lets no file of PostgreSQL grow any more.

        The limit is one of size per file (RLIMIT_FSIZE), so the write fails in the kernel where a full disk fails; its
        number is EFBIG instead of ENOSPC. The log of events is made larger than the limit first; segments of the
        write-ahead log are smaller and stay writable.
        """
        while _count(self.teller, "select pg_relation_size('events')") < FULL_AT + 2**20:
            self._grow()
        self._limit_files(str(FULL_AT))
        try:
            for _ in range(50):
                self._grow()
        except (psycopg.Error, sa.exc.DBAPIError, Unavailable):
            time.sleep(seconds)
        else:
            raise AssertionError("the disk was not full")
        finally:
            self._limit_files("unlimited")

    def _grow(self) -> None:
        """A hundred events just too small to be put elsewhere by PostgreSQL."""
        large = [NotebookOpened(title="x" * 1700)] * 100
        self.teller.store.agency("a").change(Notebook, f"large-{uuid4()}", lambda _: large, command_id="c")

    def _limit_files(self, most: str) -> None:
        """For every process of the server, in the name of whoever runs it; new ones inherit it."""
        assert self.postgres.keeper is not None
        lock = self.postgres.keeper.folders[0] / "data" / "postmaster.pid"
        master = int(lock.read_text().split()[0])
        others = [row[0] for row in _rows(self.teller, "select pid from pg_stat_activity")]
        owner = Path(f"/proc/{master}").stat()
        identity: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        identity = {} if owner.st_uid == os.geteuid() else identity
        for process in (master, *others):
            command = ["prlimit", f"--pid={process}", f"--fsize={most}:"]
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL, cwd="/", **identity)

    def deliver_again(self, chance: random.Random) -> None:
        """Messages that were heard already, in any order, and each of them more than once."""
        records = patiently(self._heard)
        messages = [message for record in records for message in messages_of(outbound, record)] * 2
        chance.shuffle(messages)
        publisher = Publisher(self.rabbitmq.url, TELLER)
        publisher.publish(messages)
        publisher.close()

    def _heard(self) -> list[Recorded]:
        """The first of them, as soon as there are some."""
        ends = time.monotonic() + REST_WITHIN
        while True:
            known = {event_id for (event_id,) in _rows(self.hearer, "select event_id from heard_notes")}
            found = [record for record in self.teller.store.follow(0, 500) if record.event_id in known]
            if len(found) >= FEW or time.monotonic() > ends:
                return found
            time.sleep(0.25)

    def order(self, name: str, text: str = "") -> None:
        """Tell the processes something (see `part`); without a text the order is taken back."""
        (self.folder / name).write_text(text)

    @contextmanager
    def ordered(self, name: str, text: str) -> Iterator[None]:
        self.order(name, text)
        try:
            yield
        finally:
            self.order(name)

    # --- what has to be true all the same ---------------------------------------------------------------------

    def inbox(self) -> Inbox:
        return Inbox(self.hearer, HANDLERS)

    def counts(self) -> Mapping[str, int]:
        """How many events there are, and how many were shown and heard."""
        return {
            "events": _count(self.teller, "select count(*) from events"),
            "shown": _count(self.teller, "select count(*) from shown_notes"),
            "heard": _count(self.hearer, "select count(*) from heard_notes"),
            "parked": _count(self.hearer, "select count(*) from parked"),
        }

    def waiting_at_the_broker(self) -> int:
        """How many messages are ready and not given to anybody."""
        with Connection(self.rabbitmq.url) as connection:
            return int(connection.default_channel.queue_declare(f"{HEARER}.inbox", passive=True).message_count)

    def rest(self, within: float = REST_WITHIN) -> Mapping[str, int]:
        """Wait until everything is shown and heard, or until that takes too long. For when nobody writes any more."""
        ends, found = time.monotonic() + within, self.counts()
        while not _is_at_rest(found) and time.monotonic() < ends:
            time.sleep(0.25)
            found = self.counts()
        return found

    def verdict(self, within: float = REST_WITHIN) -> list[str]:
        """What is not as promised once nobody writes any more; empty when everything is."""
        with self.quiet():
            return self._verdict(within)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nobody writes, as soon as what is under way has got its receipts."""
        with self.ordered("quiet", "yes"):
            before = -1
            while (now := _count(self.teller, "select count(*) from events")) != before:
                before = now
                time.sleep(QUIET_SECONDS)
            yield

    def _verdict(self, within: float) -> list[str]:
        found = self.rest(within)
        events = _rows(self.teller, "select event_id::text, stream, version from events order by position")
        faults = [] if _is_at_rest(found) else [f"something is still under way: {dict(found)}"]
        faults += _differences("shown", events, _rows(self.teller, "select * from shown_notes order by number", 1))
        faults += _differences("heard", events, _rows(self.hearer, "select * from heard_notes order by number", 1))
        return faults + self._false_receipts()

    def _false_receipts(self) -> list[str]:
        commands = Counter(row[0] for row in _rows(self.teller, "select meta ->> 'command' from events"))
        places = {row[1:]: row[0] for row in _rows(self.teller, "select position, stream, version from events")}
        faults = []
        for line in (self.folder / "receipts").read_text().splitlines():
            stream, version, position, command_id, count = line.rsplit(" ", 4)
            if places.get((stream, int(version))) != int(position) or commands[command_id] != int(count):
                faults.append(f"a receipt is false: {line}")
        return faults + [f"{name} was rolled back and is there" for _, name, _ in _never(self.teller)]


def _is_at_rest(found: Mapping[str, int]) -> bool:
    return found["events"] == found["shown"] == found["heard"] and not found["parked"]


def _differences(what: str, events: list[tuple], there: list[tuple]) -> list[str]:
    expected, found = Counter(row[0] for row in events), Counter(row[0] for row in there)
    lost, doubled = expected - found, found - expected
    reached: Counter[str] = Counter()
    misordered = 0
    for _, stream, version in there:
        misordered += version != reached[stream] + 1
        reached[stream] = version
    figures = {"not": lost.total(), "too often": doubled.total(), "out of order": misordered}
    return [f"{count} events were {what} {fault}" for fault, count in figures.items() if count]


def _never(here: Standing) -> list[tuple]:
    return _rows(here, "select position, stream, version from events where stream like '%-never'")


def _rows(here: Standing, question: str, skip: int = 0) -> list[tuple]:
    def ask() -> list[tuple]:
        with here.database.read() as tx:
            return [tuple(row)[skip:] for row in tx.execute(sa.text(question))]

    return patiently(ask)


def patiently(action: Callable[[], T]) -> T:
    """Whoever looks on meets a database that was away just now, too."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(Unavailable):
            return action()
        time.sleep(0.5)
    return action()


def _count(here: Standing, question: str) -> int:
    return int(_rows(here, question)[0][0])


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Servers of one's own, and everything started."""
    with ExitStack() as stack:
        postgres = stack.enter_context(private_postgres(settings={"checkpoint_timeout": "30s"}))
        rabbitmq = stack.enter_context(private_rabbitmq())
        made = Scene(folder, postgres, rabbitmq)
        stack.callback(made.end)
        made.begin()
        yield made
