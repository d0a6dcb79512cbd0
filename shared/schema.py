"""Dataclasses to JSON and back. The dataclasses are the only description; marshmallow lives here and nowhere else.

`parse` refuses what it does not know and names each faulty field by JSON Pointer; `dump` is its inverse.
Understood: str, int, bool, date, aware datetime, enums, tuples, mappings with text keys, optional fields, nested
values, personal fields, and `Json` for what is passed through unread. Numbers with a fraction are not: amounts are
integers of the smallest unit.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import marshmallow as ma
from marshmallow import fields

from shared.clock import timestamp
from shared.domain import ERASED, Erased, Event, Json, Sealed, event_class, upcasted
from shared.errors import Invalid

T = TypeVar("T")
ERASED_JSON = {"$erased": True}
LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON understands alike (RFC 8785, RFC 7493 section 2.2)."""

_REMEDIES = {
    "Missing data for required field.": "add the field",
    "Unknown field.": "remove the field or correct its name",
    "Field may not be null.": "give a value or leave the field out",
    "Not a valid date.": "write a day as YYYY-MM-DD",
    "Not a valid datetime.": "write a time as YYYY-MM-DDTHH:MM:SSZ",
    "Not a valid integer.": "write a whole number without quotes",
    "Not a valid string.": "write a text",
    "Not a valid boolean.": "write true or false",
}


def parse(cls: type[T], data: object, *, code: str = "request.invalid") -> T:
    """An instance of the dataclass `cls` from JSON `data`. Raises `Invalid` with one problem per faulty field."""
    if not isinstance(data, Mapping):
        raise Invalid(code, "expected a JSON object", "send an object", [("", "expected a JSON object")])
    try:
        loaded: T = _loader(typing.cast("Any", cls)).load(data)
    except ma.ValidationError as error:
        raise Invalid(code, "the request has faulty fields", problems=list(_problems(error.messages))) from None
    return loaded


def dump(instance: Any) -> Json:
    """The JSON object of a dataclass instance; parsing it gives an equal one."""
    return {field.name: _dump_value(getattr(instance, field.name)) for field in dataclasses.fields(instance)}


def parse_event(name: str, version: int, data: Json) -> Event:
    """A stored event, lifted to its present version by its upcasters."""
    return parse(event_class(name), upcasted(name, version, data), code="event.invalid")


def map_personal(cls: type, data: Json, change: Callable[[Any, str, str], Any]) -> Json:
    """`data` of `cls` with each personal value replaced by `change(value, owner id, JSON pointer)`."""
    return _map_personal(cls, data, change, "")


@cache
def has_personal(cls: type) -> bool:
    """Whether a personal field stands anywhere in `cls`."""
    return any(
        personal is not None or any(has_personal(inner) for inner in _values_in(annotation))
        for _, annotation, personal in _fields(cls)
    )


def json_schema(cls: type) -> Json:
    """JSON Schema (2020-12) of the dataclass, closed against unknown fields."""
    definitions: Json = {}
    schema = _object_schema(cls, definitions)
    result = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, **schema}
    return {**result, "$defs": definitions} if definitions else result


@cache
def schema_of(cls: type) -> type[ma.Schema]:
    """The marshmallow schema class that loads instances of `cls`; the gateway documents itself by it."""
    members: dict[str, Any] = {}
    for field, annotation, _ in _fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        members[field.name] = _field(annotation, required=required)

    def build(_self: ma.Schema, data: Json, **_: object) -> Any:
        return cls(**data)

    members["build"] = ma.post_load(build)
    members["Meta"] = type("Meta", (), {"unknown": ma.RAISE})
    return type(cls.__name__, (ma.Schema,), members)


class _Text(fields.String):
    """A text of whole characters and without NUL: anything else cannot be stored or sent as UTF-8."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if "\x00" in text:
            raise ma.ValidationError("Text must not contain NUL.")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise ma.ValidationError("Text must not contain half a character.")
        return str(text)


class _Moment(fields.AwareDateTime):
    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else timestamp(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        moment: datetime = super()._deserialize(value, attr, data, **kwargs)
        return moment.astimezone(UTC)


class _Personal(fields.Field):
    """A personal field: its own type, or the mark that it was erased."""

    def __init__(self, inner: fields.Field, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return ERASED if value == ERASED_JSON else self.inner.deserialize(value, attr, data)


class _Passed(fields.Field):
    """JSON that is passed through as it stands."""


@cache
def _loader(cls: type) -> ma.Schema:
    """Making one takes longer than loading by it."""
    return schema_of(cls)()


def _field(annotation: Any, *, required: bool) -> fields.Field:
    inner, personal, optional = _unwrapped(annotation)
    options: dict[str, Any] = {"required": required, "allow_none": optional}
    if personal is not None:
        return _Personal(_field(inner, required=True), **options)
    origin = get_origin(inner)
    if origin is tuple:
        return _Tuple(_field(get_args(inner)[0], required=True), **options)
    if origin in (dict, Mapping) and inner != Json:
        return fields.Dict(keys=_Text(), values=_field(get_args(inner)[1], required=True), **options)
    if inner == Json or inner is Any:
        return _Passed(**{**options, "allow_none": optional or inner is Any})
    if isinstance(inner, type) and issubclass(inner, Enum):
        return fields.Enum(inner, by_value=True, **options)
    if dataclasses.is_dataclass(inner):
        return fields.Nested(schema_of(typing.cast("type", inner)), **options)
    simple: dict[Any, Callable[..., fields.Field]] = {
        str: _Text,
        int: lambda **kw: fields.Integer(strict=True, validate=ma.validate.Range(-LARGEST, LARGEST), **kw),
        bool: lambda **kw: fields.Boolean(truthy={True}, falsy={False}, **kw),
        date: fields.Date,
        datetime: _Moment,
    }
    if inner not in simple:
        message = f"no JSON form for {inner!r}"
        raise TypeError(message)
    return simple[inner](**options)


class _Tuple(fields.List):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


@cache
def _fields(cls: type) -> tuple[tuple["dataclasses.Field[Any]", Any, Sealed | None], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple((field, hints[field.name], _unwrapped(hints[field.name])[1]) for field in dataclasses.fields(cls))


def _unwrapped(annotation: Any) -> tuple[Any, Sealed | None, bool]:
    """The bare type, the mark of a personal field, and whether None is allowed."""
    personal: Sealed | None = None
    if get_origin(annotation) is Annotated:
        personal = next((mark for mark in annotation.__metadata__ if isinstance(mark, Sealed)), None)
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not Erased]
        bare = [member for member in members if member is not type(None)]
        inner, nested, _ = _unwrapped(bare[0])
        if len(bare) != 1:
            message = f"no JSON form for {annotation!r}"
            raise TypeError(message)
        return inner, personal or nested, len(bare) < len(members)
    return annotation, personal, False


def _values_in(annotation: Any) -> list[type]:
    inner, personal, _ = _unwrapped(annotation)
    if personal is not None:
        message = "a personal field stands in a value of its own, beside the id of the person it is about"
        raise TypeError(message)
    if dataclasses.is_dataclass(inner):
        return [typing.cast("type", inner)]
    return [found for argument in get_args(inner) if argument is not ... for found in _values_in(argument)]


def _dump_value(item: Any) -> Any:
    match item:
        case Erased():
            return ERASED_JSON
        case Enum():
            return item.value
        case datetime():
            return timestamp(item)
        case date():
            return item.isoformat()
        case str() | int() | None:
            return item
        case Mapping():
            return {str(key): _dump_value(inner) for key, inner in item.items()}
        case Sequence():
            return [_dump_value(inner) for inner in item]
        case _ if dataclasses.is_dataclass(item):
            return dump(item)
    message = f"no JSON form for {type(item).__name__}"
    raise TypeError(message)


def _map_personal(cls: type, data: Json, change: Callable[[Any, str, str], Any], path: str) -> Json:
    result = dict(data)
    for field, annotation, personal in _fields(cls):
        if data.get(field.name) is None:
            continue
        pointer = f"{path}/{field.name}"
        if personal is not None:
            result[field.name] = change(data[field.name], str(data[personal.owner]), pointer)
        else:
            result[field.name] = _map_inside(annotation, data[field.name], change, pointer)
    return result


def _map_inside(annotation: Any, item: Any, change: Callable[[Any, str, str], Any], path: str) -> Any:
    inner, _, _ = _unwrapped(annotation)
    if dataclasses.is_dataclass(inner) and isinstance(item, Mapping):
        return _map_personal(typing.cast("type", inner), dict(item), change, path)
    if get_origin(inner) in (dict, Mapping) and inner != Json:
        value_type = get_args(inner)[1]
        return {key: _map_inside(value_type, value, change, f"{path}/{_escaped(key)}") for key, value in item.items()}
    if get_origin(inner) is tuple:
        return [
            _map_inside(get_args(inner)[0], element, change, f"{path}/{index}") for index, element in enumerate(item)
        ]
    return item


def _problems(messages: Any, path: str = "") -> list[tuple[str, str, str]]:
    if isinstance(messages, Mapping):
        return [
            found
            for key, inner in messages.items()
            for found in _problems(inner, path if key == "_schema" else f"{path}/{_escaped(str(key))}")
        ]
    return [(path, str(text), _remedy(str(text))) for text in messages]


def _remedy(text: str) -> str:
    if text.startswith("Must be one of"):
        return "choose one of the values named"
    return _REMEDIES.get(text, "correct the field")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _object_schema(cls: type, definitions: Json) -> Json:
    properties: Json = {}
    required: list[str] = []
    for field, annotation, _ in _fields(cls):
        properties[field.name] = _type_schema(annotation, definitions)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _type_schema(annotation: Any, definitions: Json) -> Json:
    inner, personal, optional = _unwrapped(annotation)
    schema = _bare_schema(inner, definitions)
    if personal is not None:
        schema = {**schema, "x-personal": personal.owner}
    if optional and "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if optional else schema


def _bare_schema(inner: Any, definitions: Json) -> Json:
    origin = get_origin(inner)
    if origin is tuple:
        return {"type": "array", "items": _type_schema(get_args(inner)[0], definitions)}
    if inner == Json:
        return {"type": "object"}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type_schema(get_args(inner)[1], definitions)}
    if isinstance(inner, type) and issubclass(inner, Enum):
        return {"type": "string", "enum": [member.value for member in inner]}
    if dataclasses.is_dataclass(inner):
        nested = typing.cast("type", inner)
        if nested.__name__ not in definitions:
            definitions[nested.__name__] = {}
            definitions[nested.__name__] = _object_schema(nested, definitions)
        return {"$ref": f"#/$defs/{nested.__name__}"}
    simple: dict[Any, Json] = {
        str: {"type": "string"},
        int: {"type": "integer"},
        bool: {"type": "boolean"},
        date: {"type": "string", "format": "date"},
        datetime: {"type": "string", "format": "date-time"},
    }
    return dict(simple.get(inner, {}))
