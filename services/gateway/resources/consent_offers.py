"""Offers (Anfragen): what a person is asked, and their yes or no."""

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource
from services.gateway.resources.consent_forms import (
    Form,
    Giver,
    Offer,
    OfferView,
    Proof,
    WhichConsent,
    require_own_voice,
)
from services.gateway.resources.consents import consent
from services.gateway.vocabulary import require_categories, require_purpose
from shared.domain import value
from shared.errors import Invalid

offers = Resource("consent offers", "What persons are asked, and what they answer.")


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


@offers.reads("/consents/offers/<consent_id>", "consent.offer", dated=True)
def offer(desk: Desk, which: WhichConsent) -> OfferView:
    """Read what a person is asked."""
    found = desk.ask("consent", "offer", which, OfferView)
    desk.asker.require_own(found.offer.person_id, "consent.unknown")
    return found


@offers.changes("POST", "/consents/offers", "consent.offer_consent", shows=offer)
def offer_consent(desk: Desk, new: NewOffer) -> WhichConsent:
    """Ask a person for a consent, with everything they have to be told."""
    require_purpose(new.offer.purpose, "/offer/purpose")
    require_categories(new.offer.categories, "/offer/categories")
    consent_id = desk.new_id(new.consent_id, "consent_id")
    desk.tell("consent", "offer_consent", OfferConsent(consent_id=consent_id, offer=new.offer))
    return WhichConsent(consent_id=consent_id)


@offers.changes("POST", "/consents/offers/<consent_id>/acceptance", "consent.accept_offer", shows=consent)
def accept_offer(desk: Desk, said: AnsweredOffer) -> WhichConsent:
    """Say yes to what was offered."""
    return _answered(desk, said, "accept_offer")


@offers.changes("POST", "/consents/offers/<consent_id>/refusal", "consent.decline_offer", shows=consent)
def decline_offer(desk: Desk, said: AnsweredOffer) -> WhichConsent:
    """Say no to what was offered; it has no consequence."""
    return _answered(desk, said, "decline_offer")


def _answered(desk: Desk, said: AnsweredOffer, method: str) -> WhichConsent:
    which = WhichConsent(consent_id=said.consent_id)
    offer.run(desk, which)
    answer = said.answer
    if answer is None:
        if desk.asker.role != CITIZEN:
            fault = ("/answer", "nobody is named who answers", "say who gave which answer in which form")
            raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
        answer = ConsentAnswer(form=Form.ELECTRONIC, given_by=(Giver.DATA_SUBJECT,), voluntary=True)
    require_own_voice(desk, answer.given_by, "/answer/given_by")
    desk.tell("consent", method, AnswerOffer(consent_id=said.consent_id, answer=answer))
    return which
