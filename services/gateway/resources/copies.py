"""Copies (Art. 15 Abs. 3, Art. 20 DSGVO): what an answered request opens, told in pages over the services."""

from services.gateway.auth import CITIZEN
from services.gateway.operations import SLOW, Desk, Resource, require_limit
from services.gateway.resources.rights import Outcome, Right, WhichRight, right
from shared.domain import Json, Personal, known, value
from shared.errors import Invalid, Refused
from shared.law import health_categories

copies = Resource("copies", "Copies that an access or a portability opened.")

PARTS = ("cases", "health")
COPIED = (Right.ACCESS, Right.PORTABILITY)
OPENED = (Outcome.GRANTED, Outcome.PARTLY_GRANTED)


@value
class CopyQuestion:
    """`after` is the `next` of the page before; empty begins. `limit` 1 to 500 records a page."""

    request_id: str
    after: str = ""
    limit: int = 200


@value
class CopyOf:
    person_id: str
    categories: tuple[str, ...]
    after: str
    limit: int
    only_own: bool


@value
class PartPage:
    person_id: str
    content: Personal[Json]
    next: str | None
    total: int


@value
class CopyPage:
    """One page of the copy: `done` of `total` records of this `part` (cases, health) are told when it is read.

    `content` is `{"records": [...]}`. Recipients and refusals stand in the ledger, consents in the list of consents.
    """

    request_id: str
    person_id: str
    part: str
    content: Personal[Json]
    done: int
    total: int
    next: str | None


@copies.reads("/rights/<request_id>/copy", "cases.copy", dated=True)
def copy(desk: Desk, asked: CopyQuestion) -> CopyPage:
    """Read the copy that an access or a portability opened, page by page (Art. 15 Abs. 3, Art. 20 DSGVO)."""
    require_limit(asked.limit)
    request = right.run(desk, WhichRight(request_id=asked.request_id))
    opened = request.answer
    if request.right not in COPIED or opened is None or opened.outcome not in OPENED:
        raise Refused("rights.nothing_opened", "no access was answered with yes", "wait for the answer")
    part, done, after = _place(asked.after)
    categories = opened.opened
    if opened.via_doctor and desk.asker.role == CITIZEN:
        categories = tuple(each for each in categories if each not in health_categories())
    question = CopyOf(
        person_id=request.person_id,
        categories=categories,
        after=after,
        limit=asked.limit,
        only_own=request.right is Right.PORTABILITY,
    )
    page = desk.ask(part, "copy", question, PartPage, timeout=SLOW)
    done += len(known(page.content, {}).get("records", ()))
    following = PARTS[PARTS.index(part) + 1 :]
    next_ = f"{part}.{done}.{page.next}" if page.next is not None else f"{following[0]}.0." if following else None
    return CopyPage(
        request_id=asked.request_id,
        person_id=request.person_id,
        part=part,
        content=page.content,
        done=done,
        total=page.total,
        next=next_,
    )


def _place(after: str) -> tuple[str, int, str]:
    """Part, records told so far, and the key in that part."""
    if not after:
        return PARTS[0], 0, ""
    part, _, rest = after.partition(".")
    done, _, key = rest.partition(".")
    if part not in PARTS or not done.isdecimal() or len(done) > 9:
        fault = ("/after", "not a place in a copy", "send what stood in next")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
    return part, int(done), key
