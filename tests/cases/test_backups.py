"""A restored backup brings back rows, and what was erased stays erased: shown by restoring one."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from services.cases.domain.person import Person, RegisterPerson
from services.command.custody import BACKUP_WINDOW, Periods, Rotated, rotate
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.domain import ERASED
from shared.errors import Unavailable
from shared.eventstore import EventStore
from shared.migrate import migrate
from tests.support.clock import FixedClock

AGENCY, PERSON, NAME = "jc", "p-1", "Ottilie Quendelwasser"


class House:
    """One service with a database, a custody and a list of erased persons, each in a place of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FixedClock()
        self.file, self.backup = folder / "cases.db", folder / "backup.db"
        self.custody = FileCustody(folder / "keys" / "cases-persons.json")
        self.periods = Periods(folder / "keys" / "cases-periods.json")
        migrate("cases", f"sqlite:///{self.file}")
        self.open()

    def open(self) -> None:
        self.database = Database(f"sqlite:///{self.file}")
        self.keys = PersonKeys(self.database, self.custody, self.clock, self.folder / "erased" / "cases.jsonl")
        self.store = EventStore(self.database, self.keys, self.clock, service="cases").agency(AGENCY)

    def register(self, person_id: str, name: str) -> None:
        wanted = RegisterPerson(person_id=person_id, name=name, birth_date=date(1979, 12, 21))
        self.store.change(Person, person_id, lambda person: person.register(wanted), command_id=f"c-{person_id}")

    def name(self, person_id: str = PERSON) -> object:
        registered = self.store.load(Person, person_id)[0].registered
        assert registered is not None
        return registered.name

    def back_up(self) -> None:
        self.database.forget_deleted()
        shutil.copy(self.file, self.backup)

    def restore(self) -> None:
        self.database.close()
        for leftover in self.folder.glob("cases.db*"):
            leftover.unlink()
        shutil.copy(self.backup, self.file)
        self.open()

    def rotate(self, *, now: bool = False) -> Rotated:
        return rotate("cases", self.keys, self.custody, self.periods, self.clock.today(), now=now)


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.register(PERSON, NAME)
    return made


def test_a_backup_restored_within_its_window_brings_the_key_back_until_it_is_erased_again(house: House) -> None:
    house.register("p-2", "Zita Zwei")
    house.back_up()
    house.keys.destroy(AGENCY, PERSON)
    assert house.name() == ERASED
    house.restore()
    assert house.name() == NAME, "this is why the list beside the database is there"
    assert house.keys.erase_again() == 1
    house.open()
    assert house.name() == ERASED
    assert house.name("p-2") == "Zita Zwei"
    assert house.keys.erase_again() == 0


def test_a_backup_older_than_the_window_opens_nothing_any_more(house: House) -> None:
    house.back_up()
    house.keys.destroy(AGENCY, PERSON)
    house.rotate(now=True)
    house.clock.move(days=BACKUP_WINDOW.days + 1)
    house.rotate()
    house.restore()
    with pytest.raises(Unavailable, match=r"custody.key_missing"):
        house.name()


def test_living_persons_are_read_through_every_rotation(house: House) -> None:
    for _ in range(14):
        house.clock.move(days=30)
        house.rotate()
        house.open()
        assert house.name() == NAME
    assert len(house.custody.info().held) <= 3


def test_a_period_is_a_month_and_what_ended_is_kept_for_the_backups(house: House) -> None:
    first = house.custody.info().current
    assert not house.rotate().begun
    house.clock.move(days=27)
    assert not house.rotate().begun
    house.clock.move(days=1)
    begun = house.rotate()
    assert (begun.begun, begun.rewrapped, begun.destroyed, begun.waiting) == (True, 1, (), (first,))
    house.clock.move(days=BACKUP_WINDOW.days)
    assert first not in house.rotate().destroyed
    house.clock.move(days=1)
    assert first in house.rotate().destroyed
    assert first not in house.rotate().destroyed


def test_a_rotation_that_was_interrupted_is_finished_by_the_next_one(house: House) -> None:
    first = house.custody.info().current
    house.custody.rotate()
    house.open()
    done = house.rotate()
    assert (done.rewrapped, done.waiting) == (1, (first,))
    house.clock.move(days=BACKUP_WINDOW.days + 1)
    assert first in house.rotate(now=True).destroyed


def test_an_erasure_that_a_killed_process_did_not_note_is_noted_later(house: House) -> None:
    with house.database.write() as tx:
        house.keys.destroy(AGENCY, PERSON, tx)
    assert house.keys.note_erased() == 1
    assert house.keys.note_erased() == 0
