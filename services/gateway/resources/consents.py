"""Consents (Einwilligungen): offered, given, refused, paused, replaced, withdrawn without a reason."""

import uuid
from datetime import date
from enum import StrEnum

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource
from services.gateway.resources.withdrawals import WithdrawalReport
from services.gateway.vocabulary import require_categories, require_purpose
from shared.domain import value
from shared.errors import Invalid

consents = Resource("consents", "What persons are asked, allow, refuse, pause and take back.")


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
class NewOffer:
    offer: Offer
    consent_id: str | None = None


@value
class OfferConsent:
    consent_id: str
    offer: Offer


@value
class ConsentAnswer:
    form: Form
    given_by: tuple[Giver, ...]
    voluntary: bool
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None


@value
class AnsweredOffer:
    """A yes or a no to what was offered. A citizen who is signed in may leave the answer out: it is their own,
    electronic and free.
    """

    consent_id: str
    answer: ConsentAnswer | None = None


@value
class AnswerOffer:
    consent_id: str
    answer: ConsentAnswer


@value
class NewConsent:
    """`replaces` names the consent that this one takes the place of."""

    terms: Terms
    consent_id: str | None = None
    replaces: str | None = None


@value
class GiveConsent:
    consent_id: str
    terms: Terms
    replaces: str | None = None


@value
class RefuseConsent:
    consent_id: str
    terms: Terms


@value
class NewCell:
    """A yes or a no for one recipient and one category."""

    recipient: str
    category: str
    yes: bool
    consent_id: str | None = None


@value
class NewSheet:
    """One purpose, explained and signed once; each cell becomes a consent or a refusal with an id of its own."""

    person_id: str
    purpose: str
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    cells: tuple[NewCell, ...]
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None


@value
class Cell:
    consent_id: str
    recipient: str
    category: str
    yes: bool


@value
class Sheet:
    person_id: str
    purpose: str
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    cells: tuple[Cell, ...]
    valid_from: date | None
    valid_until: date | None
    use: UseLimit | None
    representation_id: str | None
    giver_id: str | None
    proof: Proof | None


@value
class WithdrawnTogether:
    """A citizen may leave the person out. Without `recipient`, everything."""

    person_id: str | None = None
    recipient: str | None = None


@value
class WithdrawAll:
    person_id: str
    recipient: str | None


@value
class WhichConsent:
    consent_id: str


@value
class ConsentView:
    """`uses_left` counts what is left in the period of today; `ended_on` is the day since which it no longer stands."""

    consent_id: str
    terms: Terms
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
class OfferView:
    consent_id: str
    offer: Offer
    status: str
    offered_on: date
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
    """`offers` are those that nobody has answered yet, and those that lapsed."""

    items: tuple[ConsentView, ...]
    offers: tuple[OfferView, ...] = ()


@value
class SheetView:
    items: tuple[ConsentView, ...]


@consents.reads("/consents/<consent_id>", "consent.consent", dated=True)
def consent(desk: Desk, which: WhichConsent) -> ConsentView:
    """Read a consent and how it stands today."""
    found = desk.ask("consent", "consent", which, ConsentView)
    desk.asker.require_own(found.terms.person_id, "consent.unknown")
    return found


@consents.reads("/consents/offers/<consent_id>", "consent.offer", dated=True)
def offer(desk: Desk, which: WhichConsent) -> OfferView:
    """Read what a person is asked."""
    found = desk.ask("consent", "offer", which, OfferView)
    desk.asker.require_own(found.offer.person_id, "consent.unknown")
    return found


@consents.reads("/consents", "consent.consents")
def list_consents(desk: Desk, asked: ConsentsQuestion) -> ConsentList:
    """List the consents of a person, and what they are asked."""
    about = ConsentsOfPerson(person_id=str(desk.person(asked.person_id)))
    return desk.ask("consent", "consents", about, ConsentList)


@consents.changes("POST", "/consents/offers", "consent.offer_consent", shows=offer)
def offer_consent(desk: Desk, new: NewOffer) -> WhichConsent:
    """Ask a person for a consent, with everything they have to be told."""
    require_purpose(new.offer.purpose, "/offer/purpose")
    require_categories(new.offer.categories, "/offer/categories")
    consent_id = desk.new_id(new.consent_id, "consent_id")
    desk.tell("consent", "offer_consent", OfferConsent(consent_id=consent_id, offer=new.offer))
    return WhichConsent(consent_id=consent_id)


@consents.changes("POST", "/consents/offers/<consent_id>/acceptance", "consent.accept_offer", shows=consent)
def accept_offer(desk: Desk, said: AnsweredOffer) -> WhichConsent:
    """Say yes to what was offered."""
    return _answered(desk, said, "accept_offer")


@consents.changes("POST", "/consents/offers/<consent_id>/refusal", "consent.decline_offer", shows=consent)
def decline_offer(desk: Desk, said: AnsweredOffer) -> WhichConsent:
    """Say no to what was offered; it has no consequence."""
    return _answered(desk, said, "decline_offer")


@consents.changes("POST", "/consents", "consent.give_consent", shows=consent)
def give_consent(desk: Desk, new: NewConsent) -> WhichConsent:
    """Record a consent."""
    consent_id = _checked(desk, new)
    if new.replaces is not None:
        consent.run(desk, WhichConsent(consent_id=new.replaces))
    given = GiveConsent(consent_id=consent_id, terms=new.terms, replaces=new.replaces)
    desk.tell("consent", "give_consent", given)
    return WhichConsent(consent_id=consent_id)


@consents.changes("POST", "/consents/refusals", "consent.refuse_consent", shows=consent)
def refuse_consent(desk: Desk, new: NewConsent) -> WhichConsent:
    """Record that a person refuses."""
    consent_id = _checked(desk, new)
    desk.tell("consent", "refuse_consent", RefuseConsent(consent_id=consent_id, terms=new.terms))
    return WhichConsent(consent_id=consent_id)


@consents.changes("POST", "/consents/sheets", "consent.record_sheet")
def record_sheet(desk: Desk, new: NewSheet) -> SheetView:
    """Record a sheet: a yes or no for each recipient and category, all of them or none."""
    desk.asker.require_own(new.person_id, "person.unknown")
    _require_own_voice(desk, new.given_by, "/given_by")
    require_purpose(new.purpose, "/purpose")
    for place, cell in enumerate(new.cells):
        require_categories((cell.category,), f"/cells/{place}")
    cells = tuple(
        Cell(
            consent_id=desk.new_id(cell.consent_id or _cell_id(desk, place), f"cells/{place}/consent_id"),
            recipient=cell.recipient,
            category=cell.category,
            yes=cell.yes,
        )
        for place, cell in enumerate(new.cells)
    )
    sheet = Sheet(
        person_id=new.person_id,
        purpose=new.purpose,
        form=new.form,
        given_by=new.given_by,
        information=new.information,
        voluntary=new.voluntary,
        cells=cells,
        valid_from=new.valid_from,
        valid_until=new.valid_until,
        use=new.use,
        representation_id=new.representation_id,
        giver_id=new.giver_id,
        proof=new.proof,
    )
    return desk.ask("consent", "record_sheet", sheet, SheetView)


@consents.changes("POST", "/consents/<consent_id>/withdrawal", "consent.withdraw_consent", shows=consent, status=200)
def withdraw_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Withdraw a consent; always possible, without a reason."""
    return _changed(desk, which, "withdraw_consent")


@consents.changes("POST", "/consents/withdrawals", "consent.withdraw_all", status=200)
def withdraw_all(desk: Desk, wanted: WithdrawnTogether) -> SheetView:
    """Withdraw everything that a person gave, or all that one recipient was given, in one step."""
    about = WithdrawAll(person_id=str(desk.person(wanted.person_id)), recipient=wanted.recipient)
    return desk.ask("consent", "withdraw_all", about, SheetView)


@consents.changes("POST", "/consents/<consent_id>/pause", "consent.pause_consent", shows=consent, status=200)
def pause_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Let a consent rest; nothing leaves under it until it is resumed."""
    return _changed(desk, which, "pause_consent")


@consents.changes("POST", "/consents/<consent_id>/resumption", "consent.resume_consent", shows=consent, status=200)
def resume_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Let a paused consent count again."""
    return _changed(desk, which, "resume_consent")


@consents.reads("/consents/<consent_id>/withdrawal", "exchange.withdrawal")
def withdrawal(desk: Desk, which: WhichConsent) -> WithdrawalReport:
    """Read what became of everything that was disclosed under a consent."""
    consent.run(desk, which)
    return desk.ask("exchange", "withdrawal", which, WithdrawalReport)


def _cell_id(desk: Desk, place: int) -> str:
    """Derived from the request, so that the same sheet again means the same consents."""
    return str(uuid.uuid5(uuid.UUID(desk.command_id), f"cell {place}"))


def _checked(desk: Desk, new: NewConsent) -> str:
    desk.asker.require_own(new.terms.person_id, "person.unknown")
    _require_own_voice(desk, new.terms.given_by, "/terms/given_by")
    require_purpose(new.terms.purpose, "/terms/purpose")
    require_categories(new.terms.categories, "/terms/categories")
    return desk.new_id(new.consent_id, "consent_id")


def _answered(desk: Desk, said: AnsweredOffer, method: str) -> WhichConsent:
    which = WhichConsent(consent_id=said.consent_id)
    offer.run(desk, which)
    answer = said.answer
    if answer is None:
        if desk.asker.role != CITIZEN:
            fault = ("/answer", "nobody is named who answers", "say who gave which answer in which form")
            raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
        answer = ConsentAnswer(form=Form.ELECTRONIC, given_by=(Giver.DATA_SUBJECT,), voluntary=True)
    _require_own_voice(desk, answer.given_by, "/answer/given_by")
    desk.tell("consent", method, AnswerOffer(consent_id=said.consent_id, answer=answer))
    return which


def _changed(desk: Desk, which: WhichConsent, method: str) -> WhichConsent:
    consent.run(desk, which)
    desk.tell("consent", method, which)
    return which


def _require_own_voice(desk: Desk, given_by: tuple[Giver, ...], pointer: str) -> None:
    if desk.asker.role == CITIZEN and given_by != (Giver.DATA_SUBJECT,):
        fault = (pointer, "who signs in speaks for themselves", "write data_subject")
        raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
