"""Agency (verantwortliche Stelle): the controller and owner of every record; at the same time the tenant."""

from dataclasses import dataclass

from shared.domain import Command, Event, command, event, value
from shared.errors import Refused


@value
class Kind:
    """Which body in which legal domain, in the words of `contracts/law/vocabulary.yaml`."""

    body: str
    domain: str


@command
class RegisterAgency(Command):
    agency_id: str
    name: str
    kind: Kind


@event(version=1)
class AgencyRegistered(Event):
    name: str
    kind: Kind


@dataclass(frozen=True)
class Agency:
    registered: AgencyRegistered | None = None

    def register(self, wanted: RegisterAgency) -> list[AgencyRegistered]:
        """The same registration again changes nothing; another one under the same id is refused."""
        made = AgencyRegistered(name=wanted.name, kind=wanted.kind)
        if self.registered == made:
            return []
        if self.registered:
            raise Refused("agency.already_registered", "this id is taken", "choose another agency id")
        return [made]

    def apply(self, event: AgencyRegistered) -> "Agency":
        return Agency(registered=event)
