"""What can be asked at the front door, in one form for HTTP and AMQP.

A resource module declares operations: what is asked, what is answered, and how a service is asked for it.
"""

import re
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from services.gateway.auth import CITIZEN, Asker
from services.gateway.problems import internal
from shared import telemetry
from shared.domain import Json, Receipt
from shared.errors import Invalid
from shared.identity import Caller
from shared.runtime import Asking
from shared.schema import has_personal

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT"]
Run = Callable[["Desk", Any], Any]

SLOW = 15.0
LONGEST_PAGE = 500
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PLACE = re.compile(r"<(\w+)>")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that may be asked. `asked` holds the fields of path, query and body together.

    `shows` reads the result of a change; without it the result of `run` is the answer, and a repeated request is
    sent to the service again, which recognises the command id. `guarded` changes need the version that was seen.
    `dated` answers change without a new version (by the day, or by an erasure). `personal` names the fields of what is
    asked that hold personal data: in messages they travel sealed. `forms` writes the answer in other media types, for
    whoever asks for them over HTTP; the first form is always JSON.
    """

    name: str
    method: Method
    path: str
    tag: str
    asked: type
    answer: type
    run: Run
    status: int = 200
    shows: "Operation | None" = None
    guarded: bool = False
    dated: bool = False
    personal: tuple[str, ...] = ()
    forms: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)

    @property
    def confidential(self) -> bool:
        """Whether question or answer may hold personal data. Such an answer is read over HTTP only."""
        return bool(self.personal) or has_personal(self.answer)

    @property
    def changes(self) -> bool:
        return self.method != "GET"

    @property
    def path_fields(self) -> tuple[str, ...]:
        return tuple(_PLACE.findall(self.path))

    @property
    def other_fields(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.asked) if field.name not in self.path_fields)

    @property
    def summary(self) -> str:
        return (self.run.__doc__ or "").strip().split("\n")[0]

    def location(self, which: object) -> str:
        """Where the thing stands that `which` names."""
        return _PLACE.sub(lambda found: str(getattr(which, found.group(1))), self.path)

    def found_at(self, location: str) -> Json:
        """The inverse of `location`."""
        pattern = _PLACE.sub(lambda found: f"(?P<{found.group(1)}>[^/]+)", self.path)
        found = re.fullmatch(pattern, location)
        return found.groupdict() if found else {}


class Resource:
    """The operations of one noun."""

    def __init__(self, tag: str, description: str) -> None:
        self.tag = tag
        self.description = description
        self.operations: list[Operation] = []

    def reads(
        self, path: str, name: str, *, dated: bool = False, forms: Mapping[str, Callable[[Any], str]] | None = None
    ) -> Callable[[Run], Operation]:
        """Declare a question; its annotations say what is asked and what is answered."""

        def declare(run: Run) -> Operation:
            asked, answer = _types(run)
            made = Operation(
                name=name,
                method="GET",
                path=path,
                tag=self.tag,
                asked=asked,
                answer=answer,
                run=run,
                dated=dated,
                forms=forms or {},
            )
            self.operations.append(made)
            return made

        return declare

    def changes(
        self,
        method: Literal["POST", "PUT"],
        path: str,
        name: str,
        *,
        shows: Operation | None = None,
        status: int = 201,
        personal: tuple[str, ...] = (),
        guarded: bool | None = None,
    ) -> Callable[[Run], Operation]:
        """Declare a command; with `shows` it answers what that operation is asked for."""

        def declare(run: Run) -> Operation:
            asked, answer = _types(run)
            made = Operation(
                name=name,
                method=method,
                path=path,
                tag=self.tag,
                asked=asked,
                answer=shows.answer if shows else answer,
                run=run,
                status=status,
                shows=shows,
                guarded=method == "PUT" if guarded is None else guarded,
                dated=shows.dated if shows else False,
                personal=personal,
            )
            self.operations.append(made)
            return made

        return declare


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where one operation is carried out: who asks, the way to the services, and how this `installation` is run."""

    asker: Asker
    calls: Asking
    sealing_key: Callable[[], Json]
    installation: Mapping[str, Any] = field(default_factory=dict)
    command_id: str = ""
    seen_version: int | None = None

    def ask(self, callee: str, method: str, question: object, answer: type[T], *, timeout: float = 5.0) -> T:
        """Ask a service on behalf of the asker, in the asker's agency.

        What the asker sent was read before; where gateway and service misread each other, that is our fault.
        """
        caller = Caller(
            service="gateway",
            actor=self.asker.sub,
            role=self.asker.role,
            agency=self.asker.agency,
            command_id=self.command_id,
            trace=telemetry.current_traceparent(),
        )
        try:
            return self.calls.ask(callee, method, question, answer, caller=caller, timeout=timeout)
        except Invalid as error:
            if error.code != "request.invalid":
                raise
            described = telemetry.describe(error)
            telemetry.logger("gateway").error(
                "we do not understand each other", callee=callee, method=method, **described
            )
            raise internal() from None

    def tell(self, callee: str, method: str, command: object) -> Receipt:
        """Send a command; the answer says where the change was written."""
        return self.ask(callee, method, command, Receipt)

    def person(self, wanted: str | None, *, required: bool = True) -> str | None:
        """Whom a list is about: to a citizen only themselves, others name the person."""
        if self.asker.role == CITIZEN:
            person_id = self.asker.person_id if wanted is None else wanted
            self.asker.require_own(str(person_id), "person.unknown")
            return person_id
        if wanted is None and required:
            raise _faulty("person_id", "no person is named", "add person_id")
        return wanted

    def new_id(self, wanted: str | None, field: str) -> str:
        """The id of what is made: the one that was wished, a UUID, or one derived from the request."""
        if wanted is None:
            return str(uuid.uuid5(uuid.UUID(self.command_id), "made"))
        try:
            return str(uuid.UUID(wanted))
        except ValueError:
            raise _faulty(field, "not a UUID", "send a UUID, or leave the field out") from None


def require_name(text: str, field: str) -> str:
    """The id of an agency or a partner: a short name, since it stands in queue names and logs."""
    if not _NAME.fullmatch(text):
        raise _faulty(field, "not a short name", "use 1 to 63 of a-z, 0-9 and -")
    return text


def require_limit(limit: int, longest: int = LONGEST_PAGE) -> int:
    if not 1 <= limit <= longest:
        raise _faulty("limit", "out of range", f"choose 1 to {longest}")
    return limit


def _faulty(field: str, detail: str, remedy: str) -> Invalid:
    return Invalid("request.invalid", "the request has faulty fields", remedy, [(f"/{field}", detail, remedy)])


def _types(run: Run) -> tuple[type, type]:
    hints = typing.get_type_hints(run)
    answer = hints.pop("return")
    hints.pop("desk")
    return next(iter(hints.values())), answer
