"""Consents (Einwilligungen): given, refused, withdrawn without a reason; and what a withdrawal set off."""

from datetime import date, datetime
from enum import StrEnum

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource
from services.gateway.vocabulary import require_categories, require_purpose
from shared.domain import value
from shared.errors import Invalid

consents = Resource("consents", "What persons allow, refuse and take back.")


class Form(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"
    ORAL_DOCUMENTED = "oral_documented"


class Giver(StrEnum):
    DATA_SUBJECT = "data_subject"
    LEGAL_GUARDIAN = "legal_guardian"
    ENTRUSTING_PERSON = "entrusting_person"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"


@value
class Information:
    text_version: str
    language: str
    purpose: bool
    consequences_of_refusal: bool
    right_to_withdraw: bool


@value
class Terms:
    """Who may receive what for which purpose; `recipient` is a partner's id, `valid_from` and
    `valid_until` are the first day (without one, today) and the last.
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


@value
class NewConsent:
    terms: Terms
    consent_id: str | None = None


@value
class GiveConsent:
    consent_id: str
    terms: Terms


@value
class WhichConsent:
    consent_id: str


@value
class ConsentView:
    consent_id: str
    terms: Terms
    status: str
    given_on: date | None
    withdrawn_on: date | None
    version: int


@value
class ConsentsQuestion:
    """A citizen may leave the person out."""

    person_id: str | None = None


@value
class ConsentsOfPerson:
    person_id: str


@value
class ConsentList:
    items: tuple[ConsentView, ...]


@value
class RetractionView:
    disclosure_id: str
    partner_id: str
    state: str
    handed_over_at: datetime | None
    retracted_at: datetime | None
    acknowledged_at: datetime | None


@value
class WithdrawalReport:
    """Every disclosure that rested on the consent: stopped in time, or retracted and confirmed."""

    consent_id: str
    recipients: tuple[RetractionView, ...]


@consents.reads("/consents/<consent_id>", "consent.consent", dated=True)
def consent(desk: Desk, which: WhichConsent) -> ConsentView:
    """Read a consent and how it stands today."""
    found = desk.ask("consent", "consent", which, ConsentView)
    desk.asker.require_own(found.terms.person_id, "consent.unknown")
    return found


@consents.reads("/consents", "consent.consents")
def list_consents(desk: Desk, asked: ConsentsQuestion) -> ConsentList:
    """List the consents of a person."""
    about = ConsentsOfPerson(person_id=str(desk.person(asked.person_id)))
    return desk.ask("consent", "consents", about, ConsentList)


@consents.changes("POST", "/consents", "consent.give_consent", shows=consent)
def give_consent(desk: Desk, new: NewConsent) -> WhichConsent:
    """Record a consent."""
    return _record(desk, new, "give_consent")


@consents.changes("POST", "/consents/refusals", "consent.refuse_consent", shows=consent)
def refuse_consent(desk: Desk, new: NewConsent) -> WhichConsent:
    """Record that a person refuses."""
    return _record(desk, new, "refuse_consent")


@consents.changes("POST", "/consents/<consent_id>/withdrawal", "consent.withdraw_consent", shows=consent, status=200)
def withdraw_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Withdraw a consent; always possible, without a reason."""
    consent.run(desk, which)
    desk.tell("consent", "withdraw_consent", which)
    return which


@consents.reads("/consents/<consent_id>/withdrawal", "exchange.withdrawal")
def withdrawal(desk: Desk, which: WhichConsent) -> WithdrawalReport:
    """Read what became of everything that was disclosed under a consent."""
    consent.run(desk, which)
    return desk.ask("exchange", "withdrawal", which, WithdrawalReport)


def _record(desk: Desk, new: NewConsent, method: str) -> WhichConsent:
    desk.asker.require_own(new.terms.person_id, "person.unknown")
    if desk.asker.role == CITIZEN and new.terms.given_by != (Giver.DATA_SUBJECT,):
        fault = ("/terms/given_by", "who signs in speaks for themselves", "write data_subject")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
    require_purpose(new.terms.purpose, "/terms/purpose")
    require_categories(new.terms.categories, "/terms/categories")
    consent_id = desk.new_id(new.consent_id, "consent_id")
    desk.tell("consent", method, GiveConsent(consent_id=consent_id, terms=new.terms))
    return WhichConsent(consent_id=consent_id)
