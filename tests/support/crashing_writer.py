"""A process that changes notebooks and sends each receipt once it has it; tests kill it in the middle."""

import random
from itertools import count
from multiprocessing.connection import Connection
from typing import NamedTuple

from shared.domain import Receipt
from shared.eventstore import EventStore
from shared.eventstore.inbox import first_time
from tests.support.notebook import Notebook
from tests.support.stores import Place


class Given(NamedTuple):
    """A receipt as the writer got it, and what it was for."""

    name: str
    version: int
    position: int
    command_id: str
    events: int


def write(place: Place, seed: int, told: Connection) -> None:
    """Change one notebook after the other, half of them inside a transaction with an inbox row, until killed."""
    store, chance = place.store(place.database()), random.Random(seed)
    for turn in count():
        name, command_id = f"{seed}-{chance.randrange(5)}", f"{seed}-{turn}"
        notes = [f"{command_id}/{number}" for number in range(chance.choice([1, 1, 3]))]
        receipt = _change(store, name, command_id, notes, within=chance.random() < 0.5)
        told.send(Given(name, receipt.version, receipt.position, command_id, len(notes)))


def _change(store: EventStore, name: str, command_id: str, notes: list[str], *, within: bool) -> Receipt:
    agency, person = store.agency("jobcenter"), f"p-{len(command_id)}"
    if not within:
        return agency.change(Notebook, name, lambda n: n.take(person, *notes), command_id=command_id)
    with store.database.write() as tx:
        first_time(tx, "c", command_id)
        return agency.change(Notebook, name, lambda n: n.take(person, *notes), command_id=command_id, tx=tx)
