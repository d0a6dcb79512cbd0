"""Person (Participant, teilnehmende Person): somebody whom one agency accompanies.

The id is random and belongs to one agency; two agencies that know the same person share no id (§ 67c SGB X).
Name, birth date and ways of contact are personal fields.
"""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import NotFound, Refused


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


@event(version=1)
class PersonRectified(Event):
    """What was wrong is right now (Art. 16 DSGVO); `request_id` is the request that asked for it."""

    person_id: str
    request_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None]
    on: date


@event(version=1)
class PersonContested(Event):
    """What is true cannot be settled: master and contact data go only with this note (§ 84 Abs. 2 SGB X)."""

    person_id: str
    request_id: str
    note: Personal[str]
    on: date


@event(version=1)
class ProcessingRestricted(Event):
    """The data are kept and used for nothing else (Art. 18 DSGVO, § 84 Abs. 3 SGB X), until a day or until lifted."""

    person_id: str
    request_id: str
    norms: tuple[str, ...]
    until: date | None
    on: date


@event(version=1)
class RestrictionLifted(Event):
    on: date


PersonEvent = PersonRegistered | PersonRectified | PersonContested | ProcessingRestricted | RestrictionLifted


@dataclass(frozen=True)
class Person:
    registered: PersonRegistered | None = None
    restricted: ProcessingRestricted | None = None
    contested: PersonContested | None = None

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

    def rectify(self, right: PersonRectified) -> list[PersonEvent]:
        """The new values take the place of the old ones; those stay in the history, sealed."""
        self.known()
        return [right]

    def contest(self, contested: PersonContested) -> list[PersonEvent]:
        self.known()
        return [contested]

    def restrict(self, restriction: ProcessingRestricted) -> list[PersonEvent]:
        self.known()
        return [] if self.restricted else [restriction]

    def lift_restriction(self, today: date) -> list[PersonEvent]:
        self.known()
        return [RestrictionLifted(on=today)] if self.restricted else []

    def known(self) -> PersonRegistered:
        """Raises `NotFound` when the agency does not know the person."""
        if not self.registered:
            raise NotFound("person.unknown")
        return self.registered

    def apply(self, event: PersonEvent) -> "Person":
        match event:
            case PersonRegistered():
                return Person(registered=event)
            case PersonRectified(person_id=person_id, name=name, birth_date=birth_date, contact=contact):
                now = PersonRegistered(person_id=person_id, name=name, birth_date=birth_date, contact=contact)
                return replace(self, registered=now, contested=None)
            case PersonContested():
                return replace(self, contested=event)
            case ProcessingRestricted():
                return replace(self, restricted=event)
            case RestrictionLifted():
                return replace(self, restricted=None)
