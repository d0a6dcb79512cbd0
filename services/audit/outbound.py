"""Which events of the audit service leave: that somebody is erased here. Rulings are answered, not announced."""

from services.audit.domain.erasure import AuditDataErased
from shared.domain import Recorded
from shared.erasure import ErasureConfirmed
from shared.messaging import Message, message_of
from shared.schema import dump

MESSAGES: dict[str, type] = {"audit.AuditDataErased.v1": ErasureConfirmed}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case AuditDataErased(erasure_id=erasure_id):
            return message_of("audit", record, dump(ErasureConfirmed(erasure_id=erasure_id)))
    return None
