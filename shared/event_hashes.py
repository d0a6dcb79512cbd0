"""A hash of every event of a service, for the audit log: a store that was changed afterwards no longer agrees.

Settled events are hashed in pages, a batch for each agency; the log commits to the batch with the fresh key that comes
with it (`services.audit.hearing`). On the way to the log all of it is sealed for the audit service, so that the message
tells how many events there were and nothing else. Events wait `PACE` seconds at most before they are hashed; a change
before that is not seen. A batch whose message was lost on the way comes again, with another key: twice is harmless.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from threading import Event
from typing import Protocol
from uuid import uuid4

import orjson

from shared.clock import timestamp
from shared.config import Settings
from shared.database import Database
from shared.domain import Json, value
from shared.eventstore import Bookmark, EventStore
from shared.eventstore.codec import Row, moment
from shared.identity import ServiceIdentity
from shared.messaging import Message, Publisher
from shared.outbox import leading

BOOKMARK = "event-hashes"
PAGE = 500
PACE = 15.0
AUDIT = "audit"


def message_type(service: str) -> str:
    return f"{service}.EventsHashed.v1"


@value
class EventsHashed:
    """Events of one agency behind the position `after` up to `last` of this service; `sealed` is for audit alone."""

    after: int
    last: int
    count: int
    sealed: str


@dataclass(frozen=True)
class Batch:
    """`events` holds for each event its stream, its version and its hash; `key` is that of the log's commitment."""

    service: str
    agency: str
    after: int
    last: int
    events: tuple[tuple[str, int, str], ...]
    key: bytes

    @property
    def committed(self) -> Json:
        """What the log commits to."""
        events = [list(each) for each in self.events]
        return {"service": self.service, "after": self.after, "last": self.last, "events": events}


class Context(Protocol):
    """What is needed of a service here."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def store(self) -> EventStore: ...
    @property
    def identity(self) -> ServiceIdentity: ...


HandOver = Callable[[Sequence[Batch]], object]
"""Returns when the batches are safe on their way, or raises."""


def event_hash(row: Row) -> str:
    """SHA-256, in hex, of everything that stands in the event's row, in canonical JSON (RFC 8785): for texts and whole
    numbers in a list orjson writes nothing else.
    """
    at = timestamp(moment(row.recorded_at))
    stands = [row.position, row.agency, row.stream, row.version, row.category, row.type, row.schema_version]
    return sha256(orjson.dumps([*stands, row.data, row.meta, row.event_id, at])).hexdigest()


def hash_once(context: Context, hand_over: HandOver) -> int:
    """Hash the next page of events and hand the batches over; how many events. 0: all are hashed."""
    bookmark = Bookmark(context.database, BOOKMARK)
    after = bookmark.position()
    rows = context.store.rows(after, PAGE)
    if not rows:
        return 0
    hand_over(list(_batches(context.name, after, rows)))
    with context.database.write() as tx:
        if bookmark.locked(tx) < rows[-1].position:
            bookmark.move(tx, rows[-1].position)
    return len(rows)


def hash_events(context: Context, stop: Event, hand_over: HandOver | None = None) -> None:
    """Until `stop`; of several processes one leads. Without `hand_over` the batches leave as messages."""
    publisher = Publisher(context.settings.broker, context.name)

    def publish(batches: Sequence[Batch]) -> None:
        publisher.publish([_message(context, each) for each in batches], stop)

    try:
        while not stop.is_set():
            with leading(context.database, "event-hashes") as leads:
                while leads() and not stop.is_set():
                    if not hash_once(context, hand_over or publish):
                        stop.wait(PACE)
            stop.wait(1)
    finally:
        publisher.close()


def unsealed(identity: ServiceIdentity, service: str, agency: str, seen: EventsHashed) -> Batch:
    """The batch as `service` sealed it for the audit service. Raises `Forbidden` or `ValueError` for anything else."""
    content = orjson.loads(identity.unseal(seen.sealed))
    committed = content["committed"]
    batch = Batch(
        service=committed["service"],
        agency=content["agency"],
        after=committed["after"],
        last=committed["last"],
        events=tuple((stream, version, digest) for stream, version, digest in committed["events"]),
        key=bytes.fromhex(content["key"]),
    )
    if (batch.service, batch.agency, batch.after, batch.last) != (service, agency, seen.after, seen.last):
        message = "the sealed batch is another one than the message says"
        raise ValueError(message)
    return batch


def _batches(service: str, after: int, rows: Sequence[Row]) -> Iterator[Batch]:
    by_agency = attrgetter("agency")
    for agency, mine in groupby(sorted(rows, key=by_agency), by_agency):
        events = tuple((row.stream, row.version, event_hash(row)) for row in mine)
        yield Batch(service, agency, after, rows[-1].position, events, secrets.token_bytes(32))


def _message(context: Context, batch: Batch) -> Message:
    content = orjson.dumps({"agency": batch.agency, "committed": batch.committed, "key": batch.key.hex()})
    told = EventsHashed(
        after=batch.after,
        last=batch.last,
        count=len(batch.events),
        sealed=context.identity.seal(AUDIT, content),
    )
    return Message(
        id=str(uuid4()),
        type=message_type(batch.service),
        agency=batch.agency,
        data={"after": told.after, "last": told.last, "count": told.count, "sealed": told.sealed},
        key=f"{batch.agency}/event-hashes-{batch.service}",
    )
