"""How a question or an answer looks on the way: plain JSON, its personal fields apart in one sealed part.

In place of a personal value stands a mark; the values travel, by JSON Pointer, in one JWE for the other side's key.
Whoever reads the queue sees which fields there are, never what personal ones hold. The whole is what gets signed.
"""

import json
from typing import Any, TypeVar

from shared.errors import Forbidden, Invalid
from shared.identity import ServiceIdentity
from shared.schema import dump, has_personal, map_personal, parse

Json = dict[str, Any]
T = TypeVar("T")

MARK = {"$sealed": True}


def pack(instance: object | None, identity: ServiceIdentity, recipient: str) -> Json:
    """What goes on the way. None stays None; values without personal fields have no sealed part."""
    if instance is None:
        return {"body": None, "sealed": None}
    cls: Any = type(instance)
    body = dump(instance)
    if not has_personal(cls):
        return {"body": body, "sealed": None}
    personal: Json = {}

    def take(value: Any, _owner: str, pointer: str) -> Any:
        personal[pointer] = value
        return MARK

    marked = map_personal(cls, body, take)
    content = json.dumps(personal, ensure_ascii=False).encode()
    return {"body": marked, "sealed": identity.seal(recipient, content) if personal else None}


def unpack(cls: type[T], packed: Json, identity: ServiceIdentity) -> T:
    """The instance of `cls`. Raises `Forbidden` when a personal field arrived in the open, `Invalid` for faults."""
    body, sealed = packed.get("body"), packed.get("sealed")
    if isinstance(body, dict):
        personal = json.loads(identity.unseal(sealed)) if sealed else {}
        _all_marked(cls, body)
        for pointer, value in personal.items():
            _put(body, pointer, value)
    return parse(cls, body)


def _all_marked(cls: type, body: Json) -> None:
    def check(value: Any, _owner: str, pointer: str) -> Any:
        if value != MARK:
            raise Forbidden("call.personal_in_the_open", f"the field {pointer} must be sealed")
        return value

    if has_personal(cls):
        try:
            map_personal(cls, body, check)
        except (KeyError, AttributeError, TypeError):
            raise Invalid("request.invalid", "a personal field has no owner beside it") from None


def _put(body: Json, pointer: str, value: Any) -> None:
    place: Any = body
    try:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        fits = place[last] == MARK
    except (KeyError, IndexError, ValueError, TypeError):
        fits = False
    if not fits:
        raise Invalid("request.invalid", "the sealed part does not fit the open one")
    place[last] = value
