"""The state of an aggregate after many events, kept so that the next change need not replay them all.

Worth it from several hundred events on, and opt-in: an aggregate says `snapshot_every: ClassVar[int] = 500`, and counts
`snapshot_version` up when its fields change, which makes older snapshots be ignored. Its fields then follow the rules
of `shared.schema`; personal ones are `Personal` and stay sealed, bound to their place. A snapshot that names a person
is deleted with their key, and one with a field that does not open is not used. It carries the commands since the one
before: a command that comes again is recognised among at least the last `snapshot_every` events.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

import orjson
from sqlalchemy import Connection

from shared.crypto import PersonKeys
from shared.database import Dialect
from shared.direct import Direct
from shared.domain import Erased, Sealed
from shared.eventstore.codec import at_pointer
from shared.eventstore.forms import reader_of, writer_of
from shared.eventstore.log import Stream
from shared.schema import schema_of

A = TypeVar("A")
Commands = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Snapshot(Generic[A]):
    """`state` after `version` events, the last of them at `position` of the log, and the latest commands."""

    state: A
    version: int
    position: int
    commands: Commands


class Snapshots:
    """Those of one service."""

    def __init__(self, keys: PersonKeys, dialect: Dialect) -> None:
        self._keys = keys
        mark, cast_json, text = ("?", "", "") if dialect == "sqlite" else ("%s", "::json", "::text")
        self._find = (
            f"select version, position, data{text}, commands{text}, personal{text} from snapshots"  # noqa: S608 - marks
            f" where agency = {mark} and stream = {mark} and schema_version = {mark}"
        )
        self._keep = (
            "insert into snapshots"  # noqa: S608 - marks
            " (agency, stream, schema_version, version, position, data, commands, personal, persons) values"
            f" ({mark}, {mark}, {mark}, {mark}, {mark}, {mark}{cast_json}, {mark}{cast_json}, {mark}{cast_json},"
            f" {mark}{cast_json and '::jsonb'}) on conflict (agency, stream, schema_version) do update set"
            " version = excluded.version, position = excluded.position, data = excluded.data,"
            " commands = excluded.commands, personal = excluded.personal, persons = excluded.persons"
            " where snapshots.version < excluded.version"
        )

    def find(self, direct: Direct, aggregate: type[A], stream: Stream, tx: Connection | None) -> Snapshot[A] | None:
        """The one of that stream that this version of the aggregate can read."""
        schema_version = _schema_version(aggregate)
        rows = direct.rows(self._find, (stream.agency, stream.name, schema_version))
        if not rows:
            return None
        version, position, data, commands, personal = rows[0]
        bound_to = partial(_bound_to, stream, version, schema_version)
        opened = self._opened(stream.agency, orjson.loads(data), orjson.loads(personal), bound_to, tx)
        if opened is None:
            return None
        noted = {command_id: (number, place) for command_id, (number, place) in orjson.loads(commands).items()}
        return Snapshot(reader_of(cast(Any, aggregate))(opened), version, position, noted)

    def keep(self, direct: Direct, stream: Stream, snapshot: Snapshot[Any], tx: Connection | None) -> None:
        """Keep it, unless a later one is there."""
        schema_version = _schema_version(type(snapshot.state))
        owners: dict[str, str] = {}

        def seal(value: Any, owner: str, pointer: str) -> Any:
            owners[pointer] = owner
            bound_to = _bound_to(stream, snapshot.version, schema_version, pointer)
            return self._keys.seal(stream.agency, owner, orjson.dumps(value), bound_to, tx)

        data = writer_of(cast(Any, type(snapshot.state)))(snapshot.state, seal, "")
        texts = (data, dict(snapshot.commands), owners, sorted(set(owners.values())))
        parameters = [stream.agency, stream.name, schema_version, snapshot.version, snapshot.position]
        direct.write(self._keep, [*parameters, *(orjson.dumps(each).decode() for each in texts)], may_collide=False)

    def _opened(
        self, agency: str, data: Any, owners: dict[str, str], bound_to: Callable[[str], bytes], tx: Connection | None
    ) -> Any:
        """The data with its personal fields, or None when one of the persons was erased."""
        self._keys.fetch({(agency, owner) for owner in owners.values()}, tx)
        for pointer, owner in owners.items():
            place, last = at_pointer(data, pointer)
            opened = self._keys.open(agency, owner, place[last], bound_to(pointer), tx)
            if isinstance(opened, Erased):
                return None
            place[last] = orjson.loads(opened)
        return data


def every(aggregate: type) -> int:
    """After how many events a snapshot is kept; 0: never. TypeError when its state cannot be kept sealed."""
    number = int(getattr(aggregate, "snapshot_every", 0))
    if number:
        _check(aggregate)
    return number


def _schema_version(aggregate: type) -> int:
    return int(getattr(aggregate, "snapshot_version", 1))


def _bound_to(stream: Stream, version: int, schema_version: int, pointer: str) -> bytes:
    return orjson.dumps(["snapshot", stream.agency, stream.name, version, pointer, schema_version])


@cache
def _check(aggregate: type) -> None:
    schema_of(aggregate)
    for name, annotation in get_type_hints(aggregate, include_extras=True).items():
        if _has_loose_personal(annotation):
            raise TypeError(f"{aggregate.__name__}.{name}: a personal value is marked Personal, beside its person")


def _has_loose_personal(annotation: Any) -> bool:
    """Whether something can be erased in it that is not sealed."""
    if get_origin(annotation) is Annotated:
        sealed = any(isinstance(mark, Sealed) for mark in annotation.__metadata__)
        return not sealed and _has_loose_personal(get_args(annotation)[0])
    if annotation is Erased:
        return True
    hints = get_type_hints(annotation, include_extras=True) if hasattr(annotation, "__dataclass_fields__") else {}
    return any(_has_loose_personal(inner) for inner in (*get_args(annotation), *hints.values()))
