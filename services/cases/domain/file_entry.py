"""File entry (Akteneintrag): social data of one category as an agency holds it, with where it came from.

The category follows the origin of a datum, not the name of its field (`contracts/law/vocabulary.yaml`).
Health data stands in the health service, never here.
"""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import NotFound, Refused


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


@event(version=1)
class EntryRectified(Event):
    """The entry says this from now on (Art. 16 DSGVO, § 84 Abs. 1 SGB X)."""

    person_id: str
    request_id: str
    category: str
    content: Personal[str]
    on: date


@event(version=1)
class EntryContested(Event):
    """Whether the entry is true cannot be settled: it goes only with this note (§ 84 Abs. 2 SGB X)."""

    person_id: str
    request_id: str
    category: str
    note: Personal[str]
    on: date


EntryEvent = EntryRecorded | EntryRectified | EntryContested


@dataclass(frozen=True)
class FileEntry:
    recorded: EntryRecorded | None = None
    contested: EntryContested | None = None

    def record(self, wanted: RecordEntry, today: date) -> list[EntryEvent]:
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

    def of(self, person_id: str) -> EntryRecorded:
        """The entry, if it is about that person; raises `NotFound` otherwise."""
        if not self.recorded or self.recorded.person_id != person_id:
            raise NotFound("entry.unknown")
        return self.recorded

    def correct(self, change: EntryRectified | EntryContested) -> list[EntryEvent]:
        """Rectified or marked as contested; the old words stay in the history, sealed."""
        self.of(change.person_id)
        return [change]

    def apply(self, event: EntryEvent) -> "FileEntry":
        match event:
            case EntryRecorded():
                return FileEntry(recorded=event)
            case EntryRectified(content=content):
                now = replace(self.recorded, content=content) if self.recorded else None
                return FileEntry(recorded=now)
            case EntryContested():
                return replace(self, contested=event)
