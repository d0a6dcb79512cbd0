"""Person (Participant, teilnehmende Person): somebody whom one agency accompanies.

The id is random and belongs to one agency; two agencies that know the same person share no id (§ 67c SGB X).
Name, birth date and ways of contact are personal fields.
"""

from dataclasses import dataclass, replace
from datetime import date

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Invalid, NotFound, Refused


@command
class RegisterPerson(Command):
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None] = None


@command
class LiftRestriction(Command):
    """End a restriction of the processing. `informed_on` is when the person was told before (Art. 18 Abs. 3 DSGVO),
    `by` who decided.
    """

    person_id: str
    informed_on: date
    by: str


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
    """The data are kept and used for nothing else (Art. 18 DSGVO, § 84 Abs. 3 SGB X): until it is lifted, or up to the
    day before `until`.
    """

    person_id: str
    request_id: str
    norms: tuple[str, ...]
    until: date | None
    on: date


@event(version=2)
class RestrictionLifted(Event):
    on: date
    by: str
    informed_on: date | None


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
        return [] if self.restricted_on(restriction.on) else [restriction]

    def restricted_on(self, day: date) -> bool:
        """Whether the data may be used for nothing else on that day."""
        return self.restricted is not None and (self.restricted.until is None or day < self.restricted.until)

    def lift_restriction(self, wanted: LiftRestriction, today: date) -> list[PersonEvent]:
        """Not before the person was told of it. Lifting what is not restricted changes nothing."""
        self.known()
        faults = []
        if not wanted.by.strip():
            faults.append(("/decided_by", "nobody answers for it", "name the person who decided"))
        if wanted.informed_on > today:
            told = "the person has to be told before (Art. 18 Abs. 3 DSGVO)"
            faults.append(("/informed_on", told, "lift it when that was done"))
        if faults:
            raise Invalid("restriction.invalid", "the restriction cannot be lifted so", problems=faults)
        if not self.restricted_on(today):
            return []
        return [RestrictionLifted(on=today, by=wanted.by, informed_on=wanted.informed_on)]

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
