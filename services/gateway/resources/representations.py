"""Representations (Vertretungen): who may speak for a person, in which matters, until when."""

from datetime import date
from enum import StrEnum

from services.gateway.operations import Desk, Resource
from services.gateway.vocabulary import require_purpose
from shared.domain import Personal, value

representations = Resource("representations", "Guardians, authorised representatives and helpers, with their evidence.")


class RepresentationKind(StrEnum):
    LEGAL_GUARDIAN = "legal_guardian"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"
    HELPER = "helper"


class Act(StrEnum):
    CONSENT = "consent"
    RELEASE = "release"
    OBJECTION = "objection"
    RIGHTS = "rights"


@value
class NewRepresentation:
    """`evidence` is the id of the document that was seen; `purposes` the matters, none means all. A helper
    (Beistand, § 13 Abs. 4 SGB X) has one matter and a last day.
    """

    person_id: str
    kind: RepresentationKind
    name: str
    acts: tuple[Act, ...]
    evidence: str
    purposes: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    representation_id: str | None = None


@value
class RegisterRepresentation:
    representation_id: str
    person_id: str
    kind: RepresentationKind
    name: Personal[str]
    acts: tuple[Act, ...]
    evidence: str
    purposes: tuple[str, ...]
    valid_from: date | None
    valid_until: date | None


@value
class WhichRepresentation:
    representation_id: str


@value
class RepresentationsQuestion:
    person_id: str


@value
class RepresentationView:
    representation_id: str
    person_id: str
    kind: str
    name: Personal[str]
    acts: tuple[str, ...]
    evidence: str
    purposes: tuple[str, ...]
    valid_from: date
    valid_until: date | None
    ended_on: date | None
    stands: bool
    version: int


@value
class RepresentationList:
    items: tuple[RepresentationView, ...]


@representations.reads("/representations/<representation_id>", "consent.representation", dated=True)
def representation(desk: Desk, which: WhichRepresentation) -> RepresentationView:
    """Read a representation and whether it stands today."""
    return desk.ask("consent", "representation", which, RepresentationView)


@representations.reads("/representations", "consent.representations", dated=True)
def list_representations(desk: Desk, asked: RepresentationsQuestion) -> RepresentationList:
    """List who may speak for a person, and who no longer may."""
    return desk.ask("consent", "representations", asked, RepresentationList)


@representations.changes(
    "POST", "/representations", "consent.register_representation", shows=representation, personal=("name",)
)
def register_representation(desk: Desk, new: NewRepresentation) -> WhichRepresentation:
    """Record who may speak for a person, and what shows it."""
    for place, purpose in enumerate(new.purposes):
        require_purpose(purpose, f"/purposes/{place}")
    representation_id = desk.new_id(new.representation_id, "representation_id")
    command = RegisterRepresentation(
        representation_id=representation_id,
        person_id=new.person_id,
        kind=new.kind,
        name=new.name,
        acts=new.acts,
        evidence=new.evidence,
        purposes=new.purposes,
        valid_from=new.valid_from,
        valid_until=new.valid_until,
    )
    desk.tell("consent", "register_representation", command)
    return WhichRepresentation(representation_id=representation_id)


@representations.changes(
    "POST",
    "/representations/<representation_id>/end",
    "consent.end_representation",
    shows=representation,
    status=200,
)
def end_representation(desk: Desk, which: WhichRepresentation) -> WhichRepresentation:
    """Record that a representation has ended; what was declared within it stays declared."""
    representation.run(desk, which)
    desk.tell("consent", "end_representation", which)
    return which
