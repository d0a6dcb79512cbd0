"""Acting on what was heard: once, in the order of each stream, a batch in one transaction; what fails is parked.

A batch that fails is done again one by one. The message that fails by itself is put into `parked`, and what comes
later in its stream waits behind it, while all other streams go on. Attempts follow after 2, 4, 8 … seconds, up to an
hour; somebody may also repair a message, or give it up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import Connection as Transaction

from shared import telemetry
from shared.clock import Clock
from shared.config import Settings
from shared.database import Database
from shared.domain import Json
from shared.errors import HandschlagError, Unavailable
from shared.eventstore.inbox import Arrival, first_times, forget, heard_long_ago, heard_up_to, is_noted
from shared.eventstore.parked import (
    Parked,
    first_of_streams,
    how_many_wait,
    next_of_stream,
    park,
    parked,
    parked_message,
    repair,
    unpark,
    waiting_streams,
)
from shared.messaging.message import Message
from shared.messaging.topology import hearing, matches
from shared.schema import has_personal, parse

LONGEST_DELAY = timedelta(hours=1)
RETRIED_AT_ONCE = 500
BEHIND = "inbox.behind_another"


@dataclass(frozen=True)
class Handler:
    """What a message sets off.

    `cls` names the fields that are read; others are ignored. A transactional `function(context, tx, seen, message)`
    acts in the transaction that notes the message; any other `function(context, seen, message)` runs before it is
    noted, may therefore run again, and must be harmless the second time. With `together` a transactional function
    gets all that came at once, as lists: `function(context, tx, [seen, …], [message, …])`; when it fails it is asked
    again with one at a time.
    """

    cls: type
    function: Callable[..., object]
    transactional: bool = True
    together: bool = False


class Context(Protocol):
    """What is needed of a service here."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...


class Inbox:
    """What a service heard: acted on once, or waiting."""

    def __init__(self, context: Context, handlers: Mapping[str, Handler], sources: Iterable[str] = ()) -> None:
        if personal := [name for name, handler in handlers.items() if has_personal(handler.cls)]:
            message = f"a message carries no personal data, and is parked as it came: {', '.join(personal)}"
            raise TypeError(message)
        self._context = context
        self._handlers = dict(handlers)
        self._patterns = [name for name in handlers if "*" in name or "#" in name]
        self._heard = hearing(context.name, handlers, sources)
        self._name = f"{context.name}.inbox"

    @property
    def sources(self) -> list[str]:
        """The services whose messages are heard."""
        return sorted({exchange.removesuffix(".events") for exchange, _ in self._heard})

    def handle(self, messages: Sequence[Message], between: Callable[[], object] = lambda: None) -> None:
        """Act on each message that is new, in order. On return all of them are noted or parked.

        `between` is called now and then, so that a caller can keep a connection alive while this takes long.
        """
        known = [message for message in messages if self._handler(message.type) is not None]
        for transactional, group in groupby(known, lambda m: self._required(m.type).transactional):
            batch = list(group)
            if not transactional or not self._done_together(batch):
                for message in batch:
                    self._one(message)
                    between()

    def parked(self, limit: int = 100) -> list[Parked]:
        """What waits, in its order."""
        with self._context.database.read() as tx:
            return parked(tx, self._name, limit=limit)

    def one(self, message_id: str) -> Parked | None:
        """A message that waits; None when it does not."""
        with self._context.database.read() as tx:
            return parked_message(tx, self._name, message_id)

    def waiting(self) -> int:
        """How many messages wait."""
        with self._context.database.read() as tx:
            return how_many_wait(tx, self._name)

    def retry(self, *, now: bool = False, between: Callable[[], object] = lambda: None) -> int:
        """Try again what is due, or with `now` all that is first in its stream; how many could be handled.

        Without `now` it ends after some hundred, so that what arrives meanwhile does not have to wait for long.
        """
        moment = self._context.clock.now()
        due = None if now else (moment, moment + LONGEST_DELAY)
        handled, after = 0, 0
        while first := self._first_of_streams(due, after):
            after = first[-1][0]
            for _, waiting in first:
                following: Parked | None = waiting
                while following is not None and self._retried(following):
                    handled += 1
                    between()
                    if due and handled >= RETRIED_AT_ONCE:
                        return handled
                    following = self._next_of_stream(waiting.stream)
        return handled

    def repair(self, message_id: str, data: Json) -> bool:
        """Somebody found out what a parked message should have said: it says so now, and is due; whether it was there.

        Raises `Invalid` when the handler could not read that either.
        """
        with self._context.database.write() as tx:
            waiting = parked_message(tx, self._name, message_id)
            if waiting is None:
                return False
            _read(self._required(waiting.type), data)
            return repair(tx, self._name, message_id, {**waiting.body, "data": data}, self._context.clock.now())

    def give_up(self, message_id: str) -> bool:
        """Somebody decided that a parked message is never to be handled; whether it was there."""
        with self._context.database.write() as tx:
            return unpark(tx, self._name, message_id)

    def forget(self) -> None:
        """Drop the notes of days that are no longer kept."""
        forget(self._context.database, self._context.clock.today())

    def _done_together(self, batch: Sequence[Message]) -> bool:
        try:
            self._together(batch)
        except Exception:  # noqa: BLE001
            return False
        return True

    def _together(self, batch: Sequence[Message]) -> None:
        arrivals = [_arrival(message) for message in batch]
        with self._context.database.write() as tx:
            waiting = waiting_streams(tx, self._name, {message.stream for message in batch})
            free = [message for message in batch if message.stream not in waiting]
            fresh = first_times(tx, self._name, [message.id for message in free])
            # Asked once the notes stand, so that nobody drops their day between the question and the answer.
            fresh -= (repeated := heard_long_ago(tx, self._name, arrivals, self._context.clock.today()))
            for message in batch:
                if message.stream in waiting and message.id not in repeated:
                    self._park(tx, message, BEHIND, 0)
            self._act_all(tx, _once(free, fresh))
            heard_up_to(tx, self._name, arrivals)

    def _one(self, message: Message) -> None:
        try:
            self._attempt(message)
        except Exception as error:  # noqa: BLE001
            self._put_aside(message, error, 1)

    def _attempt(self, message: Message) -> None:
        """One message by itself: acted on and noted, or parked behind an earlier one, or nothing if known."""
        handler = self._required(message.type)
        if handler.transactional:
            self._together([message])
            return
        with self._context.database.read() as tx:
            if waiting_streams(tx, self._name, {message.stream}):
                behind, known = True, False
            else:
                behind, known = False, self._is_known(tx, message)
        if behind:
            with self._context.database.write() as tx:
                self._park(tx, message, BEHIND, 0)
        elif not known:
            self._act(handler, [message], None)
            self._note(message)

    def _is_known(self, tx: Transaction, message: Message) -> bool:
        today = self._context.clock.today()
        return is_noted(tx, self._name, message.id) or bool(heard_long_ago(tx, self._name, [_arrival(message)], today))

    def _note(self, message: Message) -> None:
        with self._context.database.write() as tx:
            first_times(tx, self._name, [message.id])
            heard_up_to(tx, self._name, [_arrival(message)])
            unpark(tx, self._name, message.id)

    def _first_of_streams(self, due: tuple[Any, Any] | None, after: int) -> list[tuple[int, Parked]]:
        with self._context.database.read() as tx:
            return first_of_streams(tx, self._name, due=due, after=after)

    def _next_of_stream(self, stream: str) -> Parked | None:
        with self._context.database.read() as tx:
            return next_of_stream(tx, self._name, stream)

    def _retried(self, waiting: Parked) -> bool:
        message = Message(**waiting.body)
        try:
            handler = self._required(message.type)
            if handler.transactional:
                with self._context.database.write() as tx:
                    if first_times(tx, self._name, [message.id]):
                        self._act(handler, [message], tx)
                    unpark(tx, self._name, message.id)
            else:
                self._act(handler, [message], None)
                self._note(message)
        except Exception as error:  # noqa: BLE001
            self._put_aside(message, error, waiting.attempts + 1)
            return False
        return True

    def _act_all(self, tx: Transaction, messages: Sequence[Message]) -> None:
        """In their order; neighbours whose handler takes many at once go to it together."""
        for handler, group in groupby(messages, lambda m: self._required(m.type)):
            if handler.together:
                self._act(handler, list(group), tx)
            else:
                for message in group:
                    self._act(handler, [message], tx)

    def _act(self, handler: Handler, messages: Sequence[Message], tx: Transaction | None) -> None:
        first = messages[0]
        with telemetry.continue_trace(
            first.trace, f"hear {first.type}", service=self._context.name, message_type=first.type, count=len(messages)
        ):
            if handler.together:
                seen = [_read(handler, message.data) for message in messages]
                handler.function(self._context, tx, seen, list(messages))
            elif tx is None:
                handler.function(self._context, _read(handler, first.data), first)
            else:
                handler.function(self._context, tx, _read(handler, first.data), first)

    def _put_aside(self, message: Message, error: Exception, attempts: int) -> None:
        with self._context.database.write() as tx:
            self._park(tx, message, _code(error), attempts)
            heard_up_to(tx, self._name, [_arrival(message)])
        telemetry.logger("inbox").error(
            "a message waits",
            message_id=message.id,
            message_type=message.type,
            attempt=attempts,
            queue=self._name,
            **telemetry.describe(error),
        )

    def _park(self, tx: Transaction, message: Message, code: str, attempts: int) -> None:
        now = self._context.clock.now()
        park(
            tx,
            consumer=self._name,
            message_id=message.id,
            stream=message.stream,
            type=message.type,
            agency=message.agency,
            body={field.name: getattr(message, field.name) for field in fields(Message)},
            code=code,
            now=now,
            next_attempt_at=now + _delay(attempts),
            attempts=attempts,
        )

    def _handler(self, message_type: str) -> Handler | None:
        if message_type in self._handlers:
            return self._handlers[message_type]
        return next((self._handlers[name] for name in self._patterns if matches(name, message_type)), None)

    def _required(self, message_type: str) -> Handler:
        handler = self._handler(message_type)
        if handler is None:
            raise Unavailable("inbox.no_handler", "nobody here deals with this type any more")
        return handler


def _arrival(message: Message) -> Arrival:
    return Arrival(message.id, message.source, message.position)


def _once(messages: Iterable[Message], fresh: set[str]) -> list[Message]:
    """Those of `messages` that are `fresh`, each of them only once."""
    left, chosen = set(fresh), []
    for message in messages:
        if message.id in left:
            left.discard(message.id)
            chosen.append(message)
    return chosen


def _read(handler: Handler, data: Json) -> object:
    """What the handler reads of `data`; a publisher may add other fields at any time."""
    declared = {field.name: data[field.name] for field in fields(handler.cls) if field.name in data}
    found: object = parse(handler.cls, declared, code="message.invalid")
    return found


def _code(error: Exception) -> str:
    return error.code if isinstance(error, HandschlagError) else f"internal.{type(error).__name__}"


def _delay(attempts: int) -> timedelta:
    """None at first for what waits behind another; then 2, 4, 8 seconds up to an hour."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), LONGEST_DELAY) if attempts else timedelta(0)
