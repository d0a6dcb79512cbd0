"""Person (Participant, teilnehmende Person): somebody whom one agency accompanies.

The id is random and belongs to one agency; two agencies that know the same person share no id (§ 67c SGB X).
Name, birth date and ways of contact are personal fields.
"""

from dataclasses import dataclass
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Refused


@command
class RegisterPerson(Command):
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None] = None


@event(version=1)
class PersonRegistered(Event):
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None] = None


PersonEvent = PersonRegistered


@dataclass(frozen=True)
class Person:
    registered: PersonRegistered | None = None

    def register(self, wanted: RegisterPerson) -> list[PersonEvent]:
        """Once; a second registration under the same id is a mistake of the caller."""
        if self.registered:
            raise Refused("person.already_registered", "this id is taken", "choose a new person id")
        return [
            PersonRegistered(
                person_id=wanted.person_id,
                name=wanted.name,
                birth_date=wanted.birth_date,
                contact=wanted.contact,
            )
        ]

    def apply(self, event: PersonEvent) -> "Person":
        return Person(registered=event)
