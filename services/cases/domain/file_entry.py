"""File entry (Akteneintrag): social data of one category as an agency holds it, with where it came from.

The category follows the origin of a datum, not the name of its field (`contracts/law/vocabulary.yaml`).
Health data stands in the health service, never here.
"""

from dataclasses import dataclass
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Refused


@command
class RecordEntry(Command):
    entry_id: str
    person_id: str
    category: str
    content: Personal[str]
    origin: str = "person"


@event(version=1)
class EntryRecorded(Event):
    person_id: str
    category: str
    content: Personal[str]
    origin: str
    on: date


@dataclass(frozen=True)
class FileEntry:
    recorded: EntryRecorded | None = None

    def record(self, wanted: RecordEntry, today: date) -> list[EntryRecorded]:
        if self.recorded:
            raise Refused("entry.already_recorded", "this id is taken", "choose a new entry id")
        return [
            EntryRecorded(
                person_id=wanted.person_id,
                category=wanted.category,
                content=wanted.content,
                origin=wanted.origin,
                on=today,
            )
        ]

    def apply(self, event: EntryRecorded) -> "FileEntry":
        return FileEntry(recorded=event)
