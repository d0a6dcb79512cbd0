"""A receipt that was given stays true: the writer is killed in the middle, twenty times, and nothing is half there."""

import multiprocessing
import random
import time
from collections import Counter

import pytest
from sqlalchemy import text

from shared.eventstore import EventStore
from tests.support.crashing_writer import Given, write
from tests.support.notebook import Notebook
from tests.support.stores import Place

KILLS = 20

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.support.crashing_writer"])


@pytest.mark.timeout(300)
def test_every_receipt_given_before_a_kill_is_true_after_it(shared_place: Place) -> None:
    chance = random.Random(2026)
    given = [one for seed in range(KILLS) for one in until_killed(shared_place, seed, chance.random() * 0.2)]
    database = shared_place.database()
    store = shared_place.store(database)
    assert len(given) > KILLS
    check_receipts(store, given)
    check_whole_log(store)
    store.agency("jobcenter").change(Notebook, "after", lambda n: n.open("x"), command_id="c")
    assert store.follow(store.settled() - 1)[0].id == "after"
    database.close()


def until_killed(place: Place, seed: int, seconds: float) -> list[Given]:
    """What the writer said before it was killed, `seconds` after its first receipt."""
    here, there = processes.Pipe(duplex=False)
    writer = processes.Process(target=write, args=(place, seed, there))
    writer.start()
    there.close()
    try:
        given = [here.recv()]
        time.sleep(seconds)
    finally:
        writer.kill()
        writer.join()
    try:
        while True:
            given.append(here.recv())
    except EOFError:
        return given
    finally:
        here.close()


def check_receipts(store: EventStore, given: list[Given]) -> None:
    agency = store.agency("jobcenter")
    records = {name: agency.read(Notebook, name) for name in {one.name for one in given}}
    for one in given:
        written = records[one.name][one.version - one.events : one.version]
        assert [record.command_id for record in written] == [one.command_id] * one.events
        assert written[-1].position == one.position
        again = agency.change(Notebook, one.name, lambda n: n.take("p-1", "never"), command_id=one.command_id)
        assert (again.version, again.position) == (one.version, one.position)


def check_whole_log(store: EventStore) -> None:
    """Versions without holes, all events of a command or none, and inbox notes only beside their events."""
    versions: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    after = 0
    while page := store.follow(after):
        for record in page:
            versions[record.stream] += 1
            assert record.version == versions[record.stream]
        commands.update(record.command_id for record in page)
        after = page[-1].position
    assert set(commands.values()) == {1, 3}
    with store.database.read() as tx:
        noted = set(tx.execute(text("select message_id from inbox")).scalars())
    assert noted <= set(commands)
