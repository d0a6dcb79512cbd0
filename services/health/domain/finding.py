"""Finding (Befund, Gutachten, Bescheinigung): a document with health data of one category, and who made it.

What came from a doctor stays what it is when it is copied: the category follows the origin (§ 76 SGB X).
"""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import NotFound, Refused


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


@event(version=1)
class FindingRectified(Event):
    """The finding says this from now on (Art. 16 DSGVO)."""

    person_id: str
    request_id: str
    category: str
    content: Personal[str]
    on: date


@event(version=1)
class FindingContested(Event):
    """Whether the finding is true cannot be settled: it goes only with this note (§ 84 Abs. 2 SGB X)."""

    person_id: str
    request_id: str
    category: str
    note: Personal[str]
    on: date


FindingEvent = FindingRecorded | FindingRectified | FindingContested


@dataclass(frozen=True)
class Finding:
    recorded: FindingRecorded | None = None
    contested: FindingContested | None = None

    def record(self, wanted: RecordFinding, today: date) -> list[FindingEvent]:
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

    def of(self, person_id: str) -> FindingRecorded:
        """The finding, if it is about that person; raises `NotFound` otherwise."""
        if not self.recorded or self.recorded.person_id != person_id:
            raise NotFound("finding.unknown")
        return self.recorded

    def correct(self, change: FindingRectified | FindingContested) -> list[FindingEvent]:
        """Rectified or marked as contested; the old words stay in the history, sealed."""
        self.of(change.person_id)
        return [change]

    def apply(self, event: FindingEvent) -> "Finding":
        match event:
            case FindingRecorded():
                return Finding(recorded=event)
            case FindingRectified(content=content):
                return Finding(recorded=replace(self.recorded, content=content) if self.recorded else None)
            case FindingContested():
                return replace(self, contested=event)
