"""A small domain for the tests of `shared`: a notebook in which notes about people are taken."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from shared.domain import Erased, Event, Json, Personal, Sealed, event, upcast, value
from shared.errors import Refused


class Mood(StrEnum):
    CALM = "calm"
    HURRIED = "hurried"


@value
class Note:
    person_id: str
    text: Personal[str]
    mood: Mood = Mood.CALM


@event(version=1)
class NotebookOpened(Event):
    title: str


@event(version=2)
class NoteTaken(Event):
    note: Note


@event(version=1)
class MeetingNoted(Event):
    host_id: str
    guest_id: str
    host: Annotated[str | Erased, Sealed("host_id")]
    guest: Annotated[str | Erased, Sealed("guest_id")]
    notes: tuple[Note, ...] = ()
    on: date | None = None
    at: datetime | None = None


@upcast(NoteTaken, version=1)
def notes_were_flat_and_calm(data: Json) -> Json:
    """Version 1 held `person_id` and the sealed `words` side by side."""
    return {"note": {"person_id": data["person_id"], "text": data["words"], "mood": "calm"}}


NotebookEvent = NotebookOpened | NoteTaken | MeetingNoted


@dataclass(frozen=True)
class Notebook:
    title: str = ""
    texts: tuple[str | Erased, ...] = ()

    def open(self, title: str) -> list[NotebookEvent]:
        if self.title:
            raise Refused("notebook.open_already")
        return [NotebookOpened(title=title)]

    def take(self, person_id: str, *texts: str) -> list[NotebookEvent]:
        return [NoteTaken(note=Note(person_id=person_id, text=text)) for text in texts]

    def apply(self, event: NotebookEvent) -> "Notebook":
        match event:
            case NotebookOpened(title=title):
                return replace(self, title=title)
            case NoteTaken(note=note):
                return replace(self, texts=(*self.texts, note.text))
            case MeetingNoted():
                return self
