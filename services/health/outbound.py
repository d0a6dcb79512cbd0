"""Which events of health leave, and as which message: only that somebody has to look after a person."""

from services.health.domain.assessment import SafetyConcernNoted
from shared.domain import Recorded, value
from shared.messaging import Message, message_of
from shared.schema import dump


@value
class SafetyConcern:
    person_id: str
    assessment_id: str


MESSAGES = {"health.SafetyConcernNoted.v1": SafetyConcern}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case SafetyConcernNoted(person_id=person_id):
            told = SafetyConcern(person_id=person_id, assessment_id=record.id)
            return message_of("health", record, dump(told))
    return None
