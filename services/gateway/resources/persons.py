"""Persons (teilnehmende Personen) whom the agency accompanies."""

from datetime import date

from services.gateway.operations import Desk, Resource
from shared.domain import Personal, value

persons = Resource("persons", "Persons whom the agency accompanies. Their ids are random and its own.")


@value
class NewPerson:
    name: str
    birth_date: date
    contact: str | None = None
    person_id: str | None = None


@value
class RegisterPerson:
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None]


@value
class WhichPerson:
    person_id: str


@value
class PersonLook:
    person_id: str
    automatic: bool


@value
class PersonView:
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None]
    version: int
    restricted: bool


@persons.reads("/persons/<person_id>", "cases.person", dated=True)
def person(desk: Desk, which: WhichPerson) -> PersonView:
    """Read a person."""
    return desk.ask("cases", "person", PersonLook(person_id=which.person_id, automatic=desk.asker.machine), PersonView)


@persons.changes("POST", "/persons", "cases.register_person", shows=person, personal=("name", "birth_date", "contact"))
def register_person(desk: Desk, new: NewPerson) -> WhichPerson:
    """Register a person."""
    person_id = desk.new_id(new.person_id, "person_id")
    command = RegisterPerson(person_id=person_id, name=new.name, birth_date=new.birth_date, contact=new.contact)
    desk.tell("cases", "register_person", command)
    return WhichPerson(person_id=person_id)


@value
class Lifting:
    """`informed_on` is the day on which the person was told before (Art. 18 Abs. 3 DSGVO). A program names the person
    who decided as `decided_by`.
    """

    person_id: str
    informed_on: date
    decided_by: str | None = None


@value
class LiftRestriction:
    person_id: str
    informed_on: date
    by: str


@persons.changes("POST", "/persons/<person_id>/restriction/lifting", "cases.lift_restriction", shows=person, status=200)
def lift_restriction(desk: Desk, lifting: Lifting) -> WhichPerson:
    """End a restriction of the processing, after the person was told."""
    by = desk.asker.answering(lifting.decided_by)
    command = LiftRestriction(person_id=lifting.person_id, informed_on=lifting.informed_on, by=by)
    desk.tell("cases", "lift_restriction", command)
    return WhichPerson(person_id=lifting.person_id)
