"""Which events of case management leave, and as which message: ids and states, no stories."""

from services.cases.domain.case import CaseHandedOver, CaseOpened
from shared.domain import Recorded, value
from shared.messaging import Message, message_of
from shared.schema import dump


@value
class CaseNamed:
    case_id: str


@value
class CaseOfPerson:
    case_id: str
    person_id: str


MESSAGES = {"cases.CaseOpened.v1": CaseOfPerson, "cases.CaseHandedOver.v1": CaseNamed}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case CaseOpened(person_id=person_id):
            return message_of("cases", record, dump(CaseOfPerson(case_id=record.id, person_id=person_id)))
        case CaseHandedOver():
            return message_of("cases", record, dump(CaseNamed(case_id=record.id)))
    return None
