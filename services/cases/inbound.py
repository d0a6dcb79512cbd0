"""Which messages of others matter to case management: a safety concern goes to the person in charge.

The answer that gave rise to it is health data and stays in the health service; here only the fact is kept that
somebody has to look (the way to safety comes before the way to partners).
"""

from services.cases import handlers
from services.cases.projections import FILES
from services.cases.queries import Files
from shared.domain import value
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


HANDLERS = {"health.SafetyConcernNoted.v1": Handler(SafetyConcernSeen, tell_the_main_companion, transactional=False)}
