"""Which messages of others matter to partner exchange: a withdrawal reaches everybody who received something.

That a consent fell is noted here in an instant; what follows from it is carried out behind (`withdrawal.py`).
"""

from sqlalchemy import Connection

from services.exchange.delivery import CONSENT_GONE, ERASE_AT_REACHED
from services.exchange.notices import Corrected, data_corrected, erase_person
from services.exchange.withdrawal import note_fallen
from shared.domain import value
from shared.erasure import ORDERED, ErasureSeen
from shared.messaging import Message
from shared.runtime import Handler, ServiceContext


@value
class ConsentWithdrawnSeen:
    consent_id: str


@value
class ReleaseWithdrawnSeen:
    release_id: str


def consent_fell(_context: ServiceContext, tx: Connection, seen: ConsentWithdrawnSeen, message: Message) -> None:
    note_fallen(tx, message.agency, seen.consent_id, CONSENT_GONE, message.trace)


def release_fell(_context: ServiceContext, tx: Connection, seen: ReleaseWithdrawnSeen, message: Message) -> None:
    note_fallen(tx, message.agency, seen.release_id, CONSENT_GONE, message.trace)


def day_to_erase_came(_context: ServiceContext, tx: Connection, seen: ConsentWithdrawnSeen, message: Message) -> None:
    """The person let recipients keep it until this day; they are asked to confirm that it is erased."""
    note_fallen(tx, message.agency, seen.consent_id, ERASE_AT_REACHED, message.trace)


CORRECTING = (
    "cases.EntryRectified.v1",
    "cases.EntryContested.v1",
    "cases.PersonRectified.v1",
    "cases.PersonContested.v1",
    "cases.ProcessingRestricted.v1",
    "health.FindingRectified.v1",
    "health.FindingContested.v1",
    "health.AssessmentContested.v1",
)
HANDLERS = {
    "consent.ConsentWithdrawn.v1": Handler(ConsentWithdrawnSeen, consent_fell),
    "consent.EraseAtReached.v1": Handler(ConsentWithdrawnSeen, day_to_erase_came),
    "consent.ReleaseWithdrawn.v1": Handler(ReleaseWithdrawnSeen, release_fell),
    **{name: Handler(Corrected, data_corrected, transactional=False) for name in CORRECTING},
    ORDERED: Handler(ErasureSeen, erase_person, transactional=False),
}
