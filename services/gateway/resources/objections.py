"""Objections (Widersprüche): § 76 Abs. 2 SGB X with the notice of that right, Art. 21 DSGVO with § 84 Abs. 5 SGB X."""

from datetime import date
from enum import StrEnum

from services.gateway.operations import Desk, Resource
from services.gateway.vocabulary import require_purpose
from shared.domain import Personal, value

objections = Resource("objections", "Objections to passing on assessments and to processing, and the notices before.")


class NoticeForm(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"


@value
class Notice:
    """The general notice of the right to object, written or electronic, at the start of the procedure."""

    person_id: str
    form: NoticeForm | None = None
    text_version: str | None = None
    language: str | None = None


@value
class WhosePerson:
    person_id: str


@value
class ObjectionReceipt:
    """Where the change stands: `version` counts what was recorded about the objections of this person."""

    person_id: str
    version: int


@objections.changes("POST", "/objection-notices", "consent.record_objection_notice")
def record_objection_notice(desk: Desk, notice: Notice) -> ObjectionReceipt:
    """Record that the person was told of the right to object."""
    return _told(desk, "record_objection_notice", notice, notice.person_id)


@objections.changes("POST", "/objections", "consent.raise_objection")
def raise_objection(desk: Desk, whose: WhosePerson) -> ObjectionReceipt:
    """Record an objection; it blocks from now on, without weighing."""
    return _told(desk, "raise_objection", whose, whose.person_id)


@objections.changes("POST", "/objections/<person_id>/withdrawal", "consent.take_back_objection", status=200)
def take_back_objection(desk: Desk, whose: WhosePerson) -> ObjectionReceipt:
    """Record that the person takes the objection back."""
    return _told(desk, "take_back_objection", whose, whose.person_id)


@value
class NewProcessingObjection:
    """Against disclosures to `recipient` for `purpose`; left out, against any."""

    person_id: str
    reasons: str
    recipient: str | None = None
    purpose: str | None = None
    objection_id: str | None = None


@value
class ObjectToProcessing:
    objection_id: str
    person_id: str
    reasons: Personal[str]
    recipient: str | None
    purpose: str | None


@value
class Decision:
    """A rejection names the `norm` it rests on, such as § 84 Abs. 5 SGB X."""

    objection_id: str
    person_id: str
    uphold: bool
    reasons: str
    norm: str | None = None


@value
class DecideObjection:
    objection_id: str
    person_id: str
    uphold: bool
    reasons: Personal[str]
    norm: str | None


@value
class TakeBackProcessingObjection:
    objection_id: str
    person_id: str


@value
class ProcessingObjectionView:
    objection_id: str
    person_id: str
    recipient: str | None
    purpose: str | None
    reasons: Personal[str]
    raised_on: date
    state: str
    decided_on: date | None = None
    decided_by: str | None = None
    norm: str | None = None


@value
class ObjectionView:
    """What was told about the right, when, in which form; and which objections there are."""

    person_id: str
    notice_on: date | None
    notice_form: str | None
    notice_text_version: str | None
    raised_on: date | None
    processing: tuple[ProcessingObjectionView, ...]
    version: int


@objections.reads("/objections/<person_id>", "consent.objection")
def objection(desk: Desk, whose: WhosePerson) -> ObjectionView:
    """Read the notice and the objections of a person."""
    desk.asker.require_own(whose.person_id, "person.unknown")
    return desk.ask("consent", "objection", whose, ObjectionView)


@objections.changes("POST", "/processing-objections", "consent.object_to_processing", personal=("reasons",))
def object_to_processing(desk: Desk, new: NewProcessingObjection) -> ObjectionReceipt:
    """Record an objection to a processing; until somebody decides, it is restricted."""
    desk.asker.require_own(new.person_id, "person.unknown")
    if new.purpose is not None:
        require_purpose(new.purpose, "/purpose")
    command = ObjectToProcessing(
        objection_id=desk.new_id(new.objection_id, "objection_id"),
        person_id=new.person_id,
        reasons=new.reasons,
        recipient=new.recipient,
        purpose=new.purpose,
    )
    return _told(desk, "object_to_processing", command, new.person_id)


@objections.changes(
    "POST",
    "/processing-objections/<objection_id>/decision",
    "consent.decide_objection",
    status=200,
    personal=("reasons",),
)
def decide_objection(desk: Desk, said: Decision) -> ObjectionReceipt:
    """Record what was decided about an objection to a processing, by whom and on which norm."""
    command = DecideObjection(
        objection_id=said.objection_id,
        person_id=said.person_id,
        uphold=said.uphold,
        reasons=said.reasons,
        norm=said.norm,
    )
    return _told(desk, "decide_objection", command, said.person_id)


@objections.changes(
    "POST",
    "/processing-objections/<objection_id>/withdrawal",
    "consent.take_back_processing_objection",
    status=200,
)
def take_back_processing_objection(desk: Desk, said: TakeBackProcessingObjection) -> ObjectionReceipt:
    """Record that the person takes the objection to a processing back."""
    desk.asker.require_own(said.person_id, "person.unknown")
    return _told(desk, "take_back_processing_objection", said, said.person_id)


def _told(desk: Desk, method: str, command: object, person_id: str) -> ObjectionReceipt:
    receipt = desk.tell("consent", method, command)
    return ObjectionReceipt(person_id=person_id, version=receipt.version)
