"""Which messages of others matter to partner exchange: a withdrawal reaches everybody who received something.

That a consent fell is noted here in an instant; what follows from it is carried out behind (`withdrawal.py`).
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.exchange.delivery import CONSENT_GONE, ERASE_AT_REACHED
from services.exchange.notices import Corrected, data_corrected, erase_person
from services.exchange.withdrawal import Fell, note_fallen
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


def consents_fell(
    _context: ServiceContext, tx: Connection, seen: Sequence[ConsentWithdrawnSeen], messages: Sequence[Message]
) -> None:
    _note(tx, [each.consent_id for each in seen], CONSENT_GONE, messages)


def releases_fell(
    _context: ServiceContext, tx: Connection, seen: Sequence[ReleaseWithdrawnSeen], messages: Sequence[Message]
) -> None:
    _note(tx, [each.release_id for each in seen], CONSENT_GONE, messages)


def days_to_erase_came(
    _context: ServiceContext, tx: Connection, seen: Sequence[ConsentWithdrawnSeen], messages: Sequence[Message]
) -> None:
    """The person let recipients keep it until this day; they are asked to confirm that it is erased."""
    _note(tx, [each.consent_id for each in seen], ERASE_AT_REACHED, messages)


def _note(tx: Connection, declarations: Sequence[str], reason: str, messages: Sequence[Message]) -> None:
    fell = zip(declarations, messages, strict=True)
    note_fallen(tx, [Fell(message.agency, each, reason, message.trace) for each, message in fell])


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
    "consent.ConsentWithdrawn.v1": Handler(ConsentWithdrawnSeen, consents_fell, together=True),
    "consent.EraseAtReached.v1": Handler(ConsentWithdrawnSeen, days_to_erase_came, together=True),
    "consent.ReleaseWithdrawn.v1": Handler(ReleaseWithdrawnSeen, releases_fell, together=True),
    **{name: Handler(Corrected, data_corrected, transactional=False) for name in CORRECTING},
    ORDERED: Handler(ErasureSeen, erase_person, transactional=False),
}
