"""Which messages of others matter to case management: a safety concern goes to the person in charge, and each service
confirms that it has erased somebody.

The answer that gave rise to it is health data and stays in the health service; here only the fact is kept that
somebody has to look (the way to safety comes before the way to partners).
"""

from services.cases import handlers
from services.cases.erasing import Eraser
from services.cases.projections import FILES
from services.cases.queries import Files
from shared.domain import value
from shared.erasure import ErasureConfirmed
from shared.eventstore import catch_up
from shared.messaging import Message
from shared.runtime import Handler, ServiceContext


@value
class SafetyConcernSeen:
    person_id: str
    assessment_id: str


def tell_the_main_companion(context: ServiceContext, seen: SafetyConcernSeen, message: Message) -> None:
    """Also for a case that was opened a moment ago; the second time changes nothing."""
    catch_up(context.store, FILES)
    store = context.store.agency(message.agency, trace=message.trace)
    with context.database.read() as tx:
        case_ids = Files(store).cases_of_person(tx, seen.person_id)
    handlers.note_safety_concern(case_ids, seen.assessment_id, store, context.clock.today(), command_id=message.id)


def note_confirmation(context: ServiceContext, seen: ErasureConfirmed, message: Message) -> None:
    """The service that tells has done its part; the last one completes the erasure."""
    store = context.store.agency(message.agency, trace=message.trace)
    service = message.type.partition(".")[0]
    Eraser(store, context.database, context.keys).confirm(
        seen.erasure_id, service, context.clock.now(), command_id=message.id
    )


CONFIRMING = (
    "consent.ConsentDataErased.v1",
    "health.HealthDataErased.v1",
    "exchange.ExchangeDataErased.v1",
    "audit.AuditDataErased.v1",
)
HANDLERS = {
    "health.SafetyConcernNoted.v1": Handler(SafetyConcernSeen, tell_the_main_companion, transactional=False),
    **{name: Handler(ErasureConfirmed, note_confirmation, transactional=False) for name in CONFIRMING},
}
