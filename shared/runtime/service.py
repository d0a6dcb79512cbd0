"""What a service class is made of: methods to be asked over RPC, dependencies, and the work behind them.

    class ConsentService:
        name = "consent"
        store = runtime.store()

        @runtime.rpc
        def give_consent(self, command: GiveConsent, caller: Caller) -> Receipt: ...

A method sees plain values and a caller who has been checked; signature, seal and JSON stay outside. An exception
outside the closed set is logged here by type and place and leaves as `internal`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import DependencyProvider
from nameko.messaging import QueueConsumer
from nameko.rpc import Responder, Rpc, RpcConsumer

from shared import telemetry
from shared.clock import Clock
from shared.config import Settings
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.domain import Recorded
from shared.errors import HandschlagError, Unavailable
from shared.event_hashes import Batch
from shared.eventstore import EventStore
from shared.identity import Caller, CallRules, ServiceIdentity, call_id, claimed_caller
from shared.messaging import Handler, Message
from shared.runtime.calling import Asking, Calls, Request, make_reply, open_request, signature_of

if TYPE_CHECKING:
    from shared.eventstore import Projection

Method = TypeVar("Method", bound=Callable[..., Any])
Service = TypeVar("Service")

CONTEXTS = "handschlag.contexts"
GLANCE = 0.2


class _ReportedHere(logging.Filter):
    """nameko's line about a failed method: what may be said was said here, and a refusal is no fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "error handling worker" not in str(record.msg)


logging.getLogger("nameko.containers").addFilter(_ReportedHere())


@dataclass(frozen=True)
class ServiceContext:
    """What one service holds for as long as its process runs."""

    name: str
    settings: Settings
    database: Database
    store: EventStore
    clock: Clock
    keys: PersonKeys
    identity: ServiceIdentity
    calls: Asking
    rules: CallRules

    def close(self) -> None:
        """Give back connections to broker and database."""
        if isinstance(self.calls, Calls):
            self.calls.close()
        self.database.close()


def context(service: str, settings: Settings) -> ServiceContext:
    """Opened from the settings; the tables and the keys must be there already."""
    database = Database(settings.database_url(service))
    clock = settings.clock()
    production = settings.mode == "production"
    custody = FileCustody(settings.keys / f"{service}-persons.json", production=production)
    keys = PersonKeys(database, custody, clock, erased=settings.state / "erased" / f"{service}.jsonl")
    identity = ServiceIdentity.load(settings.keys, service)
    return ServiceContext(
        name=service,
        settings=settings,
        database=database,
        store=EventStore(database, keys, clock, service=service),
        clock=clock,
        keys=keys,
        identity=identity,
        calls=Calls(settings, identity),
        rules=CallRules.load(settings.call_rules),
    )


@dataclass(frozen=True)
class Work:
    """What a service does besides answering.

    `outbound` turns an event into the message that leaves, into several versions of it, or into None. `inbound` names
    by message type (or topic pattern) what is heard; `sources` adds services that a pattern does not name. `loops` run
    in a thread each until the event they are given is set, and are started again, later each time, when they raise.
    `hashes` takes the hashes of the service's events; without it they leave as messages (`shared.event_hashes`).
    """

    projections: Sequence["Projection"] = ()
    outbound: Callable[[Recorded], Message | Sequence[Message] | None] | None = None
    inbound: Mapping[str, Handler] = field(default_factory=dict)
    loops: Sequence[Callable[[ServiceContext, Event], None]] = ()
    sources: Sequence[str] = ()
    hashes: Callable[[ServiceContext, Sequence[Batch]], object] | None = None


@dataclass(frozen=True)
class ServiceDefinition:
    """One service: its name, the class that answers, and its work."""

    name: str
    service: type
    work: Work = field(default_factory=Work)


def rpc(method: Method) -> Method:
    """Offer `method(self, question, caller) -> answer` to the other services, under its own name."""

    @wraps(method)
    def traced(self: Any, question: object, caller: Caller) -> Any:
        with telemetry.continue_trace(
            caller.trace,
            f"{type(self).name}.{method.__name__}",
            caller=caller.service,
            purpose=caller.purpose,
        ):
            return method(self, question, caller)

    return cast(Method, _SignedRpc.decorator(traced))


def local(service: type[Service], context: ServiceContext | None = None, **replacements: object) -> Service:
    """An instance to be asked without broker: dependencies are those of `context` or the ones given by name."""
    instance = service()
    for name in dir(service):
        provider = getattr(service, name)
        if name in replacements:
            setattr(instance, name, replacements[name])
        elif isinstance(provider, _Dependency):
            setattr(instance, name, provider.take(context) if context else _NotGiven(service.__name__, name))
    return instance


class _NotGiven:
    def __init__(self, service: str, name: str) -> None:
        self._message = f"{service}.{name} was not given to runtime.local"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._message)


class _Dependency(DependencyProvider):
    """Hands a part of the service's context to each worker."""

    def __init__(self, take: Callable[[ServiceContext], Any] = lambda context: context) -> None:
        self.take = take

    def get_dependency(self, worker_ctx: Any) -> Any:
        return self.take(context_of(self.container))


def store() -> EventStore:
    """Dependency: the service's event store."""
    return cast(EventStore, _Dependency(lambda context: context.store))


def database() -> Database:
    """Dependency: the service's database."""
    return cast(Database, _Dependency(lambda context: context.database))


def clock() -> Clock:
    """Dependency: the clock."""
    return cast(Clock, _Dependency(lambda context: context.clock))


def calls() -> Asking:
    """Dependency: questions to the other services."""
    return cast(Asking, _Dependency(lambda context: context.calls))


def service_context() -> ServiceContext:
    """Dependency: everything at once."""
    return cast(ServiceContext, _Dependency())


def context_of(container: Any) -> ServiceContext:
    """The context of the service that runs in a nameko container."""
    contexts: Mapping[str, ServiceContext] = container.config[CONTEXTS]
    return contexts[container.service_name]


class _QueueConsumer(QueueConsumer):
    """nameko's, with short attempts to connect: it comes back a second after the broker and can stop without one."""

    @contextmanager
    def establish_connection(self) -> Iterator[Any]:
        with self.create_connection() as connection:
            connection.connect()
            yield connection

    def consume(self, limit: int | None = None, **options: Any) -> Iterator[Any]:
        yield from super().consume(limit, **{**options, "safety_interval": GLANCE})


class _SignedRpcConsumer(RpcConsumer):
    """Reads the queue `rpc-<service>`. The exchange is set up beforehand; a service may not declare it."""

    queue_consumer = _QueueConsumer()

    def setup(self) -> None:
        super().setup()
        self.queue.exchange.no_declare = True

    def handle_message(self, body: object, message: Any) -> None:
        method = str(message.delivery_info["routing_key"]).rpartition(".")[2]
        provider = next((known for known in self._providers if known.method_name == method), None)
        if provider is None:
            self.reply(message, None)
        else:
            provider.handle_message(body, message)

    def reply(self, message: Any, content: object) -> None:
        """Answer and acknowledge. A broker that is away just now makes the caller wait in vain, and nobody die."""
        try:
            Responder(
                self.container.config["AMQP_URI"],
                self.queue.exchange,
                self.container.serializer,
                message,
            ).send_response(content, None)
            self.queue_consumer.ack_message(message)
        except Exception as error:  # noqa: BLE001
            telemetry.logger("rpc").warning("an answer could not be sent", **telemetry.describe(error))


class _SignedRpc(Rpc):
    rpc_consumer = _SignedRpcConsumer()

    def setup(self) -> None:
        method = getattr(self.container.service_cls, self.method_name)
        self.question, self.answer = signature_of(method)
        super().setup()

    def handle_message(self, body: Any, message: Any) -> None:
        held = context_of(self.container)
        envelope = body["args"][0] if isinstance(body, dict) and body.get("args") else None
        try:
            request = open_request(held.identity, held.rules, self.method_name, envelope, self.question)
        except Exception as error:  # noqa: BLE001
            self._refuse(message, envelope, error)
            return
        try:
            self.container.spawn_worker(
                self,
                (request.question, request.caller),
                {},
                context_data=self.unpack_message_headers(message),
                handle_result=partial(self._answer, message, request),
            )
        except ContainerBeingKilled:
            self.rpc_consumer.requeue_message(message)

    def _answer(
        self, message: Any, request: Request, worker_ctx: object, result: object, exc_info: Any
    ) -> tuple[object, Any]:
        del worker_ctx
        outcome = exc_info[1] if exc_info else result
        _log_internal(self.container.service_name, self.method_name, outcome)
        held = context_of(self.container)
        try:
            reply = make_reply(held.identity, request.caller.service, request.call, outcome)
        except Exception as error:  # noqa: BLE001
            _log_internal(self.container.service_name, self.method_name, error)
            reply = make_reply(held.identity, request.caller.service, request.call, error)
        self.rpc_consumer.reply(message, reply)
        return result, None

    def _refuse(self, message: Any, envelope: Any, error: Exception) -> None:
        _log_internal(self.container.service_name, self.method_name, error)
        held = context_of(self.container)
        code = getattr(error, "code", "internal")
        if code == "call.replayed" and message.delivery_info.get("redelivered"):
            error = Unavailable(f"{held.name}.unavailable", "the call was interrupted", "send the same again later")
        telemetry.logger("rpc").warning(
            "a call was refused", service=self.container.service_name, method=self.method_name, code=code
        )
        token = envelope.get("call") if isinstance(envelope, dict) else None
        try:
            reply = make_reply(held.identity, claimed_caller(str(token)), call_id(str(token)), error)
        except HandschlagError:
            reply = None
        self.rpc_consumer.reply(message, reply)


def _log_internal(service: str, method: str, outcome: object) -> None:
    if isinstance(outcome, BaseException) and not isinstance(outcome, HandschlagError):
        telemetry.logger("rpc").error("a method failed", service=service, method=method, **telemetry.describe(outcome))
