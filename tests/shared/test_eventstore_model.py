"""The event store against the simplest model of it: a list per stream and one list of all."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.database import Database
from shared.domain import ERASED, Receipt
from shared.errors import Refused
from shared.eventstore import EventStore, create_all
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

    @rule(target=sent, agency=AGENCIES, name=IDS, person=PERSONS, texts=TEXTS, within=st.booleans())
    def change(self, agency: str, name: str, person: str, texts: list[str], *, within: bool) -> Any:
        self.commands += 1
        command_id = f"c-{self.commands}"
        stream = self.streams.setdefault((agency, name), [])
        if texts and (agency, person) in self.erased:
            with pytest.raises(Refused):
                self._send(agency, name, person, texts, command_id, within=within)
            return None
        receipt = self._send(agency, name, person, texts, command_id, within=within)
        for text in texts:
            stream.append((person, text, command_id))
            self.log.append((agency, f"notebook-{name}", len(stream)))
        assert receipt.version == len(stream)
        return (agency, name, person, texts, command_id, receipt) if texts else None

    def _send(self, agency: str, name: str, person: str, texts: list[str], command: str, *, within: bool) -> Receipt:
        store = self.store.agency(agency)
        if not within:
            return store.change(Notebook, name, lambda n: n.take(person, *texts), command_id=command)
        with self.store.database.write() as tx:
            return store.change(Notebook, name, lambda n: n.take(person, *texts), command_id=command, tx=tx)

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
        found, after = [], 0
        while page := self.store.follow(after, limit=4):
            found += [(record.agency, record.stream, record.version) for record in page]
            after = page[-1].position
        assert found == self.log
        assert self.store.settled() == self.store.position() == after


def check(url: str, folder: Path, examples: int) -> None:
    class Machine(StoreModel):
        @initialize()
        def begin(self) -> None:
            """Every run has agencies of its own log: the tables are made anew."""
            self.database = Database(url)
            _empty(self.database)
            create_all(self.database)
            self.place = Place(url, folder)
            self.store = self.place.store(self.database)

        def teardown(self) -> None:
            if hasattr(self, "database"):
                self.database.close()

    few = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(Machine, settings=few)


def _empty(database: Database) -> None:
    tables = ("events", "settled", "bookmarks", "inbox", "parked", "person_keys")
    with database.write() as tx:
        for table in tables:
            tx.exec_driver_sql(f"drop table if exists {table}")
        if database.dialect == "postgresql":
            tx.exec_driver_sql("drop function if exists events_stay")


def test_the_store_in_memory_agrees_with_the_model(tmp_path: Path) -> None:
    check("sqlite://", tmp_path, 40)


def test_the_store_in_a_file_agrees_with_the_model(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, 15)


@pytest.mark.real_postgres
def test_the_store_in_postgresql_agrees_with_the_model(tmp_path: Path, postgres_url: str) -> None:
    with fresh_database(postgres_url) as url:
        check(url, tmp_path, 15)
