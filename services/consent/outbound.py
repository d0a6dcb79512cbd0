"""Which events of data protection leave, and as which message: ids and days only, and that somebody is erased."""

from dataclasses import replace
from datetime import date

from services.consent.domain.consent import ConsentGiven, ConsentRefused, ConsentWithdrawn, EraseAtReached
from services.consent.domain.erasure import ConsentDataErased
from services.consent.domain.release_from_secrecy import ReleaseWithdrawn
from shared.domain import Recorded, value
from shared.erasure import ErasureConfirmed
from shared.messaging import Message, message_of
from shared.schema import dump


@value
class ConsentDated:
    consent_id: str
    on: date


@value
class ReleaseDated:
    release_id: str
    on: date


MESSAGES: dict[str, type] = {
    "consent.ConsentGiven.v1": ConsentDated,
    "consent.ConsentRefused.v1": ConsentDated,
    "consent.ConsentWithdrawn.v1": ConsentDated,
    "consent.EraseAtReached.v1": ConsentDated,
    "consent.ReleaseWithdrawn.v1": ReleaseDated,
    "consent.ConsentDataErased.v1": ErasureConfirmed,
}


def outbound(record: Recorded) -> Message | None:
    """Messages have versions of their own: the event behind two of them is in its second, what is told in its first."""
    match record.event:
        case ConsentGiven(on=on) | ConsentRefused(on=on):
            made = message_of("consent", record, dump(ConsentDated(consent_id=record.id, on=on)))
            return replace(made, type=f"consent.{type(record.event).__name__}.v1")
        case ConsentWithdrawn(on=on) | EraseAtReached(on=on):
            return message_of("consent", record, dump(ConsentDated(consent_id=record.id, on=on)))
        case ReleaseWithdrawn(on=on):
            return message_of("consent", record, dump(ReleaseDated(release_id=record.id, on=on)))
        case ConsentDataErased(erasure_id=erasure_id):
            return message_of("consent", record, dump(ErasureConfirmed(erasure_id=erasure_id)))
    return None
