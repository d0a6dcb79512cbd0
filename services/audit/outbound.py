"""Which events of the audit service leave: none. Rulings are answered, not announced."""

from shared.domain import Recorded
from shared.messaging import Message

MESSAGES: dict[str, type] = {}


def outbound(record: Recorded) -> Message | None:
    del record
    return None
