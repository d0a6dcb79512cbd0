"""The aggregate of the measurements: as small as the one the peer is measured with."""

from dataclasses import dataclass
from typing import Annotated

import orjson

from shared.domain import Erased, Event, Json, Sealed, event

BODY: Json = {
    "order": "0d9f7b52-5c0e-4f2e-9b1a-7a4d2c6e8f10",
    "customer": "c-00000001",
    "currency": "EUR",
    "amount": 12995,
    "placed_at": "2026-11-22T10:15:30.123456Z",
    "lines": [
        {"article": f"A-{number:05}", "count": number + 1, "price": 999 + number, "name": f"Item number {number}"}
        for number in range(4)
    ],
    "note": "a few words " * 4,
}
"""About 500 bytes of JSON, as of an order with four lines."""

DATA = orjson.dumps({"body": BODY}).decode()
"""The text of an event with that body."""


@event(version=1)
class EntryWritten(Event):
    body: Json


@event(version=1)
class EntrySealed(Event):
    person_id: str
    title: Annotated[str | Erased, Sealed()]


@dataclass(frozen=True)
class Entry:
    last: Json | str | Erased | None = None

    def apply(self, event: EntryWritten | EntrySealed) -> "Entry":
        return Entry(event.body if isinstance(event, EntryWritten) else event.title)
