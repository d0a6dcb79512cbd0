"""Which events of case management leave, and as which message: ids and states, no stories."""

from services.cases.domain.case import CaseHandedOver, CaseOpened
from services.cases.domain.erasure import ErasureCompleted, ErasureOrdered
from services.cases.domain.file_entry import EntryContested, EntryRectified
from services.cases.domain.person import PersonContested, PersonRectified, ProcessingRestricted
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


@value
class ErasureNamed:
    erasure_id: str


@value
class ErasureOfPerson:
    erasure_id: str
    person_id: str


@value
class Corrected:
    """`change` is what became of data that partners may have: rectified, contested, restricted. No categories: all."""

    person_id: str
    change: str
    categories: tuple[str, ...]


MESSAGES = {
    "cases.CaseOpened.v1": CaseOfPerson,
    "cases.CaseHandedOver.v1": CaseNamed,
    "cases.ErasureOrdered.v1": ErasureOfPerson,
    "cases.ErasureCompleted.v1": ErasureNamed,
    "cases.EntryRectified.v1": Corrected,
    "cases.EntryContested.v1": Corrected,
    "cases.PersonRectified.v1": Corrected,
    "cases.PersonContested.v1": Corrected,
    "cases.ProcessingRestricted.v1": Corrected,
}
OF_A_PERSON = ("master_data", "contact_data")


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case CaseOpened(person_id=person_id):
            return message_of("cases", record, dump(CaseOfPerson(case_id=record.id, person_id=person_id)))
        case CaseHandedOver():
            return message_of("cases", record, dump(CaseNamed(case_id=record.id)))
        case ErasureOrdered(person_id=person_id):
            told = ErasureOfPerson(erasure_id=record.id, person_id=person_id)
            return message_of("cases", record, dump(told))
        case ErasureCompleted():
            return message_of("cases", record, dump(ErasureNamed(erasure_id=record.id)))
    corrected = _corrected(record)
    return None if corrected is None else message_of("cases", record, dump(corrected))


def _corrected(record: Recorded) -> Corrected | None:
    match record.event:
        case EntryRectified(person_id=person_id, category=category):
            return Corrected(person_id=person_id, change="rectified", categories=(category,))
        case EntryContested(person_id=person_id, category=category):
            return Corrected(person_id=person_id, change="contested", categories=(category,))
        case PersonRectified(person_id=person_id):
            return Corrected(person_id=person_id, change="rectified", categories=OF_A_PERSON)
        case PersonContested(person_id=person_id):
            return Corrected(person_id=person_id, change="contested", categories=OF_A_PERSON)
        case ProcessingRestricted(person_id=person_id):
            return Corrected(person_id=person_id, change="restricted", categories=())
    return None
