"""The front door: carries out one operation for whoever asks, whichever way the request came in.

Role, form, idempotency, the call to the service, and the result as it stands afterwards. The same request by the
other door is the same request.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.auth import Asker
from services.gateway.idempotency import Attempt, Finished, Guard
from services.gateway.operations import Desk, Operation
from services.gateway.problems import Fault, status_of
from services.gateway.sealing import Seal
from services.gateway.secret import Secret
from shared.canonical import canonical
from shared.errors import Conflict, HandschlagError, NotFound
from shared.runtime import Asking
from shared.schema import dump, parse

COMMANDS = uuid.UUID("5b0e9f34-7f4d-5c9b-9a52-0c2f3a1de7b1")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a request. `location` is set when something was made or changed and can be read there."""

    status: int
    view: object
    etag: str | None = None
    location: str | None = None
    replayed: bool = False


class FrontDoor:
    """Carries out operations for both doors."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        calls: Asking,
        guard: Guard,
        secret: Secret,
        seal: Seal,
        *,
        installation: Mapping[str, Any],
    ) -> None:
        self.operations = operations
        self._calls = calls
        self._guard = guard
        self._secret = secret
        self.seal = seal
        self._installation = installation

    def handle(
        self,
        operation: Operation,
        asker: Asker,
        sent: object,
        *,
        key: str | None = None,
        seen_version: int | None = None,
    ) -> Outcome:
        """Raises one of `shared.errors` or a `Fault`; nothing else, unless we are at fault."""
        asker.require(operation.name)
        _check_path(operation, sent)
        if not operation.changes:
            question: object = parse(operation.asked, sent)
            return self._seen(operation, operation.run(self._desk(asker), question))
        if operation.guarded and seen_version is None:
            remedy = "send If-Match with the ETag that you read"
            raise Fault(428, "request.version_missing", "say which version you have seen", remedy)
        key = _checked_key(key, asker)
        asked: object = parse(operation.asked, sent)
        caller = f"{asker.agency}/{asker.sub}"
        command_id = str(uuid.uuid5(COMMANDS, f"{caller}\n{key}"))
        desk = replace(self._desk(asker), command_id=command_id, seen_version=seen_version)
        begun = self._guard.begin(caller, key, canonical([operation.name, seen_version, sent]))
        if isinstance(begun, Finished):
            return self._again(operation, desk, asked, begun)
        return self._carried_out(operation, desk, asked, begun)

    def _desk(self, asker: Asker) -> Desk:
        return Desk(asker=asker, calls=self._calls, sealing_key=self.seal.public_key, installation=self._installation)

    def _carried_out(self, operation: Operation, desk: Desk, asked: object, attempt: Attempt) -> Outcome:
        done = False
        try:
            result = operation.run(desk, asked)
            done = True
            outcome = self._shown(operation, desk, result)
        except Exception as error:
            if isinstance(error, HandschlagError) and status_of(error) < 500 and not done:
                self._guard.forget(attempt)
            else:
                self._guard.leave_open(attempt)
            raise
        self._guard.finish(attempt, outcome.status, outcome.location or "")
        return outcome

    def _shown(self, operation: Operation, desk: Desk, result: object) -> Outcome:
        if operation.shows is None:
            return Outcome(status=operation.status, view=result)
        seen = self._seen(operation.shows, operation.shows.run(desk, result))
        return replace(seen, status=operation.status, location=operation.shows.location(result))

    def _again(self, operation: Operation, desk: Desk, asked: object, finished: Finished) -> Outcome:
        if operation.shows is None:
            return Outcome(status=operation.status, view=operation.run(desk, asked), replayed=True)
        which: object = parse(operation.shows.asked, operation.shows.found_at(finished.location))
        seen = self._seen(operation.shows, operation.shows.run(desk, which))
        return replace(seen, status=finished.status, location=finished.location, replayed=True)

    def _seen(self, operation: Operation, view: object) -> Outcome:
        version = getattr(view, "version", None)
        if version is None:
            return Outcome(status=200, view=view)
        mark = str(version)
        if operation.dated:
            mark += "-" + self._secret.fingerprint("etag", canonical(dump(view)))[:12]
        return Outcome(status=200, view=view, etag=mark)


def seen_version(if_match: str | None) -> int | None:
    """The version that an `If-Match` names; None without the header, `Conflict` when it names none of ours."""
    if if_match is None:
        return None
    found = re.fullmatch(r'\s*"(\d{1,15})(-[0-9a-f]+)?"\s*', if_match)
    if not found:
        raise Conflict("request.version_unknown", "no such version", "send one ETag as you received it")
    return int(found.group(1))


def _checked_key(key: str | None, asker: Asker) -> str:
    if key is None:
        if asker.machine:
            remedy = "send Idempotency-Key with a value that is new for each command"
            raise Fault(400, "idempotency.key_missing", "programs must name each command", remedy)
        return str(uuid.uuid4())
    if not _KEY.fullmatch(key):
        remedy = "use 1 to 255 visible ASCII characters, such as a UUID"
        raise Fault(400, "idempotency.key_malformed", "the key cannot be used", remedy)
    return key


def _check_path(operation: Operation, sent: object) -> None:
    for name in operation.path_fields:
        text = sent.get(name) if isinstance(sent, dict) else None
        if isinstance(text, str) and not _ID.fullmatch(text):
            raise NotFound("request.no_such_place")
