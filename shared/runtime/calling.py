"""Asking another service: signed, sealed, answered within a time limit or not at all.

The wire is nameko's own (its RPC exchange, its queues, its reply queues). One connection carries one call at a time;
connections wait in a LIFO pool, are made when needed and are thrown away when anything went wrong on them. Works in
plain threads (the gateway) and in green ones (the services); never share one between threads in any other way.
"""

import inspect
import logging
import threading
import time
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, overload

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import KombuError

import shared.transport
from shared import telemetry
from shared.config import Settings
from shared.errors import BOUNDARY_ERRORS, Forbidden, HandschlagError, Problem, Unavailable
from shared.identity import (
    Caller,
    CallRules,
    ServiceIdentity,
    call_id,
    check_answer,
    check_call,
    payload_digest,
    sign_answer,
    sign_call,
)
from shared.runtime.envelope import pack, unpack
from shared.schema import dump, parse

Json = dict[str, Any]
T = TypeVar("T")

RPC_EXCHANGE = "nameko-rpc"
REPLIES_EXPIRE = 300_000
KEPT = 16
OLDEST = 240.0
FRESH = 1.0
CONNECTING = 3.0

shared.transport.register()


class Asking(Protocol):
    """Whoever can ask a service; `Calls` over the broker, `LocalCalls` in tests."""

    @overload
    def ask(
        self,
        callee: str,
        method: str,
        question: object,
        answer: type[T],
        *,
        caller: Caller,
        timeout: float = 5.0,
    ) -> T: ...

    @overload
    def ask(
        self,
        callee: str,
        method: str,
        question: object,
        answer: None,
        *,
        caller: Caller,
        timeout: float = 5.0,
    ) -> None: ...


class Unreachable(Exception):
    """The broker or the callee did not answer; says nothing about whether the callee acted."""


class Calls:
    """Questions of one service to the others."""

    def __init__(self, settings: Settings, identity: ServiceIdentity) -> None:
        self._settings = settings
        self._identity = identity
        self._lines = _Lines(settings.broker, identity.service)

    @overload
    def ask(
        self,
        callee: str,
        method: str,
        question: object,
        answer: type[T],
        *,
        caller: Caller,
        timeout: float = 5.0,
    ) -> T: ...

    @overload
    def ask(
        self,
        callee: str,
        method: str,
        question: object,
        answer: None,
        *,
        caller: Caller,
        timeout: float = 5.0,
    ) -> None: ...

    def ask(
        self, callee: str, method: str, question: object, answer: Any, *, caller: Caller, timeout: float = 5.0
    ) -> Any:
        """The answer of `callee`, or the error it raised. `Unavailable` when it did not answer within `timeout`.

        The callee may have acted all the same: a change carries a command id and may be asked for again.
        """
        with telemetry.continue_trace(caller.trace, f"ask {callee}.{method}", callee=callee, method=method):
            traced = replace(caller, trace=telemetry.current_traceparent())
            request = pack(question, self._identity, callee)
            token = sign_call(
                self._identity,
                callee,
                method,
                traced,
                payload_digest(request),
                _now(),
                lifetime=_life(timeout),
            )
            try:
                reply = self._lines.exchange(callee, method, {**request, "call": token}, timeout)
            except Unreachable:
                raise Unavailable(
                    f"{callee}.unavailable", f"{callee} does not answer", "send the same again later"
                ) from None
            return open_reply(self._identity, callee, call_id(token), reply, answer)

    def close(self) -> None:
        """Give up the connections that wait. Asking afterwards makes new ones."""
        self._lines.close()


class LocalCalls:
    """Asks services that stand in the same process, without broker, signature and seal. For tests and for commands
    that read the databases of an installation.

    Question and answer still pass through JSON, so that both sides' dataclasses must fit.
    """

    def __init__(self, **services: object) -> None:
        self.services = services
        self.asked: list[tuple[str, str, object]] = []

    def ask(
        self, callee: str, method: str, question: object, answer: Any, *, caller: Caller, timeout: float = 5.0
    ) -> Any:
        del timeout
        self.asked.append((callee, method, question))
        if callee not in self.services:
            raise Unavailable(f"{callee}.unavailable")
        function = getattr(self.services[callee], method)
        expected, _ = signature_of(function)
        found = function(parse(expected, dump(question)), caller)
        return None if answer is None else parse(answer, dump(found))


def calls_of(service: str, settings: Settings) -> Calls:
    """The calls of a process that offers no methods itself, as the gateway."""
    return Calls(settings, ServiceIdentity.load(settings.keys, service))


def by_itself(service: str, agency: str, purpose: str) -> Caller:
    """The caller of what a service does without being asked, in the trace in which it stands."""
    trace = telemetry.current_traceparent()
    return Caller(service=service, actor=service, role="service", agency=agency, purpose=purpose, trace=trace)


def signature_of(function: Callable[..., Any]) -> tuple[type, Any]:
    """The types of question and answer of a method `(self, question, caller) -> answer`."""
    hints = typing.get_type_hints(function, include_extras=True)
    questions = [name for name in inspect.signature(function).parameters if name not in ("self", "caller")]
    if len(questions) != 1 or questions[0] not in hints or "caller" not in hints:
        message = f"{function.__qualname__} must take one question and the caller"
        raise TypeError(message)
    return hints[questions[0]], hints.get("return", type(None))


@dataclass(frozen=True)
class Request:
    """A question that was checked: who asks, what, and which answer belongs to it."""

    caller: Caller
    call: str
    question: object


def open_request(identity: ServiceIdentity, rules: CallRules, method: str, envelope: object, expected: type) -> Request:
    """The callee's side of `Calls.ask`. Raises `Forbidden` unless the call holds, `Invalid` for a faulty question."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get("call"), str):
        raise Forbidden("call.malformed", "a call needs a signed context")
    request = {"body": envelope.get("body"), "sealed": envelope.get("sealed")}
    token = envelope["call"]
    caller = check_call(token, identity.service, method, payload_digest(request), rules, identity.directory, _now())
    return Request(caller, call_id(token), unpack(expected, request, identity))


def make_reply(identity: ServiceIdentity, caller: str, call: str, outcome: object) -> Json:
    """The answer or the error as it goes back, signed. An error outside the closed set goes without its text."""
    error = _error(outcome) if isinstance(outcome, BaseException) else None
    packed = pack(None if error else outcome, identity, caller)
    reply = {**packed, "error": error}
    return {**reply, "proof": sign_answer(identity, caller, call, payload_digest(reply))}


def open_reply(identity: ServiceIdentity, callee: str, call: str, reply: object, answer: Any) -> Any:
    """The caller's side. An error of the closed set is raised as itself, everything else as `internal`."""
    if not isinstance(reply, dict) or not isinstance(reply.get("proof"), str):
        raise Unavailable(f"{callee}.unavailable", f"{callee} could not deal with the call")
    signed = {key: reply.get(key) for key in ("body", "sealed", "error")}
    check_answer(
        reply["proof"],
        callee,
        identity.service,
        call,
        digest=payload_digest(signed),
        directory=identity.directory,
    )
    if signed["error"]:
        raise _raised(signed["error"])
    if answer is None:
        return None
    return unpack(answer, signed, identity)


def _error(error: BaseException) -> Json:
    kind = type(error).__name__
    if isinstance(error, HandschlagError) and not isinstance(error, tuple(BOUNDARY_ERRORS.values())):
        return {"type": "HandschlagError", "code": error.code, "detail": "", "remedy": "", "problems": []}
    if not isinstance(error, HandschlagError):
        return {"type": "HandschlagError", "code": "internal", "detail": "", "remedy": "", "problems": []}
    if kind not in BOUNDARY_ERRORS:
        kind = next(name for name, cls in BOUNDARY_ERRORS.items() if isinstance(error, cls))
    problems = [list(problem) for problem in error.problems]
    return {
        "type": kind,
        "code": error.code,
        "detail": error.detail,
        "remedy": error.remedy,
        "problems": problems,
    }


def _raised(error: Json) -> HandschlagError:
    cls = BOUNDARY_ERRORS.get(str(error.get("type")), HandschlagError)
    problems = [Problem(*map(str, problem)) for problem in error.get("problems", ())]
    return cls(str(error.get("code")), str(error.get("detail", "")), str(error.get("remedy", "")), problems)


def _now() -> datetime:
    return datetime.now(UTC)


def _life(timeout: float) -> timedelta:
    """Signatures outlive the wait by little: who asks no longer must not be obeyed any more."""
    return timedelta(seconds=max(timeout, 1.0) + 1.0)


@dataclass
class _Line:
    """One connection with its own reply queue."""

    url: str
    service: str
    patience: float
    born: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.used = self.born
        self.reply_to = str(uuid.uuid4())
        self._replies: dict[str, object] = {}
        self._returned: set[str] = set()
        self.connection = Connection(
            self.url, connect_timeout=self.patience, transport_options={"confirm_publish": False}
        )
        self.connection.connect()
        channel = self.connection.channel()
        exchange = Exchange(RPC_EXCHANGE, type="topic", durable=True, no_declare=True)
        queue = Queue(
            f"rpc.reply-{self.service}-{self.reply_to}",
            exchange=exchange,
            routing_key=self.reply_to,
            auto_delete=True,
            queue_arguments={"x-expires": REPLIES_EXPIRE},
        )
        consumer = Consumer(channel, [queue], callbacks=[self._arrived], accept=["json"], no_ack=True)
        consumer.consume()
        channel.events.setdefault("basic_return", set()).add(self._came_back)
        self._producer = Producer(channel)

    def alive(self) -> bool:
        """Whether it may be used: not too old, and not closed by the other side while it waited."""
        now = time.monotonic()
        if now - self.used < FRESH:
            return True
        if now - self.born > OLDEST:
            return False
        try:
            self.connection.drain_events(timeout=0.001)
        except TimeoutError:
            return True
        except (OSError, KombuError, *self.connection.connection_errors, *self.connection.channel_errors):
            return False
        return True

    def call(self, callee: str, method: str, envelope: Json, ends: float) -> object:
        call = str(uuid.uuid4())
        self._producer.publish(
            {"args": [envelope], "kwargs": {}},
            exchange=RPC_EXCHANGE,
            routing_key=f"{callee}.{method}",
            serializer="json",
            mandatory=True,
            reply_to=self.reply_to,
            correlation_id=call,
            expiration=max(ends - time.monotonic(), 0.001),
        )
        while call not in self._replies:
            left = ends - time.monotonic()
            if self._returned or left <= 0:
                raise Unreachable
            self.connection.drain_events(timeout=left)
        self.used = time.monotonic()
        return self._replies.pop(call)

    def close(self) -> None:
        try:
            self.connection.release()
        except (OSError, KombuError, *self.connection.connection_errors, *self.connection.channel_errors):
            logging.getLogger(__name__).debug("a connection was already gone")

    def _arrived(self, body: object, message: Any) -> None:
        result = body.get("result") if isinstance(body, dict) else None
        self._replies[str(message.properties.get("correlation_id"))] = result

    def _came_back(self, _error: object, _exchange: str, routing_key: str, _message: object) -> None:
        self._returned.add(routing_key)


class _Lines:
    """A LIFO pool: the line used last is the one most likely to be alive."""

    def __init__(self, url: str, service: str) -> None:
        self._url, self._service = url, service
        self._idle: list[_Line] = []
        self._lock = threading.Lock()

    def exchange(self, callee: str, method: str, envelope: Json, timeout: float) -> object:
        ends = time.monotonic() + timeout
        line: _Line | None = None
        try:
            line = self._taken() or _Line(self._url, self._service, min(CONNECTING, timeout))
            reply = line.call(callee, method, envelope, ends)
        except (Unreachable, TimeoutError):
            _discard(line)
            raise Unreachable from None
        except Exception as error:  # noqa: BLE001
            _discard(line)
            self.close()
            telemetry.logger("calling").warning("a call found no way", **telemetry.describe(error))
            raise Unreachable from None
        except BaseException:
            _discard(line)
            raise
        self._given_back(line)
        return reply

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _taken(self) -> _Line | None:
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None or line.alive():
                return line
            line.close()

    def _given_back(self, line: _Line) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(line)
                return
        line.close()


def _discard(line: _Line | None) -> None:
    if line is not None:
        line.close()
