"""The closed set of errors that may cross a boundary (RPC, message, HTTP).

Everybody who can read an error may read all of it: codes, details and remedies never hold personal data.
The gateway turns each into a problem document (RFC 9457) with the status given here; an error of any other
type becomes 500 without its text.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple


class Problem(NamedTuple):
    """One faulty field: where it stands (JSON Pointer, RFC 6901), what is wrong, what would be right."""

    pointer: str
    detail: str
    remedy: str = ""


class HandschlagError(Exception):
    """Base of the set. `code` is stable and machine-readable: `<area>.<reason>`."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, detail: str = "", remedy: str = "", problems: Iterable[Iterable[str]] = ()) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.problems = tuple(Problem(*problem) for problem in problems)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.detail, self.remedy) if part)


class Invalid(HandschlagError):
    """The request itself is malformed; `problems` name each field."""

    status = 422


class NotFound(HandschlagError):
    """There is no such thing, or the asker may not know that there is."""

    status = 404


class Forbidden(HandschlagError):
    """The caller may not do this, whatever the state."""

    status = 403


class Refused(HandschlagError):
    """The rules of the domain say no in the present state."""

    status = 409


class Conflict(HandschlagError):
    """Somebody else was faster: the expected version no longer stands. Read again, then repeat."""

    status = 412


class Unavailable(HandschlagError):
    """A part that is needed is away. Nothing was done; the same command may be sent again."""

    status = 503


BOUNDARY_ERRORS: dict[str, type[HandschlagError]] = {
    error.__name__: error for error in (Invalid, NotFound, Forbidden, Refused, Conflict, Unavailable)
}
