"""Events to rows and back: personal fields sealed with the key of their person, older versions lifted.

Each personal field is stored as `{"$sealed": …, "v": 1}` and bound to its agency, stream, version, place and schema
version. Who each sealed field is about stands in `meta` beside the event, because only the schema of the time of
writing knows it; whoever changes that note gets a field that does not open.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from shared.crypto import PersonKeys
from shared.domain import Erased, Event, Json, Recorded
from shared.errors import Invalid
from shared.eventstore.forms import read_event, write_event
from shared.schema import ERASED_JSON

SEALED_FORM = 1


Stored = tuple[Any, ...]
"""What the driver gives: the fields of a `Row`, and perhaps others behind them."""


class Row(NamedTuple):
    """An event as it stands in the table, `data` and `meta` still as text."""

    position: int
    agency: str
    stream: str
    version: int
    category: str
    type: str
    schema_version: int
    data: str
    meta: str
    event_id: str
    recorded_at: Any

    @classmethod
    def of(cls, stored: Stored) -> "Row":
        return cls._make(stored[:11])


class Past(NamedTuple):
    """What is needed of an event to replay its stream."""

    version: int
    position: int
    type: str
    schema_version: int
    data: str
    meta: str


class Draft(NamedTuple):
    """An event on its way into the table."""

    version: int
    type: str
    schema_version: int
    data: str
    meta: str
    event_id: str


class History(NamedTuple):
    """What happened in a stream, and by which commands: the version and position each of them led to."""

    events: list[Event]
    commands: dict[str, tuple[int, int]]


class _Place(NamedTuple):
    agency: str
    stream: str
    version: int
    schema_version: int


class Slot(NamedTuple):
    """Where an event will stand."""

    agency: str
    stream: str
    version: int
    event_id: str


class Origin(NamedTuple):
    """Who asked, by which command, on which trace."""

    command_id: str
    actor: str
    trace: str


class Codec:
    """Seals and opens by the keys of one service."""

    def __init__(self, keys: PersonKeys) -> None:
        self._keys = keys

    def draft(self, event: Event, slot: Slot, origin: Origin, tx: Connection | None) -> Draft:
        """`event` sealed for its slot. Raises `Refused("person.erased")` for an erased person."""
        cls = type(event)
        owners: dict[str, str] = {}

        def seal(value: Any, owner: str, pointer: str) -> Any:
            bound_to = _bound_to(slot.agency, slot.stream, slot.version, pointer, cls.version)
            owners[pointer] = owner
            sealed = self._keys.seal(slot.agency, owner, orjson.dumps(value), bound_to, tx)
            return {"$sealed": sealed, "v": SEALED_FORM}

        data = _text(write_event(event, seal))
        meta = _text(_meta(origin, owners))
        return Draft(slot.version, cls.__name__, cls.version, data, meta, slot.event_id)

    def recorded(self, rows: Sequence[Stored], tx: Connection | None = None) -> list[Recorded]:
        """The rows as events, in their order. Fields of erased persons come back as `ERASED`."""
        metas: list[Json] = [orjson.loads(row[8]) for row in rows]
        self._fetch([(row[1], meta) for row, meta in zip(rows, metas, strict=True) if "personal" in meta], tx)
        return [self._recorded(row, meta, tx) for row, meta in zip(rows, metas, strict=True)]

    def history(self, agency: str, stream: str, past: Sequence[Past], tx: Connection | None = None) -> History:
        """The same for one stream, with no more than a decision needs."""
        metas: list[Json] = [orjson.loads(row[5]) for row in past]
        self._fetch([(agency, meta) for meta in metas if "personal" in meta], tx)
        events: list[Event] = []
        commands: dict[str, tuple[int, int]] = {}
        for (version, position, name, schema_version, text, _), meta in zip(past, metas, strict=True):
            data = orjson.loads(text)
            if "personal" in meta:
                self._open(_Place(agency, stream, version, schema_version), data, meta["personal"], tx)
            events.append(read_event(name, schema_version, data))
            commands[meta["command"]] = (version, position)
        return History(events, commands)

    def _fetch(self, metas: Sequence[tuple[str, Json]], tx: Connection | None) -> None:
        if metas:
            self._keys.fetch({(agency, owner) for agency, meta in metas for owner in meta["personal"].values()}, tx)

    def _recorded(self, row: Stored, meta: Json, tx: Connection | None) -> Recorded:
        position, agency, stream, version, category, name, schema_version, text, _, event_id, recorded_at = row[:11]
        data = orjson.loads(text)
        if "personal" in meta:
            self._open(_Place(agency, stream, version, schema_version), data, meta["personal"], tx)
        return Recorded(
            agency,
            stream,
            category,
            stream[len(category) + 1 :],
            version,
            position,
            read_event(name, schema_version, data),
            event_id,
            moment(recorded_at),
            meta["command"],
            meta.get("actor", ""),
            meta.get("trace", ""),
        )

    def _open(self, at: _Place, data: Json, owners: dict[str, str], tx: Connection | None) -> None:
        for pointer, owner in owners.items():
            place, last = at_pointer(data, pointer)
            field = place[last]
            if field.get("v") != SEALED_FORM:
                raise Invalid("sealed.unknown_form", "a field was sealed in a way this version does not know")
            bound_to = _bound_to(at.agency, at.stream, at.version, pointer, at.schema_version)
            opened = self._keys.open(at.agency, owner, field["$sealed"], bound_to, tx)
            place[last] = ERASED_JSON if isinstance(opened, Erased) else orjson.loads(opened)


def at_pointer(data: Any, pointer: str) -> tuple[Any, Any]:
    """The object or list in which a JSON Pointer (RFC 6901) ends, and the key or index there."""
    *path, last = pointer.split("/")[1:]
    for step in path:
        data = data[_key(data, step)]
    return data, _key(data, last)


def _key(place: Any, step: str) -> Any:
    return int(step) if isinstance(place, list) else step.replace("~1", "/").replace("~0", "~")


def _bound_to(agency: str, stream: str, version: int, pointer: str, schema_version: int) -> bytes:
    """Canonical JSON (RFC 8785): for texts and whole numbers in a list orjson writes nothing else."""
    return orjson.dumps([agency, stream, version, pointer, schema_version])


def _meta(origin: Origin, owners: dict[str, str]) -> Json:
    optional = {"actor": origin.actor, "trace": origin.trace, "personal": owners}
    return {"command": origin.command_id, **{name: value for name, value in optional.items() if value}}


def moment(stored: Any) -> datetime:
    """When a row was recorded, in UTC, from what its database gives."""
    known = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
    return known if known.tzinfo is UTC else known.astimezone(UTC)


def _text(data: Json) -> str:
    return orjson.dumps(data).decode()
