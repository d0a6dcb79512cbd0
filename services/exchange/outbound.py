"""Which events of partner exchange leave, and as which message: what became of a disclosure, for the log."""

from services.exchange.domain.disclosure import (
    BreakGlassReviewed,
    DisclosureAcknowledged,
    DisclosureConfirmed,
    DisclosureDeclined,
    DisclosureHandedOver,
    DisclosureStopped,
    RetractionAcknowledged,
)
from shared.domain import Recorded, value
from shared.messaging import Message, message_of
from shared.schema import dump


@value
class Outcome:
    """`result`: confirmed, declined, handed_over, stopped, taken_back, retraction_acknowledged, reviewed, or the
    recipient's word on the match.
    """

    disclosure_id: str
    result: str


MESSAGES = {
    "exchange.DisclosureConfirmed.v1": Outcome,
    "exchange.DisclosureDeclined.v1": Outcome,
    "exchange.BreakGlassReviewed.v1": Outcome,
    "exchange.DisclosureHandedOver.v1": Outcome,
    "exchange.DisclosureAcknowledged.v1": Outcome,
    "exchange.DisclosureStopped.v1": Outcome,
    "exchange.RetractionAcknowledged.v1": Outcome,
}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case DisclosureConfirmed():
            result = "confirmed"
        case DisclosureDeclined():
            result = "declined"
        case BreakGlassReviewed():
            result = "reviewed"
        case DisclosureHandedOver():
            result = "handed_over"
        case DisclosureAcknowledged(match=found):
            result = found.value
        case DisclosureStopped(taken_back=taken_back):
            result = "taken_back" if taken_back else "stopped"
        case RetractionAcknowledged():
            result = "retraction_acknowledged"
        case _:
            return None
    return message_of("exchange", record, dump(Outcome(disclosure_id=record.id, result=result)))
