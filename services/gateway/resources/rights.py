"""Rights of data subjects (Betroffenenrechte, Art. 15 to 21 DSGVO): requests and their answers."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from services.gateway.auth import CITIZEN
from services.gateway.operations import SLOW, Desk, Resource, require_limit
from shared.domain import Erased, Json, Personal, Sealed, value
from shared.errors import Invalid

rights = Resource("rights", "Requests of data subjects, each with its last day, its owner and its answer.")


Representative = Annotated[str | Erased | None, Sealed("representative_id")]
"""The name of whoever speaks for the person, sealed as theirs."""


class Right(StrEnum):
    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    PORTABILITY = "portability"
    OBJECTION = "objection"


class Outcome(StrEnum):
    GRANTED = "granted"
    PARTLY_GRANTED = "partly_granted"
    RESTRICTED = "restricted"
    CONTESTED = "contested"
    REFUSED = "refused"


@value
class NewRight:
    """`record` names what it is about: `person`, `entry:<id>`, `finding:<id>`, `assessment:<id>`, `disclosure:<id>`.

    A citizen may leave the person out. Without `received_on` it came today; only the agency's staff name another day.
    """

    right: Right
    person_id: str | None = None
    wish: str = ""
    record: str = ""
    received_on: date | None = None
    owner: str = ""
    representative_id: str | None = None
    representative: str | None = None
    request_id: str | None = None


@value
class RequestRight:
    request_id: str
    person_id: str
    right: Right
    wish: Personal[str]
    record: str
    received_on: date | None
    owner: str
    representative_id: str | None
    representative: Representative


@value
class WhichRight:
    request_id: str


@value
class Reminder:
    stage: str
    on: date


@value
class AnswerView:
    """`opened` are the categories of an access that the person may see; `closed` stands here for staff only."""

    person_id: str
    outcome: Outcome
    reasons: Personal[str]
    norms: tuple[str, ...]
    by: str
    on: date
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    via_doctor: bool
    until: date | None
    erasure_id: str
    log: str
    index: int


@value
class RightView:
    """A request and how it stands. After an erasure wish and reasons read `{"$erased": true}`."""

    request_id: str
    person_id: str
    right: Right
    wish: Personal[str]
    record: str
    received_on: date
    due_on: date
    norm: str
    owner: str
    overdue: bool
    extended_on: date | None
    extension_reasons: Personal[str | None]
    representative_id: str | None
    representative: Representative
    reminders: tuple[Reminder, ...]
    answer: AnswerView | None
    version: int


@value
class RightsQuestion:
    """Of one person, of one owner, only the open ones; a citizen sees their own."""

    person_id: str | None = None
    owner: str | None = None
    open: str = ""
    after: str = ""
    limit: int = 50


@value
class RightsOf:
    person_id: str | None
    owner: str | None
    only_open: bool
    after: str
    limit: int


@value
class RightItem:
    request_id: str
    person_id: str
    right: Right
    owner: str
    due_on: date
    open: bool
    overdue: bool


@value
class RightPage:
    items: tuple[RightItem, ...]
    next: str | None


@value
class Owner:
    request_id: str
    owner: str


@value
class Extension:
    request_id: str
    reasons: str


@value
class ExtendRequest:
    request_id: str
    person_id: str
    reasons: Personal[str]


@value
class RightAnswer:
    """What was examined, and how the request ends; a program names the person who decided as `decided_by`.

    Of an access: `identity_verified`, `access_exception_83`, `third_party_interests_override` (not stated: nothing
    opens). Of an erasure: `unlawful`. Of a rectification: `corrected` with what is right, `record` if the request names
    none. `until` is the first day on which a restriction holds no more.
    """

    request_id: str
    outcome: Outcome
    reasons: str = ""
    record: str = ""
    identity_verified: bool = False
    access_exception_83: bool | None = None
    third_party_interests_override: bool | None = None
    representation_covers: bool | None = None
    via_doctor: bool = False
    unlawful: bool = False
    until: date | None = None
    corrected: Json | None = None
    decided_by: str | None = None


@value
class AnswerRight:
    request_id: str
    person_id: str
    outcome: Outcome
    by: str
    reasons: Personal[str]
    record: str
    identity_verified: bool
    access_exception_83: bool | None
    third_party_interests_override: bool | None
    representation_covers: bool | None
    via_doctor: bool
    unlawful: bool
    until: date | None
    corrected: Personal[Json | None]


@value
class Written:
    stream: str
    version: int
    position: int


@rights.reads("/rights/<request_id>", "cases.right", dated=True)
def right(desk: Desk, which: WhichRight) -> RightView:
    """Read a request."""
    found = desk.ask("cases", "right", which, RightView)
    desk.asker.require_own(found.person_id, "rights.unknown")
    return found


@rights.reads("/rights", "cases.rights")
def list_rights(desk: Desk, asked: RightsQuestion) -> RightPage:
    """List requests; `open=true` lists those that wait for an answer."""
    require_limit(asked.limit)
    question = RightsOf(
        person_id=desk.person(asked.person_id, required=False),
        owner=asked.owner,
        only_open=asked.open == "true",
        after=asked.after,
        limit=asked.limit,
    )
    return desk.ask("cases", "rights", question, RightPage)


@rights.changes("POST", "/rights", "cases.request_right", shows=right, personal=("wish", "representative"))
def request_right(desk: Desk, new: NewRight) -> WhichRight:
    """Make a request: access, rectification, erasure, restriction, portability, objection."""
    citizen = desk.asker.role == CITIZEN
    if citizen and (new.received_on or new.owner or new.representative_id):
        fault = ("/received_on", "the agency notes this", "leave received_on, owner and representative out")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
    request_id = desk.new_id(new.request_id, "request_id")
    command = RequestRight(
        request_id=request_id,
        person_id=str(desk.person(new.person_id)),
        right=new.right,
        wish=new.wish,
        record=new.record,
        received_on=new.received_on,
        owner=new.owner,
        representative_id=new.representative_id,
        representative=new.representative,
    )
    desk.tell("cases", "request_right", command)
    return WhichRight(request_id=request_id)


@rights.changes("POST", "/rights/<request_id>/owner", "cases.assign_request", shows=right, status=200)
def assign_request(desk: Desk, said: Owner) -> WhichRight:
    """Name who deals with a request."""
    desk.tell("cases", "assign_request", said)
    return WhichRight(request_id=said.request_id)


@rights.changes(
    "POST",
    "/rights/<request_id>/extension",
    "cases.extend_request",
    shows=right,
    status=200,
    personal=("reasons",),
)
def extend_request(desk: Desk, said: Extension) -> WhichRight:
    """Extend the term to three months, with reasons, within the first month (Art. 12 Abs. 3 DSGVO)."""
    which = WhichRight(request_id=said.request_id)
    person_id = right.run(desk, which).person_id
    desk.tell("cases", "extend_request", ExtendRequest(**vars(said), person_id=person_id))
    return which


@rights.changes(
    "POST",
    "/rights/<request_id>/answer",
    "cases.answer_right",
    shows=right,
    status=200,
    personal=("reasons", "corrected"),
)
def answer_right(desk: Desk, said: RightAnswer) -> WhichRight:
    """Answer a request; what the answer says is carried out."""
    which = WhichRight(request_id=said.request_id)
    stated = {name: each for name, each in vars(said).items() if name != "decided_by"}
    by = desk.asker.answering(said.decided_by)
    command = AnswerRight(**stated, person_id=right.run(desk, which).person_id, by=by)
    desk.ask("cases", "answer_right", command, Written, timeout=SLOW)
    return which
