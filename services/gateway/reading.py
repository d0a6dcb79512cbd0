"""JSON and query strings as they come in, read strictly and the same at both doors.

What the services could not sign is refused here: fractions, integers beyond 2^53, broken surrogates, fields that
stand twice. A message about bad JSON names line and column and never quotes the text.
"""

import json
import re
import typing
from dataclasses import fields
from typing import Any, get_args

from services.gateway.problems import Fault
from shared.canonical import NotCanonical, canonical
from shared.domain import Json
from shared.errors import Invalid

DEEPEST = 32
_NUMBER = re.compile(r"-?\d{1,15}")


def read_json(content: bytes) -> Any:
    """The value in `content`.

    Raises 400 `request.malformed` with the place, or 422 for what JSON allows and our signatures do not.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8", "send UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise _malformed(place, "correct the JSON at this place") from None
    except RecursionError:
        raise _malformed("nested too deeply", f"nest at most {DEEPEST} levels") from None
    _check_depth(found)
    try:
        canonical(found)
    except NotCanonical as error:
        raise Invalid("request.invalid", str(error), "send whole numbers or text", [("", str(error), "")]) from None
    return found


def read_query(cls: type, path: tuple[str, ...], given: list[tuple[str, str]]) -> Json:
    """The query for `cls`: numbers become numbers. Unknown fields stay and are refused with the rest."""
    hints = typing.get_type_hints(cls)
    numbers = {field.name for field in fields(cls) if int in (hints[field.name], *get_args(hints[field.name]))}
    found: Json = {}
    for name, text in given:
        if name in found or name in path:
            fault = (f"/{name}", "stands twice", "send it once")
            raise Invalid("request.invalid", "a parameter stands twice", fault[2], [fault])
        found[name] = int(text) if name in numbers and _NUMBER.fullmatch(text) else text
    return found


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _malformed("a field stands twice in one object", "send each field once")
    return found


def _constant(_name: str) -> None:
    raise _malformed("NaN and Infinity are not JSON", "send whole numbers or text")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _malformed("nested too deeply", f"nest at most {DEEPEST} levels")


def _malformed(detail: str, remedy: str) -> Fault:
    return Fault(400, "request.malformed", detail, remedy, [("", detail, remedy)])
