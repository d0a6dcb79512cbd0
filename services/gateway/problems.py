"""Errors as problem documents (RFC 9457). One table from the closed set of errors to status and type.

Each type resolves to a page under `/problems/`. A document names places and remedies, never what somebody sent:
pointers are kept only as far as they are made of plain field names.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from werkzeug.exceptions import HTTPException

from shared import telemetry
from shared.domain import Json
from shared.errors import HandschlagError, Problem, Unavailable

TYPES = Path(__file__).with_name("problem_types.yaml")
CONTENT_TYPE = "application/problem+json"
HTTP_CODES: Mapping[int, str] = {
    400: "request.malformed",
    404: "request.no_such_place",
    405: "request.method_not_allowed",
    413: "request.too_large",
    415: "request.not_json",
}
NOTHING_LEFT = "the audit log does not answer, therefore nothing has left the agency"
_QUOTED = re.compile(r"\s?'[^']*'")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Fault(HandschlagError):
    """An error that only HTTP knows, with the status it has there."""

    status: ClassVar[int] = 500

    def __init__(
        self, status: int, code: str, detail: str = "", remedy: str = "", problems: Iterable[Iterable[str]] = ()
    ) -> None:
        super().__init__(code, detail, remedy, problems)
        self.http_status = status


@cache
def problem_types() -> Mapping[str, Mapping[str, str]]:
    """Every documented code, with its title and explanation in English and German."""
    content: Mapping[str, Mapping[str, str]] = yaml.safe_load(TYPES.read_text(encoding="utf-8"))
    return content


def slug(code: str) -> str:
    """`consent.already_recorded` → `consent-already-recorded`."""
    return re.sub(r"[._]", "-", code)


def by_slug(wanted: str) -> str | None:
    """The code whose page this is."""
    return next((code for code in problem_types() if slug(code) == wanted), None)


def status_of(error: HandschlagError) -> int:
    return getattr(error, "http_status", error.status)


def document(error: HandschlagError) -> Json:
    """The problem document of an error. One outside the documented codes tells its kind only."""
    error = _as_outside(error)
    status = status_of(error)
    code = error.code if error.code in problem_types() else _kind(status)
    told: Json = {
        "type": f"/problems/{slug(code)}",
        "title": problem_types()[code]["title"],
        "status": status,
        "detail": _unquoted(error.detail) or problem_types()[code]["en"],
        "code": code,
        "trace_id": telemetry.current_trace_id(),
    }
    if error.remedy:
        told["remedy"] = error.remedy
    if error.problems:
        told["errors"] = [_told(problem) for problem in error.problems]
    return told


def from_http(error: HTTPException) -> HandschlagError:
    """What Flask or Werkzeug refused, as one of ours; its own text may quote the request and is dropped."""
    status = error.code or 500
    if status in HTTP_CODES:
        return Fault(status, HTTP_CODES[status])
    return Fault(status, "request.refused") if status < 500 else internal()


def internal() -> HandschlagError:
    """Everything that is our fault: the text stays here."""
    return Fault(500, "internal")


def _as_outside(error: HandschlagError) -> HandschlagError:
    """What goes wrong between our services is our fault; a log that cannot sign is a log that is away."""
    area = error.code.partition(".")[0]
    if area == "call" or (status_of(error) == 500 and error.detail):
        telemetry.logger("gateway").error("a request failed", **telemetry.describe(error))
        return internal()
    if error.status == 503 and area in ("audit", "log"):
        return Unavailable("audit.unavailable", NOTHING_LEFT, "send the same again later")
    return error


def _kind(status: int) -> str:
    kinds = {422: "invalid", 404: "not_found", 403: "forbidden", 409: "refused", 412: "conflict", 503: "unavailable"}
    return f"other.{kinds[status]}" if status in kinds else "internal"


def _told(problem: Problem) -> dict[str, Any]:
    steps = problem.pointer.split("/")[1:]
    kept = itertools.takewhile(_PLAIN.fullmatch, steps)
    pointer = "".join(f"/{step}" for step in kept)
    return {"pointer": pointer, "detail": _unquoted(problem.detail), "remedy": problem.remedy}


def _unquoted(text: str) -> str:
    """Without words in quotation marks, which may be those of the request."""
    return _QUOTED.sub("", text)
