"""Stored events to instances and back, compiled once per class.

Says the same as `shared.schema`, many times faster, because the store may trust what it wrote itself: types are not
checked again. Whatever does not fit at first sight is left to `schema.parse`, which names the fault. A property
holds the two together.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from shared.clock import timestamp
from shared.domain import ERASED, Erased, Event, Json, Sealed, event_class, upcasted
from shared.errors import Invalid
from shared.schema import ERASED_JSON, parse_event

Seal = Callable[[Any, str, str], Any]
Reader = Callable[[Any], Any]
Writer = Callable[[Any, Seal, str], Any]


def read_event(name: str, version: int, data: Json) -> Event:
    """A stored event as its present version; `Invalid` names what does not fit. Personal fields are open or erased.

    Takes `data` over: whoever passes it does not use it again.
    """
    read = _readers.get((name, version)) or _reader(name, version)
    try:
        event: Event = read(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        return parse_event(name, version, data)
    return event


_readers: dict[tuple[str, int], Reader] = {}


def _reader(name: str, version: int) -> Reader:
    """Made once for each version of an event. `Invalid` for one that nothing here declares, or only a later release."""
    try:
        cls: Any = event_class(name)
    except KeyError:
        raise Invalid("event.unknown", f"nothing here declares the event {name}") from None
    if version > cls.version:
        raise Invalid("event.newer", f"{name} was written as version {version}; version {cls.version} is known here")
    present = reader_of(cls)
    made = present if version == cls.version else lambda data: present(upcasted(name, version, data))
    return _readers.setdefault((name, version), made)


def write_event(event: Event, seal: Seal) -> Json:
    """The JSON of an event, each personal value replaced by `seal(value, owner, JSON pointer)`."""
    cls: Any = type(event)
    data: Json = writer_of(cls)(event, seal, "")
    return data


def _bare(annotation: Any) -> tuple[Any, Sealed | None]:
    """The type itself, without None, and the mark of a personal field."""
    personal: Sealed | None = None
    if get_origin(annotation) is Annotated:
        personal = next((mark for mark in annotation.__metadata__ if isinstance(mark, Sealed)), None)
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member not in (Erased, type(None))]
        inner, nested = _bare(members[0])
        return inner, personal or nested
    return annotation, personal


# --- reading ------------------------------------------------------------------------------------------------------


@cache
def reader_of(cls: Any) -> Reader:
    """Builds instances of a dataclass; TypeError when a field is missing or unknown."""
    hints = get_type_hints(cls, include_extras=True)
    fields = dataclasses.fields(cls)
    readers = {field.name: reader for field in fields if (reader := _value_reader(hints[field.name])) is not None}
    names = frozenset(field.name for field in fields)
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    if hasattr(cls, "__post_init__") or any(field.default_factory is not dataclasses.MISSING for field in fields):
        return _called(cls, readers)

    def read(data: Json) -> Any:
        values = data
        if readers or data.keys() != names:
            values = {**defaults, **data}
            if values.keys() != names:
                raise TypeError(cls.__name__)
            for name, reader in readers.items():
                item = values[name]
                if item is not None and name in data:
                    values[name] = reader(item)
        made = object.__new__(cls)
        object.__setattr__(made, "__dict__", values)
        return made

    return read


def _called(cls: Any, readers: Mapping[str, Reader]) -> Reader:
    """The slower way, for classes that do something when they are built."""

    def read(data: Json) -> Any:
        return cls(
            **{
                name: readers[name](item) if name in readers and item is not None else item
                for name, item in data.items()
            }
        )

    return read


def _value_reader(annotation: Any) -> Reader | None:
    """None: the value is taken as it stands."""
    inner, personal = _bare(annotation)
    reader = _inner_reader(inner)
    if personal is None:
        return reader
    if reader is None:
        return lambda item: ERASED if item == ERASED_JSON else item
    return lambda item: ERASED if item == ERASED_JSON else reader(item)


def _inner_reader(inner: Any) -> Reader | None:
    origin = get_origin(inner)
    if origin is tuple:
        element = _value_reader(get_args(inner)[0])
        return tuple if element is None else lambda items: tuple([element(item) for item in items])
    if origin in (dict, Mapping) and inner != Json:
        of_key = _value_reader(get_args(inner)[1])
        return None if of_key is None else lambda items: {key: of_key(item) for key, item in items.items()}
    if isinstance(inner, type) and issubclass(inner, Enum):
        return {member.value: member for member in inner}.__getitem__
    if dataclasses.is_dataclass(inner):
        return reader_of(cast(Any, inner))
    return {date: date.fromisoformat, datetime: datetime.fromisoformat}.get(inner)


# --- writing ------------------------------------------------------------------------------------------------------


@cache
def writer_of(cls: Any) -> Writer:
    """Makes the JSON of instances of a dataclass; see `write_event`."""
    hints = get_type_hints(cls, include_extras=True)
    plan = [(field.name, *_value_writer(hints[field.name])) for field in dataclasses.fields(cls)]

    def write(instance: Any, seal: Seal, path: str) -> Json:
        data: Json = {}
        for name, writer, personal in plan:
            item = getattr(instance, name)
            if isinstance(item, Erased):
                data[name] = ERASED_JSON
                continue
            if writer is not None and item is not None:
                item = writer(item, seal, f"{path}/{name}")
            if personal is not None and item is not None:
                item = seal(item, getattr(instance, personal.owner) or "", f"{path}/{name}")
            data[name] = item
        return data

    return write


def _value_writer(annotation: Any) -> tuple[Writer | None, Sealed | None]:
    inner, personal = _bare(annotation)
    return _inner_writer(inner), personal


def _inner_writer(inner: Any) -> Writer | None:
    """None: the value is JSON already."""
    origin = get_origin(inner)
    if origin is tuple:
        return _items_writer(_element_writer(get_args(inner)[0]))
    if origin in (dict, Mapping) and inner != Json:
        return _mapping_writer(_element_writer(get_args(inner)[1]))
    if isinstance(inner, type) and issubclass(inner, Enum):
        return lambda item, _seal, _path: item.value
    if dataclasses.is_dataclass(inner):
        return writer_of(cast(Any, inner))
    plain: dict[Any, Writer] = {
        date: lambda item, _seal, _path: item.isoformat(),
        datetime: lambda item, _seal, _path: timestamp(item),
    }
    return plain.get(inner)


def _element_writer(annotation: Any) -> Writer | None:
    inner, personal = _bare(annotation)
    if personal is not None:
        raise TypeError("a personal value stands in a field of its own, beside its person")
    return _inner_writer(inner)


def _items_writer(writer: Writer | None) -> Writer:
    if writer is None:
        return lambda items, _seal, _path: list(items)
    return lambda items, seal, path: [writer(item, seal, f"{path}/{index}") for index, item in enumerate(items)]


def _mapping_writer(writer: Writer | None) -> Writer:
    if writer is None:
        return lambda items, _seal, _path: dict(items)
    return lambda items, seal, path: {
        key: writer(item, seal, f"{path}/{key.replace('~', '~0').replace('/', '~1')}") for key, item in items.items()
    }
