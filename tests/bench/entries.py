"""The aggregate of the measurements: as small as the one the peer is measured with."""

from dataclasses import dataclass
from typing import Annotated

from shared.domain import Erased, Event, Sealed, event


@event(version=1)
class EntryWritten(Event):
    title: str


@event(version=1)
class EntrySealed(Event):
    person_id: str
    title: Annotated[str | Erased, Sealed()]


@dataclass(frozen=True)
class Entry:
    title: str | Erased = ""

    def apply(self, event: EntryWritten | EntrySealed) -> "Entry":
        return Entry(event.title)
