"""Withdrawals (Widerrufe): who had what, told when, confirmed when, and who is late."""

from datetime import datetime

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource
from shared.domain import value
from shared.errors import NotFound

withdrawals = Resource("withdrawals", "What a withdrawal set off, and whose acknowledgement is missing.")


@value
class RetractionView:
    """One disclosure under what was withdrawn: stopped in time, or retracted. What the recipient did with the data
    until `lawful_until` stays lawful (Art. 7 Abs. 3 Satz 2 DSGVO).
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
