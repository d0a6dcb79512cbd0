"""Which messages of others matter to data protection: that somebody is to be erased."""

from services.consent.domain.erasure import ConsentDataErased
from services.consent.projections import forget
from shared.erasure import ORDERED, ErasureSeen, erase
from shared.messaging import Message
from shared.runtime import Handler, ServiceContext


def erase_person(context: ServiceContext, seen: ErasureSeen, message: Message) -> None:
    """This service's part of an erasure; the second time changes nothing."""
    erased = ConsentDataErased(person_id=seen.person_id, erasure_id=seen.erasure_id)
    erase(context, message, seen, erased, forget)


HANDLERS = {ORDERED: Handler(ErasureSeen, erase_person, transactional=False)}
