"""Withdrawals (Widerrufe, Art. 7 Abs. 3 DSGVO): taken back without a reason; who had what, told and confirmed when.

Nobody is sent away with a withdrawal. What was never given, and what somebody else gave, answer alike: recorded,
nothing given, nothing changed. So the answer tells nobody which ids are those of other persons or agencies.
"""

from dataclasses import replace
from datetime import datetime

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource
from services.gateway.resources.consent_forms import ConsentStanding, Terms, WhichConsent
from services.gateway.resources.consent_sheets import SheetView
from services.gateway.resources.consents import consent
from shared.domain import value
from shared.errors import NotFound

withdrawals = Resource("withdrawals", "What is taken back, what that set off, and whose acknowledgement is missing.")

NOTHING_GIVEN = "nothing_given"


@value
class WithdrawConsent:
    """`person_id`: whoever takes back for themselves, and nothing that another gave."""

    consent_id: str
    person_id: str | None


@value
class WithdrawnConsent(ConsentStanding):
    """The consent as it stands after its withdrawal; `status` is `nothing_given` where nothing was given under this id
    by whoever takes it back: then the withdrawal is recorded, changes nothing, and there are no terms.
    """

    terms: Terms | None


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
class RetractionView:
    """One disclosure under what was withdrawn: stopped in time, or retracted. What the recipient did with the data
    until `lawful_until` stays lawful (Art. 7 Abs. 3 Satz 2 DSGVO). It rested on the consents and releases in
    `declarations`.
    """

    disclosure_id: str
    partner_id: str
    state: str
    handed_over_at: datetime | None
    retracted_at: datetime | None
    acknowledged_at: datetime | None
    person_id: str = ""
    partner_name: str = ""
    purpose: str = ""
    categories: tuple[str, ...] = ()
    reason: str | None = None
    stopped_because: str | None = None
    lawful_until: datetime | None = None
    told_at: datetime | None = None
    due_at: datetime | None = None
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None
    escalated_to: str | None = None
    late: bool = False
    declarations: tuple[str, ...] = ()


@value
class WithdrawalReport:
    """Every disclosure that rested on the consent or release: stopped in time, or retracted and confirmed.

    `complete`: nobody is waited for any more; `late` counts those past their term.
    """

    consent_id: str
    recipients: tuple[RetractionView, ...]
    complete: bool = True
    late: int = 0


@value
class WhichDeclaration:
    """The id of a consent or of a release from secrecy."""

    declaration_id: str


@value
class WithdrawalQuestion:
    consent_id: str


@value
class MissingQuestion:
    """Of one's own agency."""


@value
class MissingAcknowledgements:
    """Retractions that no partner has confirmed, the oldest first; `late` says which are past their term."""

    items: tuple[RetractionView, ...]


def _as_withdrawn(desk: Desk, which: WhichConsent) -> WithdrawnConsent:
    try:
        found = consent.run(desk, which)
    except NotFound:
        return WithdrawnConsent(
            consent_id=which.consent_id, terms=None, status=NOTHING_GIVEN, given_on=None, withdrawn_on=None, version=0
        )
    return WithdrawnConsent(**vars(found))


withdrawn = replace(consent, answer=WithdrawnConsent, run=_as_withdrawn)
"""How a withdrawal is answered; not an operation of its own, since an unknown consent cannot be read."""


@withdrawals.changes(
    "POST", "/consents/<consent_id>/withdrawal", "consent.withdraw_consent", shows=withdrawn, status=200
)
def withdraw_consent(desk: Desk, which: WhichConsent) -> WhichConsent:
    """Withdraw a consent; always possible, without a reason. Of what was never given it is recorded, and harmless."""
    own = desk.asker.person_id if desk.asker.role == CITIZEN else None
    desk.tell("consent", "withdraw_consent", WithdrawConsent(consent_id=which.consent_id, person_id=own))
    return which


@withdrawals.changes("POST", "/consents/withdrawals", "consent.withdraw_all", status=200)
def withdraw_all(desk: Desk, wanted: WithdrawnTogether) -> SheetView:
    """Withdraw everything that a person gave, or all that one recipient was given, in one step."""
    about = WithdrawAll(person_id=str(desk.person(wanted.person_id)), recipient=wanted.recipient)
    return desk.ask("consent", "withdraw_all", about, SheetView)


@withdrawals.reads("/consents/<consent_id>/withdrawal", "exchange.withdrawal")
def withdrawal(desk: Desk, which: WhichConsent) -> WithdrawalReport:
    """Read what became of everything that was disclosed under a consent."""
    consent.run(desk, which)
    return desk.ask("exchange", "withdrawal", which, WithdrawalReport)


@withdrawals.reads("/withdrawals/<declaration_id>", "exchange.withdrawal_report", dated=True)
def withdrawal_report(desk: Desk, which: WhichDeclaration) -> WithdrawalReport:
    """Read who had data under a consent or release, when they were told and when they confirmed."""
    question = WithdrawalQuestion(consent_id=which.declaration_id)
    found = desk.ask("exchange", "withdrawal", question, WithdrawalReport)
    strangers = {each.person_id for each in found.recipients} - {desk.asker.person_id}
    if desk.asker.role == CITIZEN and (strangers or not found.recipients):
        raise NotFound("consent.unknown")
    return found


@withdrawals.reads("/withdrawals", "exchange.missing_acknowledgements", dated=True)
def missing_acknowledgements(desk: Desk, asked: MissingQuestion) -> MissingAcknowledgements:
    """List the retractions that no partner has confirmed yet, and whom their silence was escalated to."""
    return desk.ask("exchange", "missing_acknowledgements", asked, MissingAcknowledgements)
