"""Representation (Vertretung): who may speak for a person, in which matters, until when, and what shows it.

A guardian (§§ 1629, 1789, 1823 BGB), an authorised representative (§ 13 Abs. 1 SGB X, § 164 BGB), or a helper for one
matter and a limited time (Beistand, § 13 Abs. 4 SGB X). Only acts it covers count, and only while it stands; what was
declared within it stays declared when it ends.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from shared.domain import Command, Event, Personal, command, event
from shared.errors import Invalid, Refused


class RepresentationKind(StrEnum):
    LEGAL_GUARDIAN = "legal_guardian"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"
    HELPER = "helper"


class Act(StrEnum):
    """What may be declared for the person. Taking back is never bound to it: everybody may say stop."""

    CONSENT = "consent"
    RELEASE = "release"
    OBJECTION = "objection"
    RIGHTS = "rights"


@command
class RegisterRepresentation(Command):
    """`evidence` is the id of the document that was seen (certificate, power of attorney, appointment).

    `purposes` are the matters it is about; none means all, which a helper cannot have.
    """

    representation_id: str
    person_id: str
    kind: RepresentationKind
    name: Personal[str]
    acts: tuple[Act, ...]
    evidence: str
    purposes: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None


@command
class EndRepresentation(Command):
    representation_id: str


@event(version=1)
class RepresentationRegistered(Event):
    person_id: str
    kind: RepresentationKind
    name: Personal[str]
    acts: tuple[Act, ...]
    evidence: str
    purposes: tuple[str, ...]
    valid_from: date
    valid_until: date | None
    on: date


@event(version=1)
class RepresentationEnded(Event):
    person_id: str
    on: date


RepresentationEvent = RepresentationRegistered | RepresentationEnded


@dataclass(frozen=True)
class Representation:
    registered: RepresentationRegistered | None = None
    ended_on: date | None = None

    def register(self, wanted: RegisterRepresentation, today: date) -> list[RepresentationEvent]:
        if self.registered:
            raise Refused("representation.already_recorded", "this id is taken", "record a new representation")
        first = wanted.valid_from or today
        _check(wanted, first)
        return [
            RepresentationRegistered(
                person_id=wanted.person_id,
                kind=wanted.kind,
                name=wanted.name,
                acts=wanted.acts,
                evidence=wanted.evidence,
                purposes=wanted.purposes,
                valid_from=first,
                valid_until=wanted.valid_until,
                on=today,
            )
        ]

    def end(self, today: date) -> list[RepresentationEvent]:
        """Revoked, or the office ended; from today on nothing new counts."""
        if not self.registered or self.ended_on:
            return []
        return [RepresentationEnded(person_id=self.registered.person_id, on=today)]

    def stands(self, day: date) -> bool:
        """From its first to its last day, both included; not on the day it was ended."""
        known = self.registered
        if not known or day < known.valid_from or (self.ended_on and self.ended_on <= day):
            return False
        return not (known.valid_until and day > known.valid_until)

    def covers(self, person_id: str, act: Act, purpose: str, day: date) -> bool:
        """Whether this act for this person in this matter counts on the day."""
        known = self.registered
        if not known or known.person_id != person_id or not self.stands(day):
            return False
        return act in known.acts and (not known.purposes or purpose in known.purposes)

    def apply(self, event: RepresentationEvent) -> "Representation":
        match event:
            case RepresentationRegistered():
                return Representation(registered=event)
            case RepresentationEnded():
                return replace(self, ended_on=event.on)


def _check(wanted: RegisterRepresentation, first: date) -> None:
    helper = wanted.kind is RepresentationKind.HELPER
    faults = [
        (not wanted.acts, ("/acts", "nothing is named that it covers", "name the acts")),
        (not wanted.evidence.strip(), ("/evidence", "nothing shows it", "name the document that was seen")),
        (
            bool(wanted.valid_until and wanted.valid_until < first),
            ("/valid_until", "it ends before it begins", "choose a last day on or after the first day"),
        ),
        (helper and len(wanted.purposes) != 1, ("/purposes", "a helper has one matter", "name exactly one purpose")),
        (helper and not wanted.valid_until, ("/valid_until", "a helper helps for a limited time", "name the last day")),
    ]
    found = [fault for wrong, fault in faults if wrong]
    if found:
        raise Invalid("representation.invalid", found[0][1], found[0][2], found)
