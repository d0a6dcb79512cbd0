"""Finding (Befund, Gutachten, Bescheinigung): a document with health data of one category, and who made it.

What came from a doctor stays what it is when it is copied: the category follows the origin (§ 76 SGB X).
"""

from dataclasses import dataclass
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Refused


@command
class RecordFinding(Command):
    finding_id: str
    person_id: str
    category: str
    content: Personal[str]
    origin: str


@event(version=1)
class FindingRecorded(Event):
    person_id: str
    category: str
    content: Personal[str]
    origin: str
    on: date


@dataclass(frozen=True)
class Finding:
    recorded: FindingRecorded | None = None

    def record(self, wanted: RecordFinding, today: date) -> list[FindingRecorded]:
        if self.recorded:
            raise Refused("finding.already_recorded", "this id is taken", "choose a new finding id")
        return [
            FindingRecorded(
                person_id=wanted.person_id,
                category=wanted.category,
                content=wanted.content,
                origin=wanted.origin,
                on=today,
            )
        ]

    def apply(self, event: FindingRecorded) -> "Finding":
        return Finding(recorded=event)
