"""Consent (Einwilligung), § 67b Abs. 2 SGB X and Art. 7 DSGVO.

A person lets one partner receive data of named categories for one purpose, after having been told what that
means, until a chosen day; and takes it back whenever they like. A refusal is recorded as carefully as a yes.
Whether a consent stands is derived from its events and the day asked for, never stored as a flag.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from shared.domain import Command, Event, command, event, value
from shared.errors import Invalid, Refused


class Form(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"
    ORAL_DOCUMENTED = "oral_documented"


class Giver(StrEnum):
    DATA_SUBJECT = "data_subject"
    LEGAL_GUARDIAN = "legal_guardian"
    ENTRUSTING_PERSON = "entrusting_person"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"


class Status(StrEnum):
    """`unknown` before anything was recorded; `not_yet` before its first day."""

    UNKNOWN = "unknown"
    NOT_YET = "not_yet"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@value
class Information:
    """What was explained beforehand (§ 67b Abs. 2 Satz 3 SGB X); without all three there is no valid consent."""

    text_version: str
    language: str
    purpose: bool
    consequences_of_refusal: bool
    right_to_withdraw: bool

    @property
    def complete(self) -> bool:
        return self.purpose and self.consequences_of_refusal and self.right_to_withdraw


@value
class Terms:
    """Who may receive what for which purpose. `recipient` is a partner's id.

    `valid_from` is the first day, without one that on which it is given; `valid_until` is the last day.
    """

    person_id: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    valid_from: date | None = None
    valid_until: date | None = None


@command
class GiveConsent(Command):
    consent_id: str
    terms: Terms


@command
class RefuseConsent(Command):
    consent_id: str
    terms: Terms


@command
class WithdrawConsent(Command):
    consent_id: str


@event(version=1)
class ConsentGiven(Event):
    terms: Terms
    on: date


@event(version=1)
class ConsentRefused(Event):
    terms: Terms
    on: date


@event(version=1)
class ConsentWithdrawn(Event):
    person_id: str
    on: date


ConsentEvent = ConsentGiven | ConsentRefused | ConsentWithdrawn


@dataclass(frozen=True)
class Consent:
    terms: Terms | None = None
    given_on: date | None = None
    refused_on: date | None = None
    withdrawn_on: date | None = None

    def give(self, terms: Terms, today: date) -> list[ConsentEvent]:
        """Only for the future: a consent never heals what happened before it (§ 67b Abs. 2 SGB X)."""
        if self.terms:
            raise Refused("consent.already_recorded", "this id is taken", "record a new consent")
        dated = replace(terms, valid_from=terms.valid_from or today)
        _check(dated, today)
        return [ConsentGiven(terms=dated, on=today)]

    def refuse(self, terms: Terms, today: date) -> list[ConsentEvent]:
        """A no has no consequence anywhere but that it stands in the way of this disclosure."""
        if self.terms:
            raise Refused("consent.already_recorded", "this id is taken", "record a new refusal")
        return [ConsentRefused(terms=terms, on=today)]

    def withdraw(self, today: date) -> list[ConsentEvent]:
        """Always possible, never asks why, works from now on (Art. 7 Abs. 3 DSGVO)."""
        if not self.terms or not self.given_on or self.withdrawn_on:
            return []
        return [ConsentWithdrawn(person_id=self.terms.person_id, on=today)]

    def status(self, day: date) -> Status:
        """How it stands on the legal `day`. On the day of its withdrawal it no longer stands."""
        if not self.terms:
            return Status.UNKNOWN
        if self.refused_on:
            return Status.REFUSED
        if self.withdrawn_on and self.withdrawn_on <= day:
            return Status.WITHDRAWN
        if self.terms.valid_from and day < self.terms.valid_from:
            return Status.NOT_YET
        if self.terms.valid_until and day > self.terms.valid_until:
            return Status.EXPIRED
        return Status.GIVEN

    def apply(self, event: ConsentEvent) -> "Consent":
        match event:
            case ConsentGiven():
                return Consent(terms=event.terms, given_on=event.on)
            case ConsentRefused():
                return Consent(terms=event.terms, refused_on=event.on)
            case ConsentWithdrawn():
                return replace(self, withdrawn_on=event.on)


def _check(terms: Terms, today: date) -> None:
    first_day = terms.valid_from or today
    faults: list[tuple[str, str, str]] = []
    if terms.valid_until and terms.valid_until < first_day:
        remedy = "choose a last day on or after the first day"
        faults.append(("/terms/valid_until", "the consent ends before it begins", remedy))
    if first_day < today:
        faults.append(("/terms/valid_from", "a consent does not reach back", "choose today or a later day"))
    if not terms.categories:
        faults.append(("/terms/categories", "no category is named", "name each category of data"))
    if not terms.given_by:
        faults.append(("/terms/given_by", "nobody is named who gives it", "name who gives the consent"))
    if not terms.information.complete:
        detail = "purpose, consequences of a refusal and the right to withdraw were not all explained"
        faults.append(("/terms/information", detail, "explain all three first, then record the consent"))
    if faults:
        ends_early = any(pointer == "/terms/valid_until" for pointer, _, _ in faults)
        code = "consent.ends_before_it_begins" if ends_early else "consent.invalid"
        raise Invalid(code, faults[0][1], faults[0][2], faults)
