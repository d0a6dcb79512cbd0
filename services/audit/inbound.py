"""Which messages of others matter to the log: what became of a disclosure after its intent was logged."""

from services.audit.evidence import audit_log
from services.audit.handlers import Office
from shared.domain import value
from shared.messaging import Message
from shared.runtime import Handler, ServiceContext


@value
class OutcomeSeen:
    disclosure_id: str
    result: str


def log_the_outcome(context: ServiceContext, seen: OutcomeSeen, message: Message) -> None:
    store = context.store.agency(message.agency, trace=message.trace)
    office = Office(message.agency, store, audit_log(context), context.clock)
    office.record_outcome(seen.disclosure_id, "outcome", seen.result, message.id)


OUTCOMES = (
    "DisclosureConfirmed",
    "DisclosureDeclined",
    "DisclosureHandedOver",
    "DisclosureAcknowledged",
    "DisclosureStopped",
    "RetractionAcknowledged",
    "BreakGlassReviewed",
)
HANDLERS = {f"exchange.{name}.v1": Handler(OutcomeSeen, log_the_outcome, transactional=False) for name in OUTCOMES}
