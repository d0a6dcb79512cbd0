"""Events to rows and back: personal fields sealed with the key of their person, older versions lifted.

Each personal field is stored as `{"$sealed": …, "v": 1}` and bound to its agency, stream, version, place and schema
version. Who each sealed field is about stands in `meta` beside the event, because only the schema of the time of
writing knows it; whoever changes that note gets a field that does not open.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from shared.crypto import PersonKeys
from shared.domain import Erased, Event, Json, Recorded, event_class
from shared.errors import Invalid
from shared.eventstore.forms import read_event, write_event
from shared.schema import ERASED_JSON

SEALED_FORM = 1


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


class Draft(NamedTuple):
    """An event on its way into the table."""

    version: int
    type: str
    schema_version: int
    data: str
    meta: str
    event_id: str


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

        data = write_event(event, seal)
        meta = _text(_meta(origin, owners))
        return Draft(slot.version, cls.__name__, cls.version, _text(data), meta, slot.event_id)

    def recorded(self, rows: list[Row], tx: Connection | None = None) -> list[Recorded]:
        """The rows as events, in their order. Fields of erased persons come back as `ERASED`."""
        metas: list[Json] = [orjson.loads(row.meta) for row in rows]
        persons = {
            (row.agency, owner)
            for row, meta in zip(rows, metas, strict=True)
            for owner in meta.get("personal", {}).values()
        }
        if persons:
            self._keys.fetch(persons, tx)
        return [self._recorded(row, meta, tx) for row, meta in zip(rows, metas, strict=True)]

    def _recorded(self, row: Row, meta: Json, tx: Connection | None) -> Recorded:
        data = orjson.loads(row.data)
        for pointer, owner in meta.get("personal", {}).items():
            self._open(row, data, pointer, owner, tx)
        return Recorded(
            agency=row.agency,
            stream=row.stream,
            category=row.category,
            id=row.stream[len(row.category) + 1 :],
            version=row.version,
            position=row.position,
            event=_event(row.type, row.schema_version, data),
            event_id=row.event_id,
            recorded_at=moment(row.recorded_at),
            command_id=meta["command"],
            actor=meta.get("actor", ""),
            trace=meta.get("trace", ""),
        )

    def _open(self, row: Row, data: Json, pointer: str, owner: str, tx: Connection | None) -> None:
        *path, last = pointer.split("/")[1:]
        place: Any = data
        for step in path:
            place = place[_key(place, step)]
        field = place[_key(place, last)]
        if field.get("v") != SEALED_FORM:
            raise Invalid("sealed.unknown_form", "a field was sealed in a way this version does not know")
        bound_to = _bound_to(row.agency, row.stream, row.version, pointer, row.schema_version)
        opened = self._keys.open(row.agency, owner, field["$sealed"], bound_to, tx)
        place[_key(place, last)] = ERASED_JSON if isinstance(opened, Erased) else orjson.loads(opened)


def _key(place: Any, step: str) -> Any:
    """One step of a JSON Pointer (RFC 6901) at `place`."""
    return int(step) if isinstance(place, list) else step.replace("~1", "/").replace("~0", "~")


def _event(name: str, version: int, data: Json) -> Event:
    try:
        newest = event_class(name).version
    except KeyError:
        raise Invalid("event.unknown", f"nothing here declares the event {name}") from None
    if version > newest:
        raise Invalid("event.newer", f"{name} was written as version {version}; version {newest} is known here")
    return read_event(name, version, data)


def _bound_to(agency: str, stream: str, version: int, pointer: str, schema_version: int) -> bytes:
    """Canonical JSON (RFC 8785): for texts and whole numbers in a list orjson writes nothing else."""
    return orjson.dumps([agency, stream, version, pointer, schema_version])


def _meta(origin: Origin, owners: dict[str, str]) -> Json:
    optional = {"actor": origin.actor, "trace": origin.trace, "personal": owners}
    return {"command": origin.command_id, **{name: value for name, value in optional.items() if value}}


def moment(stored: Any) -> datetime:
    """When a row was recorded, in UTC, from what its database gives."""
    known = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
    return known.astimezone(UTC)


def _text(data: Json) -> str:
    return orjson.dumps(data).decode()
