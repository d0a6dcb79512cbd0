"""Which messages of others matter to health: that somebody is to be erased."""

from sqlalchemy import Connection

from services.health.domain.erasure import HealthDataErased
from services.health.projections import NEWEST, forget
from shared import file_views
from shared.erasure import ORDERED, ErasureSeen, erase
from shared.messaging import Message
from shared.runtime import Handler, ServiceContext


def erase_person(context: ServiceContext, seen: ErasureSeen, message: Message) -> None:
    """This service's part of an erasure; the second time changes nothing."""
    erased = HealthDataErased(person_id=seen.person_id, erasure_id=seen.erasure_id)
    erase(context, message, seen, erased, purge)


def purge(tx: Connection, agency: str, person_id: str) -> None:
    """The rows beside the events."""
    forget(tx, agency, person_id)
    NEWEST.forget(tx, agency, person_id)
    file_views.forget(tx, agency, person_id)


HANDLERS = {ORDERED: Handler(ErasureSeen, erase_person, transactional=False)}
