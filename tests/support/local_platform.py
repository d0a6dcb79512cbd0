"""All five services in one plain process, on SQLite files, asking each other without a broker.

For tests of what the services do together. The wire, the broker and the gateway have tests of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar
from uuid import uuid4

from services import SERVICES
from services.audit.evidence import sequence
from services.audit.service import AuditService
from services.cases.service import CasesService
from services.command.keys import provide_keys
from services.consent.service import ConsentService
from services.exchange.service import ExchangeService
from services.exchange.withdrawal import carry_out_fallen
from services.health.service import HealthService
from shared import runtime
from shared.clock import Clock
from shared.config import Settings
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.eventstore import EventStore
from shared.identity import Caller, CallRules, ServiceIdentity
from shared.messaging import Consumer, Message
from shared.migrate import migrate
from shared.outbox import messages_of
from shared.runtime import LocalCalls, ServiceContext, Work

T = TypeVar("T")
CLASSES = {
    "audit": AuditService,
    "cases": CasesService,
    "consent": ConsentService,
    "exchange": ExchangeService,
    "health": HealthService,
}


@dataclass(frozen=True)
class LocalPlatform:
    contexts: dict[str, ServiceContext]
    calls: LocalCalls
    told: dict[str, int] = field(default_factory=dict)

    def ask(
        self,
        service: str,
        method: str,
        question: object,
        answer: type[T],
        *,
        agency: str = "jc",
        role: str = "case_worker",
        command_id: str | None = None,
        actor: str = "tester",
    ) -> T:
        caller = Caller(service="gateway", actor=actor, role=role, agency=agency, command_id=command_id or str(uuid4()))
        found: T = self.calls.ask(service, method, question, answer, caller=caller)
        return found

    def deliver_messages(self, *, from_the_start: bool = False) -> None:
        """Hand every event that leaves a service to those who hear it, as relay and inbox do.

        From where it stopped the last time; `from_the_start` hands all of them over once more.
        """
        works = _works()
        for source, work in works.items():
            records = self.contexts[source].store.follow(0 if from_the_start else self.told.get(source, 0), 10_000)
            if not records or work.outbound is None:
                continue
            self.told[source] = records[-1].position
            messages = [message for record in records for message in messages_of(work.outbound, record)]
            for hearer, hearing in works.items():
                self._hear(hearer, hearing.inbound, messages)
            carry_out_fallen(self.contexts["exchange"])

    def retry_messages(self) -> None:
        """Try again what could not be handled."""
        for name, work in _works().items():
            Consumer(self.contexts[name], work.inbound).retry(now=True)
        carry_out_fallen(self.contexts["exchange"])

    def _hear(self, hearer: str, handlers: Any, messages: list[Message]) -> None:
        wanted = [message for message in messages if message.type in handlers]
        Consumer(self.contexts[hearer], handlers).handle(wanted)


@contextmanager
def local_platform(
    folder: Path, clock_shift: timedelta = timedelta(0), clock: Clock | None = None
) -> Iterator[LocalPlatform]:
    """A fresh installation in `folder`; the log is running until the end. All services share `clock`, if given."""
    settings = Settings(
        mode="demo", database=f"sqlite:///{folder}", state=folder, keys=folder / "keys", clock_shift=clock_shift
    )
    provide_keys(settings)
    calls = LocalCalls()
    contexts = {name: _context(name, settings, calls, clock or settings.clock()) for name in SERVICES}
    for name, service in CLASSES.items():
        calls.services[name] = runtime.local(service, contexts[name])
    stop = Event()
    log = Thread(target=sequence, args=(contexts["audit"], stop), daemon=True)
    log.start()
    try:
        yield LocalPlatform(contexts, calls)
    finally:
        stop.set()
        log.join()
        for context in contexts.values():
            context.database.close()


def _context(name: str, settings: Settings, calls: LocalCalls, clock: Clock) -> ServiceContext:
    url = settings.database_url(name)
    migrate(name, url)
    database = Database(url)
    custody = FileCustody(settings.keys / f"{name}-persons.json", production=False)
    keys = PersonKeys(database, custody, clock, settings.state / "erased" / f"{name}.jsonl")
    return ServiceContext(
        name=name,
        settings=settings,
        database=database,
        store=EventStore(database, keys, clock, service=name),
        clock=clock,
        keys=keys,
        identity=ServiceIdentity.load(settings.keys, name),
        calls=calls,
        rules=CallRules.load(settings.call_rules),
    )


def _works() -> dict[str, Work]:
    return {name: import_module(f"services.{name}.worker").WORK for name in SERVICES}
