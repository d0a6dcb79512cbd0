"""Which events of data protection leave, and as which message: ids and days only."""

from datetime import date

from services.consent.domain.consent import ConsentGiven, ConsentRefused, ConsentWithdrawn
from services.consent.domain.release_from_secrecy import ReleaseWithdrawn
from shared.domain import Recorded, value
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
    "consent.ReleaseWithdrawn.v1": ReleaseDated,
}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case ConsentGiven(on=on) | ConsentRefused(on=on) | ConsentWithdrawn(on=on):
            return message_of("consent", record, dump(ConsentDated(consent_id=record.id, on=on)))
        case ReleaseWithdrawn(on=on):
            return message_of("consent", record, dump(ReleaseDated(release_id=record.id, on=on)))
    return None
