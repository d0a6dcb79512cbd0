"""The event store: the only place a fact is written.

`change` appends to one stream of one agency, `follow` reads the whole log of the service in order. A receipt is
given only after the commit (SQLite: written through to the disk). What was appended is never changed.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Generic, TypeVar

from sqlalchemy import Connection

from shared.clock import Clock
from shared.crypto import PersonKeys
from shared.database import Database, after_commit
from shared.domain import Aggregate, Event, Receipt, Recorded, category
from shared.errors import Conflict, HandschlagError, Invalid, Unavailable
from shared.eventstore import snapshots
from shared.eventstore.appending import Appender
from shared.eventstore.codec import Codec, Origin, Row, Slot, Stored
from shared.eventstore.log import Append, Log, Stream
from shared.eventstore.restored import check_once
from shared.eventstore.settling import SettledByLocks, Settling, VisibleIsSettled
from shared.eventstore.snapshots import Commands, Snapshot, Snapshots
from shared.eventstore.wakeup import wakeup
from shared.eventstore.watching import Watch

A = TypeVar("A", bound=Aggregate)
Decide = Callable[[A], Sequence[Event]]

ATTEMPTS = 5
POLL_SECONDS = 0.1
LONGEST_ID = 100
LONGEST_COMMAND_ID = 200


class EventStore:
    """The log of one service. Open it for an agency to read or change streams; follow it for everything."""

    def __init__(self, database: Database, keys: PersonKeys, clock: Clock, *, service: str) -> None:
        self.database = database
        self.keys = keys
        self.clock = clock
        self.service = service
        self.codec = Codec(keys)
        self.log = Log(database.dialect)
        self.appender = database.once(Appender)
        self.snapshots = Snapshots(keys, database.dialect)
        self._bell = wakeup(database.key)
        sqlite = database.dialect == "sqlite"
        self._settling: Settling = VisibleIsSettled(self.log) if sqlite else database.once(SettledByLocks)
        self._watch = None if sqlite else database.once(Watch)

    def agency(self, name: str, *, actor: str = "", trace: str = "") -> "AgencyStore":
        """The streams of one agency; no other agency's stream can be reached through it, whatever its id.

        `actor` and `trace` are noted with every change made through it that names no other.
        """
        if not name:
            raise Invalid("agency.missing", "a store is opened for an agency")
        return AgencyStore(self, name, actor, trace)

    def follow(self, after: int, limit: int = 500) -> list[Recorded]:
        """The next events behind position `after`, of all agencies, in order of position.

        Every event is delivered to whoever asks on from the last position received: none is skipped, however late
        its transaction commits, and those of a stream come in their order. Empty when nothing is settled yet.
        """
        return self.codec.recorded(self._stored(after, limit))

    def rows(self, after: int, limit: int = 500) -> list[Row]:
        """The same as `follow`, as they stand in the table: nothing is opened."""
        return [Row.of(stored) for stored in self._stored(after, limit)]

    def _stored(self, after: int, limit: int) -> list[Stored]:
        with self.database.direct() as direct:
            return self._settling.follow(direct, after, limit)

    def settled(self) -> int:
        """The highest position at or below which nothing can appear any more."""
        with self.database.direct() as direct:
            return self._settling.settled(direct)

    def position(self) -> int:
        """The highest position that is visible, settled or not."""
        with self.database.direct() as direct:
            return self.log.position(direct)

    def wait(self, after: int, timeout: float) -> bool:
        """Wait until `follow(after)` has something, at most `timeout` seconds; whether it has.

        An append in this process wakes at once, one of another process within milliseconds (SQLite: a tenth of a
        second). Whoever waits on PostgreSQL starts the watch of this process over the log.
        """
        until = time.monotonic() + timeout
        while True:
            rung = self._bell.rung()
            with self.database.direct() as direct:
                if self._settling.ready(direct, after):
                    return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            if self._watch is not None:
                self._watch.start()
            self._bell.wait(rung, min(left, POLL_SECONDS))

    def woken(self, tx: Connection | None) -> None:
        """Wake the readers: now, or after `tx` has been committed."""
        if tx is None:
            self._ring()
        else:
            after_commit(tx, self._ring)

    def _ring(self) -> None:
        self._bell.ring()
        if self._watch is not None:
            self._watch.appended()


@dataclass(frozen=True)
class _Standing(Generic[A]):
    """How a stream stands: what was decided on, and the commands that led there, since the last snapshot and before."""

    state: A
    version: int
    position: int
    commands: Commands
    recent: Commands
    kept: int

    def due(self, every: int, receipt: Receipt) -> bool:
        """Whether a snapshot is to be kept after that change."""
        return 0 < every <= receipt.version - self.kept

    def after(self, events: Sequence[Event], command_id: str, receipt: Receipt) -> Snapshot[A]:
        state = self.state
        for event in events:
            state = state.apply(event)
        recent = {**self.recent, command_id: (receipt.version, receipt.position)}
        return Snapshot(state, receipt.version, receipt.position, recent)


class AgencyStore:
    """The streams of one agency."""

    def __init__(self, store: EventStore, agency: str, actor: str = "", trace: str = "") -> None:
        self._store = store
        self.name = agency
        self._actor, self._trace = actor, trace

    def change(
        self,
        aggregate: type[A],
        stream_id: str,
        decide: Decide[A],
        *,
        command_id: str,
        actor: str = "",
        trace: str = "",
        tx: Connection | None = None,
    ) -> Receipt:
        """Let `decide` answer to the present state with events, and append them as one.

        The same `command_id` again on that stream appends nothing and answers with the receipt of the first time.
        No events: nothing is written, and the receipt names the version that stands. When somebody else was faster
        it is decided anew on the new state; `Conflict` after the fifth time. With `tx` everything happens within
        that transaction and stands or falls with it; otherwise the events are durable when this returns, and a
        connection to PostgreSQL that broke meanwhile is replaced once: the command id makes that safe.
        """
        origin = self._origin(command_id, actor, trace)
        return self._changed(aggregate, self._stream(aggregate, stream_id), decide, origin, tx)

    def create(
        self,
        aggregate: type[A],
        stream_id: str,
        decide: Decide[A],
        *,
        command_id: str,
        actor: str = "",
        trace: str = "",
        tx: Connection | None = None,
    ) -> Receipt:
        """As `change`, for what is not there yet: decided on the empty aggregate and written without looking.

        Where something stands already, or `decide` refuses the empty aggregate, it is `change`: a command that came
        twice gets its first receipt. Right for any stream, and twice as fast for a new one.
        """
        origin = self._origin(command_id, actor, trace)
        stream = self._stream(aggregate, stream_id)
        try:
            events = decide(aggregate())
            position = self._append(stream, 0, events, origin, tx) if events else None
        except Unavailable as error:
            self._may_repeat(error, tx)
            position = None
        except HandschlagError:
            position = None
        if position is not None:
            self._store.woken(tx)
            return Receipt(stream.name, len(events), position)
        return self._changed(aggregate, stream, decide, origin, tx)

    def load(self, aggregate: type[A], stream_id: str, tx: Connection | None = None) -> tuple[A, int]:
        """The aggregate as it stands and its version; an empty one and 0 when nothing happened yet."""
        standing = self._standing(aggregate, self._stream(aggregate, stream_id), tx)
        return standing.state, standing.version

    def read(self, aggregate: type[Aggregate], stream_id: str, tx: Connection | None = None) -> list[Recorded]:
        """All that happened to it, in order."""
        stream = self._stream(aggregate, stream_id)
        with self._store.database.direct(tx) as direct:
            rows = self._store.log.stream(direct, self.name, stream.name)
        return self._store.codec.recorded(rows, tx)

    def _changed(
        self, aggregate: type[A], stream: Stream, decide: Decide[A], origin: Origin, tx: Connection | None
    ) -> Receipt:
        try:
            return self._change(aggregate, stream, decide, origin, tx)
        except Unavailable as error:
            self._may_repeat(error, tx)
        return self._change(aggregate, stream, decide, origin, tx)

    def _may_repeat(self, error: Unavailable, tx: Connection | None) -> None:
        """Raises `error` again unless a broken connection to PostgreSQL is all it was."""
        if tx is not None or self._store.database.dialect == "sqlite" or error.code != "database.unavailable":
            raise error

    def _change(
        self, aggregate: type[A], stream: Stream, decide: Decide[A], origin: Origin, tx: Connection | None
    ) -> Receipt:
        for _ in range(ATTEMPTS):
            standing = self._standing(aggregate, stream, tx)
            if answered := standing.commands.get(origin.command_id):
                return Receipt(stream.name, *answered)
            events = decide(standing.state)
            if not events:
                return Receipt(stream.name, standing.version, standing.position)
            position = self._append(stream, standing.version, events, origin, tx)
            if position is not None:
                self._store.woken(tx)
                receipt = Receipt(stream.name, standing.version + len(events), position)
                if standing.due(snapshots.every(aggregate), receipt):
                    self._keep(stream, standing.after(events, origin.command_id, receipt), tx)
                return receipt
        raise Conflict("stream.changed", "others change the same thing all the time", "read again, then repeat")

    def _standing(self, aggregate: type[A], stream: Stream, tx: Connection | None) -> _Standing[A]:
        store = self._store
        with store.database.direct(tx) as direct:
            found = store.snapshots.find(direct, aggregate, stream, tx) if snapshots.every(aggregate) else None
            base = found or Snapshot(aggregate(), 0, 0, {})
            past = store.log.past(direct, self.name, stream.name, base.version)
        history = store.codec.history(self.name, stream.name, past, tx)
        state = base.state
        for event in history.events:
            state = state.apply(event)
        version, position = past[-1][:2] if past else (base.version, base.position)
        commands = {**base.commands, **history.commands}
        return _Standing(state, version, position, commands, history.commands, base.version)

    def _keep(self, stream: Stream, snapshot: Snapshot[A], tx: Connection | None) -> None:
        """One that cannot be kept now is kept after the next change: what was appended stands without it."""
        with suppress(HandschlagError), self._store.database.direct(tx) as direct:
            self._store.snapshots.keep(direct, stream, snapshot, tx)

    def _append(
        self, stream: Stream, expected: int, events: Sequence[Event], origin: Origin, tx: Connection | None
    ) -> int | None:
        store, now = self._store, self._store.clock.now()
        drafts = [
            store.codec.draft(event, Slot(self.name, stream.name, version, uuid7(now)), origin, tx)
            for version, event in enumerate(events, start=expected + 1)
        ]
        one = Append(stream, expected, drafts, now)
        tx = store.database.enclosing(tx)
        if tx is None:
            return store.appender.append(one)
        with store.database.direct(tx) as direct:
            check_once(tx, direct)
            return store.log.append(direct, one)

    def _origin(self, command_id: str, actor: str, trace: str) -> Origin:
        if not 0 < len(command_id) <= LONGEST_COMMAND_ID or not command_id.isprintable():
            raise Invalid("command.id", f"a command id has 1 to {LONGEST_COMMAND_ID} printable characters")
        return Origin(command_id, actor or self._actor, trace or self._trace)

    def _stream(self, aggregate: type, stream_id: str) -> Stream:
        if not 0 < len(stream_id) <= LONGEST_ID or not stream_id.isprintable():
            raise Invalid("stream.id", f"an id has 1 to {LONGEST_ID} printable characters")
        name = _category(aggregate)
        return Stream(self.name, name, f"{name}-{stream_id}")


_category = cache(category)


def replay(aggregate: type[A], records: Sequence[Recorded]) -> A:
    """The aggregate after all of that happened."""
    state = aggregate()
    for record in records:
        state = state.apply(record.event)
    return state


def uuid7(now: datetime) -> str:
    """A random id that sorts by the millisecond it was made in (RFC 9562 section 5.7)."""
    value = int(now.timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
