"""Which events of health leave, and as which message: that somebody has to look after a person, that something was put
right, that somebody is erased.
"""

from services.health.domain.assessment import AssessmentContested, SafetyConcernNoted
from services.health.domain.erasure import HealthDataErased
from services.health.domain.finding import FindingContested, FindingRectified
from shared.domain import Recorded, value
from shared.erasure import ErasureConfirmed
from shared.messaging import Message, message_of
from shared.schema import dump


@value
class SafetyConcern:
    person_id: str
    assessment_id: str


@value
class Corrected:
    """`change` is what became of data that partners may have: rectified or contested."""

    person_id: str
    change: str
    categories: tuple[str, ...]


MESSAGES = {
    "health.SafetyConcernNoted.v1": SafetyConcern,
    "health.HealthDataErased.v1": ErasureConfirmed,
    "health.FindingRectified.v1": Corrected,
    "health.FindingContested.v1": Corrected,
    "health.AssessmentContested.v1": Corrected,
}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case SafetyConcernNoted(person_id=person_id):
            told = SafetyConcern(person_id=person_id, assessment_id=record.id)
            return message_of("health", record, dump(told))
        case HealthDataErased(erasure_id=erasure_id):
            return message_of("health", record, dump(ErasureConfirmed(erasure_id=erasure_id)))
        case FindingRectified(person_id=person_id, category=category):
            corrected = Corrected(person_id=person_id, change="rectified", categories=(category,))
        case FindingContested(person_id=person_id, category=category):
            corrected = Corrected(person_id=person_id, change="contested", categories=(category,))
        case AssessmentContested(person_id=person_id):
            corrected = Corrected(person_id=person_id, change="contested", categories=("health_data",))
        case _:
            return None
    return message_of("health", record, dump(corrected))
