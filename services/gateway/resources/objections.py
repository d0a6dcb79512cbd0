"""Objections (Widersprüche, § 76 Abs. 2 SGB X) and the notice that the right exists."""

from services.gateway.operations import Desk, Resource
from shared.domain import value

objections = Resource("objections", "Objections to passing on assessments, and the notice of that right.")


@value
class WhosePerson:
    person_id: str


@value
class ObjectionReceipt:
    """Where the change stands: `version` counts what was recorded about the objections of this person."""

    person_id: str
    version: int


@objections.changes("POST", "/objection-notices", "consent.record_objection_notice")
def record_objection_notice(desk: Desk, whose: WhosePerson) -> ObjectionReceipt:
    """Record that the person was told of the right to object."""
    return _told(desk, "record_objection_notice", whose)


@objections.changes("POST", "/objections", "consent.raise_objection")
def raise_objection(desk: Desk, whose: WhosePerson) -> ObjectionReceipt:
    """Record an objection; it blocks from now on, without weighing."""
    return _told(desk, "raise_objection", whose)


@objections.changes("POST", "/objections/<person_id>/withdrawal", "consent.take_back_objection", status=200)
def take_back_objection(desk: Desk, whose: WhosePerson) -> ObjectionReceipt:
    """Record that the person takes the objection back."""
    return _told(desk, "take_back_objection", whose)


def _told(desk: Desk, method: str, whose: WhosePerson) -> ObjectionReceipt:
    receipt = desk.tell("consent", method, whose)
    return ObjectionReceipt(person_id=whose.person_id, version=receipt.version)
