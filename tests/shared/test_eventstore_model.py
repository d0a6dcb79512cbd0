"""Store, relay and inbox against the simplest model of them: a list per stream, one of all, one of what was acted on.

The broker in between is a list that keeps its order and repeats what was not acknowledged, as the real one does.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from shared.database import Database
from shared.domain import ERASED, Receipt, Recorded
from shared.errors import Refused
from shared.eventstore import EventStore, create_all
from shared.eventstore.inbox import first_times
from shared.messaging import Message
from shared.outbox import relay_once
from tests.support.notebook import Notebook
from tests.support.stores import Place, fresh_database, rolled_back

AGENCIES = st.sampled_from(["jobcenter", "health insurer"])
IDS = st.sampled_from(["1", "2", "2-1"])
PERSONS = st.sampled_from(["p-1", "p-2", "p-3"])
TEXTS = st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8), max_size=3)


class StoreModel(RuleBasedStateMachine):
    """What was told to the store is also told to plain lists; both always agree."""

    database: Database
    store: EventStore
    place: Place

    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        self.erased: set[tuple[str, str]] = set()
        self.log: list[tuple[str, str, int]] = []
        self.commands = 0
        self.queue: list[str] = []
        self.acted: list[str] = []

    @rule(target=sent, agency=AGENCIES, name=IDS, person=PERSONS, texts=TEXTS, within=st.booleans(), new=st.booleans())
    def change(self, agency: str, name: str, person: str, texts: list[str], *, within: bool, new: bool) -> Any:
        self.commands += 1
        command_id = f"c-{self.commands}"
        stream = self.streams.setdefault((agency, name), [])
        if texts and (agency, person) in self.erased:
            with pytest.raises(Refused):
                self._send(agency, name, person, texts, command_id, within=within, new=new)
            return None
        receipt = self._send(agency, name, person, texts, command_id, within=within, new=new)
        for words in texts:
            stream.append((person, words, command_id))
            self.log.append((agency, f"notebook-{name}", len(stream)))
        assert receipt.version == len(stream)
        return (agency, name, person, texts, command_id, receipt) if texts else None

    def _send(
        self, agency: str, name: str, person: str, texts: list[str], command: str, *, within: bool, new: bool = False
    ) -> Receipt:
        store = self.store.agency(agency)
        change = store.create if new else store.change
        if not within:
            return change(Notebook, name, lambda n: n.take(person, *texts), command_id=command)
        with self.store.database.write() as tx:
            return change(Notebook, name, lambda n: n.take(person, *texts), command_id=command, tx=tx)

    @rule(again=sent)
    def repeat(self, again: Any) -> None:
        if again is not None:
            agency, name, person, texts, command_id, receipt = again
            assert self._send(agency, name, person, [*texts, "more"], command_id, within=False) == receipt

    @rule(agency=AGENCIES, name=IDS, person=PERSONS, texts=TEXTS)
    def change_and_roll_back(self, agency: str, name: str, person: str, texts: list[str]) -> None:
        if (agency, person) in self.erased:
            return
        with rolled_back(self.store.database) as tx:
            self.store.agency(agency).change(
                Notebook, name, lambda n: n.take(person, *texts), command_id="rolled back", tx=tx
            )

    @rule(dies=st.booleans())
    def relay(self, *, dies: bool) -> None:
        """Tell the next page; a relay that dies after it told, and before it noted that, tells the same again."""
        told: list[str] = []

        def publish(messages: Any, _stop: Any = None) -> None:
            told.extend(message.id for message in messages)
            if dies:
                raise ZeroDivisionError

        with suppress(ZeroDivisionError):
            relay_once(self, outbound, SimpleNamespace(publish=publish))  # type: ignore[arg-type]
        self.queue += told

    @rule(size=st.integers(1, 5), dies=st.booleans(), acknowledges=st.booleans())
    def deliver(self, size: int, *, dies: bool, acknowledges: bool) -> None:
        """Act on a batch in one transaction, which may fail, or be committed without the broker hearing of it."""
        batch = self.queue[:size]
        if not batch:
            return
        with (rolled_back if dies else Database.write)(self.database) as tx:
            first = first_times(tx, "reader", batch)
            fresh = [message_id for message_id in dict.fromkeys(batch) if message_id in first]
            for message_id in fresh:
                tx.execute(text("insert into effects (message_id) values (:id)"), {"id": message_id})
        if not dies:
            self.acted += fresh
            if acknowledges:
                del self.queue[: len(batch)]

    @rule()
    def after_all_was_told_every_event_had_its_effect_once_and_in_order(self) -> None:
        while relay_once(self, outbound, SimpleNamespace(publish=self._publish)):  # type: ignore[arg-type]
            pass
        while self.queue:
            self.deliver(size=4, dies=False, acknowledges=True)
        with self.database.read() as tx:
            effects = list(tx.execute(text("select message_id from effects order by number")).scalars())
        assert effects == self.acted == [record.event_id for record in self._whole_log()]

    def _publish(self, messages: Any, _stop: Any = None) -> None:
        self.queue += [message.id for message in messages]

    def _whole_log(self) -> list[Recorded]:
        found: list[Recorded] = []
        while page := self.store.follow(found[-1].position if found else 0, limit=4):
            found += page
        return found

    @rule(agency=AGENCIES, person=PERSONS)
    def erase(self, agency: str, person: str) -> None:
        self.store.keys.destroy(agency, person)
        self.erased.add((agency, person))

    @rule()
    def restart(self) -> None:
        """Another process, with nothing in memory."""
        self.store = self.place.store(self.database)

    @rule(agency=AGENCIES, name=IDS)
    def a_stream_holds_what_was_put_into_it(self, agency: str, name: str) -> None:
        expected = self.streams.get((agency, name), [])
        notebook, version = self.store.agency(agency).load(Notebook, name)
        assert version == len(expected)
        assert notebook.texts == tuple(
            ERASED if (agency, person) in self.erased else text for person, text, _ in expected
        )

    @invariant()
    def the_log_holds_everything_in_order(self) -> None:
        records = self._whole_log()
        assert [(record.agency, record.stream, record.version) for record in records] == self.log
        end = records[-1].position if records else 0
        assert self.store.settled() == self.store.position() == end


def outbound(record: Recorded) -> Message:
    return Message(id="", type="test.Noted.v1", agency="", data={"version": record.version})


def check(fresh: Callable[[], str], folder: Path, examples: int) -> None:
    class Machine(StoreModel):
        @initialize()
        def begin(self) -> None:
            """Every run has a database of its own."""
            self.database = Database(fresh())
            create_all(self.database)
            with self.database.write() as tx:
                kind = "integer" if tx.dialect.name == "sqlite" else "serial"
                tx.execute(text(f"create table effects (number {kind} primary key, message_id text not null)"))
            self.place = Place(self.database.url.render_as_string(hide_password=False), folder)
            self.store = self.place.store(self.database)

        def teardown(self) -> None:
            if hasattr(self, "database"):
                self.after_all_was_told_every_event_had_its_effect_once_and_in_order()
                self.database.close()

    few = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(Machine, settings=few)


def test_the_backbone_in_memory_agrees_with_the_model(tmp_path: Path) -> None:
    check(lambda: "sqlite://", tmp_path, 60)


def test_the_backbone_in_a_file_agrees_with_the_model(tmp_path: Path) -> None:
    numbers = count()
    check(lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}", tmp_path, 15)


@pytest.mark.real_postgres
def test_the_backbone_in_postgresql_agrees_with_the_model(tmp_path: Path, postgres_url: str) -> None:
    with fresh_database(postgres_url) as url:

        def emptied() -> str:
            database = Database(url)
            with database.write() as tx:
                tx.execute(text("drop schema public cascade"))
                tx.execute(text("create schema public"))
            database.close()
            return url

        check(emptied, tmp_path, 15)
