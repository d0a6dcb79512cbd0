"""Erasing a person in one service (Art. 17 DSGVO, § 84 SGB X): the same transaction in all of them.

The key is destroyed, the rows that name the person go, messages about the person that wait in the inbox go, and an
event says so; that event confirms the erasure to whoever ordered it. All or nothing, and again it changes nothing. The
shells of older events stay (when, which kind, by which rule); what they held of the person reads `ERASED`.

Another process of the same service may keep the key in memory for `shared.crypto.CACHED_SECONDS` more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, text

from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import Event, value
from shared.eventstore import EventStore
from shared.messaging import Message

ORDERED = "cases.ErasureOrdered.v1"

Purge = Callable[[Connection, str, str], object]
"""Deletes, in the transaction, the rows about a person (agency, person id) that this service keeps beside events."""


class Context(Protocol):
    """What is needed of a service here."""

    @property
    def database(self) -> Database: ...
    @property
    def store(self) -> EventStore: ...
    @property
    def keys(self) -> PersonKeys: ...


@value
class ErasureSeen:
    """What a service reads of the order."""

    erasure_id: str
    person_id: str


@value
class ErasureConfirmed:
    """What a service tells when its part is done."""

    erasure_id: str


@dataclass(frozen=True)
class ErasedPerson:
    """Which erasures a service has carried out for one person."""

    carried_out: frozenset[str] = frozenset()

    def apply(self, event: Any) -> "ErasedPerson":
        return ErasedPerson(self.carried_out | {event.erasure_id})


def erase(context: Context, message: Message, order: ErasureSeen, confirmation: Event, purge: Purge) -> None:
    """Carry out the `order` that came with `message`. `confirmation` is the service's own event with its fields."""
    agency, store = message.agency, context.store.agency(message.agency, trace=message.trace)
    with context.database.write() as tx:
        context.keys.destroy(agency, order.person_id, tx)
        purge(tx, agency, order.person_id)
        drop_waiting(tx, agency, order.person_id)
        store.change(
            ErasedPerson,
            order.person_id,
            lambda known: [] if order.erasure_id in known.carried_out else [confirmation],
            command_id=f"erasure:{order.erasure_id}",
            tx=tx,
        )
    context.database.forget_deleted()
    context.keys.note_erased()


def drop_waiting(tx: Connection, agency: str, person_id: str) -> int:
    """Take messages that name the person out of the inbox's waiting room; orders to erase stay. How many."""
    pattern = '%"' + person_id.replace("!", "!!").replace("%", "!%").replace("_", "!_") + '"%'
    statement = text("delete from parked where agency = :agency and type <> :order and body like :pattern escape '!'")
    return tx.execute(statement, {"agency": agency, "order": ORDERED, "pattern": pattern}).rowcount
