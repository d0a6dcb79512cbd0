"""The relay: the event store is the outbox, a bookmark says how far it has been told.

Settled events are read in order, turned into messages by the service's `outbound` and published; the bookmark moves
after the broker has confirmed the page (or, inside one process, after every reader has acknowledged it). A process
killed at any moment loses nothing and repeats a page at most; a message's id is its event's, so readers notice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Protocol

from sqlalchemy import Connection, text

from shared import telemetry
from shared.config import Settings
from shared.database import Database
from shared.domain import Recorded
from shared.eventstore import Bookmark, EventStore
from shared.messaging import Message, Publisher

PAGE = 500
BOOKMARK = "relay"

Outbound = Callable[[Recorded], Message | Sequence[Message] | None]
"""What others are told of an event: nothing, a message, or the same in several versions.

Several are told while a new version is being rolled out: they bear the same id, so that a reader who understands more
than one of them acts once, and each reader passes over those it does not understand.
"""


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


class Publishes(Protocol):
    """`shared.messaging.Publisher`, or what stands for it in a test."""

    def publish(self, messages: Sequence[Message], stop: Event | None = None) -> None: ...


def relay_once(context: Context, outbound: Outbound, publisher: Publishes, stop: Event | None = None) -> int:
    """Tell the next page of events; how many were looked at. 0: all is told."""
    bookmark = Bookmark(context.database, BOOKMARK)
    records = context.store.follow(bookmark.position(), PAGE)
    if not records:
        return 0
    publisher.publish([message for record in records for message in messages_of(outbound, record)], stop)
    with context.database.write() as tx:
        if bookmark.locked(tx) < records[-1].position:
            bookmark.move(tx, records[-1].position)
    return len(records)


def relay(context: Context, outbound: Outbound, stop: Event) -> None:
    """Tell what happens until `stop`. Of several processes one leads, the others stand by."""
    publisher = Publisher(context.settings.broker, context.name)
    bookmark = Bookmark(context.database, BOOKMARK)
    try:
        while not stop.is_set():
            with leading(context.database) as leads:
                while leads() and not stop.is_set():
                    count = relay_once(context, outbound, publisher, stop)
                    if count:
                        telemetry.logger("outbox").debug("relayed", service=context.name, count=count)
                    else:
                        context.store.wait(bookmark.position(), 0.5)
            stop.wait(1)
    finally:
        publisher.close()


def messages_of(outbound: Outbound, record: Recorded) -> list[Message]:
    """What others are told of that event, complete: id, agency, trace, stream and position are the event's."""
    told = outbound(record)
    if told is None:
        return []
    return [_told_of(record, message) for message in ([told] if isinstance(told, Message) else told)]


def _told_of(record: Recorded, message: Message) -> Message:
    return Message(
        id=record.event_id,
        type=message.type,
        agency=message.agency or record.agency,
        data=message.data,
        trace=message.trace or record.trace,
        key=message.key or f"{record.agency}/{record.stream}",
        position=record.position,
    )


@contextmanager
def leading(database: Database, what: str = "relay") -> Iterator[Callable[[], bool]]:
    """Whether this process leads in `what`, asked before every page: an advisory lock of a session, which ends with
    it.
    """
    if database.dialect == "sqlite":
        yield lambda: True
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        lock = {"name": f"handschlag.{what}"}
        held = bool(session.execute(text("select pg_try_advisory_lock(hashtext(:name))"), lock).scalar())
        try:
            yield lambda: held and _answers(session)
        finally:
            if held and not session.invalidated:
                session.execute(text("select pg_advisory_unlock(hashtext(:name))"), lock)


def _answers(session: Connection) -> bool:
    session.execute(text("select 1"))
    return True
