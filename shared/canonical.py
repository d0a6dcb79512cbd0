"""Canonical JSON, the subset of RFC 8785 in which hashes and signatures are made.

Strings, integers, booleans, null, arrays and objects with string keys; nothing else. Floating point numbers
are refused, so that no two systems can print one value in two ways. Integers stay within ±(2^53 − 1), the
range every JSON reader keeps exactly (RFC 7493 section 2.2).
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "str | int | bool | list[Json] | tuple[Json, ...] | Mapping[str, Json] | None"

_LARGEST = 2**53 - 1
_WORDS = {None: "null", True: "true", False: "false"}
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    **{chr(code): f"\\u{code:04x}" for code in range(0x20) if chr(code) not in "\b\f\n\r\t"},
}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)


class NotCanonical(ValueError):
    """The value has no canonical form here: a float, half a surrogate pair, a key that is no string, a foreign type."""


def canonical(value: object) -> bytes:
    """The one UTF-8 encoding of a JSON value (RFC 8785): no white space, keys sorted by UTF-16 code units.

    Equal values give equal bytes and different values different bytes. Raises NotCanonical for anything
    outside the subset; nothing is rounded, replaced or dropped.
    """
    parts: list[str] = []
    _write(value, parts)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical("a string holds half of a surrogate pair") from error


def _write(value: object, parts: list[str]) -> None:
    if value is None or value is True or value is False:
        parts.append(_WORDS[value])
    elif isinstance(value, str):
        parts.append(_string(value))
    elif isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise NotCanonical("an integer lies beyond ±(2^53 − 1); write it as a string")
        parts.append(int.__repr__(value))
    elif isinstance(value, Mapping):
        _write_object(value, parts)
    elif isinstance(value, (list, tuple)):
        _write_array(value, parts)
    else:
        raise NotCanonical(f"{type(value).__name__} has no canonical form; use strings and integers")


def _write_array(value: Sequence[object], parts: list[str]) -> None:
    parts.append("[")
    for index, item in enumerate(value):
        if index:
            parts.append(",")
        _write(item, parts)
    parts.append("]")


def _write_object(value: Mapping[object, object], parts: list[str]) -> None:
    keys: list[str] = []
    for key in value:
        if not isinstance(key, str):
            raise NotCanonical(f"an object key is {type(key).__name__}; keys are strings")
        keys.append(key)
    parts.append("{")
    for index, key in enumerate(sorted(keys, key=_utf16)):
        if index:
            parts.append(",")
        parts.append(_string(key))
        parts.append(":")
        _write(value[key], parts)
    parts.append("}")


def _string(text: str) -> str:
    return '"' + str(text).translate(_ESCAPE_TABLE) + '"'


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")
