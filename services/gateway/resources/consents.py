"""Consents (Einwilligungen): given, refused, paused, replaced."""

from services.gateway.operations import Desk, Resource
from services.gateway.resources.consent_forms import ConsentView, OfferView, Terms, WhichConsent, require_own_voice
from services.gateway.vocabulary import require_categories, require_purpose
from shared.domain import value

consents = Resource("consents", "What persons allow, refuse and pause.")


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


@consents.reads("/consents/<consent_id>", "consent.consent", dated=True)
def consent(desk: Desk, which: WhichConsent) -> ConsentView:
    """Read a consent and how it stands today."""
    found = desk.ask("consent", "consent", which, ConsentView)
    desk.asker.require_own(found.terms.person_id, "consent.unknown")
    return found


@consents.reads("/consents", "consent.consents")
def list_consents(desk: Desk, asked: ConsentsQuestion) -> ConsentList:
    """List the consents of a person, and what they are asked."""
    about = ConsentsOfPerson(person_id=str(desk.person(asked.person_id)))
    return desk.ask("consent", "consents", about, ConsentList)


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


@consents.changes("POST", "/consents/<consent_id>/pause", "consent.pause_consent", shows=consent, status=200)
def pause_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Let a consent rest; nothing leaves under it until it is resumed."""
    return _changed(desk, which, "pause_consent")


@consents.changes("POST", "/consents/<consent_id>/resumption", "consent.resume_consent", shows=consent, status=200)
def resume_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Let a paused consent count again."""
    return _changed(desk, which, "resume_consent")


def _checked(desk: Desk, new: NewConsent) -> str:
    desk.asker.require_own(new.terms.person_id, "person.unknown")
    require_own_voice(desk, new.terms.given_by, "/terms/given_by")
    require_purpose(new.terms.purpose, "/terms/purpose")
    require_categories(new.terms.categories, "/terms/categories")
    return desk.new_id(new.consent_id, "consent_id")


def _changed(desk: Desk, which: WhichConsent, method: str) -> WhichConsent:
    consent.run(desk, which)
    desk.tell("consent", method, which)
    return which
