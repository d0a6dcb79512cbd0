"""A witness over HTTP: `POST /add-checkpoint`, with the statuses of c2sp.org/tlog-witness."""

from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.wrappers import Request, Response

from shared.errors import Forbidden, HandschlagError, NotFound, Unavailable
from shared.merkle import NotProven
from shared.notes import AddCheckpoint, Malformed
from shared.witness.witness import OtherSize, Witness

LONGEST_BODY = 64 * 1024
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
STATUSES: dict[type[HandschlagError], int] = {
    Malformed: 400,
    Forbidden: 403,
    NotFound: 404,
    NotProven: 422,
    Unavailable: 503,
}

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def witness_app(witness: Witness, on_refusal: Callable[[int, str], None] = lambda status, code: None) -> WSGI:
    """The WSGI application. `on_refusal` hears the status and the code of whatever was not cosigned."""

    @Request.application
    def app(request: Request) -> Response:
        if request.path != "/add-checkpoint":
            return Response("a witness answers POST /add-checkpoint\n", 404, content_type=TEXT)
        if request.method != "POST":
            return Response("POST\n", 405, {"Allow": "POST"}, content_type=TEXT)
        body = request.stream.read(LONGEST_BODY + 1)
        if len(body) > LONGEST_BODY:
            return Response(f"at most {LONGEST_BODY} bytes\n", 413, content_type=TEXT)
        try:
            return Response(witness.add_checkpoint(AddCheckpoint.parse(body)), 200, content_type=TEXT)
        except OtherSize as other:
            on_refusal(409, other.code)
            return Response(f"{other.size}\n", 409, content_type=SIZE)
        except HandschlagError as error:
            status = STATUSES.get(type(error), 500)
            on_refusal(status, error.code)
            return Response(f"{error}\n", status, content_type=TEXT)

    return app
