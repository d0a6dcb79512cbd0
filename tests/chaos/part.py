"""One process of a scene: it writes, tells, projects or hears, until it is killed, whatever happens around it.

    python -m tests.chaos.part ROLE FOLDER DATABASE BROKER

Files in FOLDER tell it what to do: `poison` (streams whose messages cannot be handled), `slow` (seconds a message
takes), `clock` (days by which the clock is wrong), `quiet` (write nothing more). What was receipted stands in
`receipts`.
"""

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from shared.clock import legal_day
from shared.config import Settings
from shared.database import Database
from shared.domain import Receipt, Recorded, value
from shared.errors import Refused
from shared.eventstore import EventStore, Projection, run_once
from shared.messaging import Consumer, Handler, Message, message_of
from shared.outbox import relay
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.stores import Place

TELLER, HEARER = "teller", "hearer"
TOLD = f"{TELLER}.NotebookOpened.v1"
WRITERS = 4
PAUSE = 0.05
ALONE, ROLLED_BACK = 0.6, 0.7

tables = sa.MetaData()
shown, heard = (
    sa.Table(
        name,
        tables,
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("event_id", sa.String, nullable=False),
        sa.Column("stream", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    for name in ("shown_notes", "heard_notes")
)
shown_tables = sa.MetaData()
shown.to_metadata(shown_tables)


def show(tx: sa.Connection, record: Recorded) -> None:
    tx.execute(sa.insert(shown).values(event_id=record.event_id, stream=record.stream, version=record.version))


SHOWN = Projection("shown", shown_tables, show)


@value
class Noted:
    stream: str
    version: int


def hear_all(context: "Standing", tx: sa.Connection, seen: Sequence[Noted], messages: Sequence[Message]) -> None:
    poisoned, slow = context.orders("poison").split(), float(context.orders("slow") or 0)
    for noted, message in zip(seen, messages, strict=True):
        time.sleep(slow)
        if noted.stream in poisoned:
            raise Refused("hearer.poisoned")
        tx.execute(sa.insert(heard).values(event_id=message.id, stream=noted.stream, version=noted.version))


HANDLERS = {TOLD: Handler(Noted, hear_all, together=True)}


def outbound(record: Recorded) -> Message:
    return message_of(TELLER, record, {"stream": record.stream, "version": record.version})


@dataclass(frozen=True)
class JumpyClock:
    """Wrong by as many days as the file `clock` says."""

    folder: Path

    def now(self) -> datetime:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return datetime.now(UTC) + timedelta(days=float((self.folder / "clock").read_text()))
        return datetime.now(UTC)

    def today(self) -> date:
        return legal_day(self.now())


@dataclass(frozen=True)
class Standing:
    """What a service holds, here."""

    name: str
    settings: Settings
    database: Database
    store: EventStore
    clock: JumpyClock
    folder: Path

    def orders(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""


def opened(name: str, folder: Path, server: str, broker: str) -> Standing:
    url = make_url(server).set(database=f"chaos_{name}").render_as_string(hide_password=False)
    clock, database = JumpyClock(folder), Database(url)
    store = Place(url, folder).store(database, clock)
    return Standing(name, Settings(mode="test", broker=broker), database, store, clock, folder)


def again_and_again(part: Callable[[threading.Event], object]) -> None:
    """As the platform runs its parts: one that fails is started again."""
    never = threading.Event()
    while True:
        try:
            part(never)
        except Exception as error:  # noqa: BLE001 - that is what this is about
            print(type(error).__name__, error, file=sys.stderr, flush=True)
        time.sleep(PAUSE)


@dataclass(frozen=True)
class Change:
    """One command, and how it comes: alone, after a rollback, or in a transaction that commits late."""

    name: str
    command_id: str
    events: int
    how: float

    def made(self, here: Standing) -> Receipt:
        agency = here.store.agency("a")
        if self.how < ALONE:
            return agency.change(Notebook, self.name, self._decide, command_id=self.command_id)
        if self.how < ROLLED_BACK:
            with contextlib.suppress(ZeroDivisionError), here.database.write() as tx:
                agency.change(Notebook, f"{self.name}-never", self._decide, command_id=self.command_id, tx=tx)
                raise ZeroDivisionError
        with here.database.write() as tx:
            receipt = agency.change(Notebook, self.name, self._decide, command_id=self.command_id, tx=tx)
            time.sleep((self.how - ALONE) / 20)
        return receipt

    def _decide(self, _: Notebook) -> list[Any]:
        return [NotebookOpened(title="x" * 100)] * self.events


def write(here: Standing, number: int) -> None:
    """A command after the other, each until it got its receipt, as a client does."""
    chance = random.Random()
    receipts = os.open(here.folder / "receipts", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for turn in count():
        while here.orders("quiet"):
            time.sleep(PAUSE)
        command_id = f"{os.getpid()}-{number}-{time.time_ns()}-{turn}"
        change = Change(f"{number}-{chance.randrange(5)}", command_id, chance.choice([1, 1, 3]), chance.random())
        receipt = until_receipted(here, change)
        line = f"{receipt.stream} {receipt.version} {receipt.position} {command_id} {change.events}\n"
        os.write(receipts, line.encode())
        time.sleep(chance.random() * 0.01)


def until_receipted(here: Standing, change: Change) -> Receipt:
    while True:
        try:
            return change.made(here)
        except Exception as error:  # noqa: BLE001 - that is what this is about
            print("write", type(error).__name__, error, file=sys.stderr, flush=True)
            time.sleep(PAUSE)


def project(here: Standing, _stop: threading.Event) -> None:
    while True:
        if not run_once(here.store, SHOWN):
            here.store.wait(here.store.settled(), 0.2)


def main() -> None:
    role, folder, server, broker = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    here = opened(HEARER if role == "hearer" else TELLER, folder, server, broker)
    if role == "writer":
        for number in range(1, WRITERS):
            threading.Thread(target=lambda n=number: again_and_again(lambda _: write(here, n)), daemon=True).start()
        again_and_again(lambda _: write(here, 0))
    elif role == "relay":
        again_and_again(lambda stop: relay(here, outbound, stop))
    elif role == "projector":
        again_and_again(lambda stop: project(here, stop))
    else:
        again_and_again(lambda stop: Consumer(here, HANDLERS).run(stop))


if __name__ == "__main__":
    main()
