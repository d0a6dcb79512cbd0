"""Which services the platform consists of, and how its keys, databases and exchanges come to be."""

from collections.abc import Callable, Sequence

from services import SERVICES
from services.audit.retention import load_schedule, provide_periods
from services.audit.service import AuditService
from services.audit.worker import WORK as AUDIT
from services.cases.service import CasesService
from services.cases.worker import WORK as CASES
from services.command.keys import provide_keys
from services.consent.service import ConsentService
from services.consent.worker import WORK as CONSENT
from services.exchange.service import ExchangeService
from services.exchange.worker import WORK as EXCHANGE
from services.gateway.idempotency import create
from services.health.service import HealthService
from services.health.worker import WORK as HEALTH
from shared.config import Settings
from shared.database import Database
from shared.messaging import bind_inbox
from shared.migrate import migrate, provide_database
from shared.runtime import ServiceDefinition

Tell = Callable[[str], None]

DEFINITIONS = {
    each.name: each
    for each in (
        ServiceDefinition("consent", ConsentService, CONSENT),
        ServiceDefinition("cases", CasesService, CASES),
        ServiceDefinition("health", HealthService, HEALTH),
        ServiceDefinition("exchange", ExchangeService, EXCHANGE),
        ServiceDefinition("audit", AuditService, AUDIT),
    )
}


def prepare(settings: Settings, tell: Tell = lambda _: None, services: Sequence[str] = SERVICES) -> None:
    """Make the keys that are missing and bring every database up to date. Twice it changes nothing."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    provide_keys(settings)
    for service in services:
        migrate(service, settings.database_url(service))
        if service == "audit":
            _provide_periods(settings)
        tell(service)
    provide_database(settings.database_url("gateway"))
    gateway = Database(settings.database_url("gateway"))
    create(gateway)
    gateway.close()


def _provide_periods(settings: Settings) -> None:
    """What the audit log's database holds its retention role against."""
    database = Database(settings.database_url("audit"))
    try:
        provide_periods(database, load_schedule())
    finally:
        database.close()


def provide_broker(settings: Settings) -> None:
    """Make exchanges, queues and bindings at a broker whose definitions were not loaded (`deploy/rabbitmq`)."""
    for each in DEFINITIONS.values():
        bind_inbox(settings.broker, each.name, each.work.inbound, each.work.sources)
