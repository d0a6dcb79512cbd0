"""What a consent says (Einwilligung): its terms, an offer, how it stands; the forms that its operations share."""

from datetime import date
from enum import StrEnum

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk
from shared.domain import value
from shared.errors import Invalid


class Form(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"
    ORAL_DOCUMENTED = "oral_documented"


class Giver(StrEnum):
    DATA_SUBJECT = "data_subject"
    LEGAL_GUARDIAN = "legal_guardian"
    ENTRUSTING_PERSON = "entrusting_person"
    THIRD_PARTY = "third_party"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"


class Period(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@value
class UseLimit:
    """At most `times` disclosures, in each calendar period `per` or, without one, ever.

    Entries from `data_from` to `data_until` only; recipients erase by `erase_at` and confirm it.
    """

    times: int | None = None
    per: Period | None = None
    data_from: date | None = None
    data_until: date | None = None
    erase_at: date | None = None


@value
class Information:
    """What was explained; `plain_text` is the id of the text in plain language beside it."""

    text_version: str
    language: str
    purpose: bool
    consequences_of_refusal: bool
    right_to_withdraw: bool
    recipient: bool = True
    categories: bool = True
    plain_text: str | None = None


@value
class Proof:
    """The id of the signed sheet or record, who explained it, and when."""

    document: str | None = None
    explained_by: str | None = None
    explained_on: date | None = None


@value
class Terms:
    """Who may receive what for which purpose; `recipient` is a partner's id, `valid_from` and
    `valid_until` are the first day (without one, today) and the last.

    Who speaks for the person names the representation on record (`representation_id`).
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
    use: UseLimit | None = None
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None


@value
class Offer:
    """What the person is asked, until `answer_by`; unanswered it lapses, which has no consequence."""

    person_id: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    information: Information
    answer_by: date
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None


@value
class WhichConsent:
    consent_id: str


@value
class ConsentStanding:
    """`uses_left` counts what is left in the period of today; `ended_on` is the day since which it no longer stands."""

    consent_id: str
    status: str
    given_on: date | None
    withdrawn_on: date | None
    version: int
    refused_on: date | None = None
    paused_on: date | None = None
    replaced_by: str | None = None
    ended_on: date | None = None
    uses: int = 0
    uses_left: int | None = None


@value
class ConsentView(ConsentStanding):
    """What a consent says and how it stands. `uses_left` counts what is left in the period of today; `ended_on` is the
    day since which it no longer stands.
    """

    terms: Terms


@value
class OfferView:
    consent_id: str
    offer: Offer
    status: str
    offered_on: date
    version: int


def require_own_voice(desk: Desk, given_by: tuple[Giver, ...], pointer: str) -> None:
    """Raises `Invalid` when a citizen signs in and somebody else is named as giving."""
    if desk.asker.role == CITIZEN and given_by != (Giver.DATA_SUBJECT,):
        fault = (pointer, "who signs in speaks for themselves", "write data_subject")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
