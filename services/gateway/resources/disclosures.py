"""Disclosures (Übermittlungen, §§ 67d to 77 SGB X). A refusal is an answer, not an error."""

from dataclasses import field
from datetime import date, datetime
from enum import StrEnum

from services.gateway.operations import SLOW, Desk, Resource, require_limit
from services.gateway.vocabulary import (
    require_categories,
    require_facts,
    require_facts_by_category,
    require_norm,
    require_purpose,
)
from shared.domain import Json, Personal, value
from shared.errors import Forbidden

disclosures = Resource("disclosures", "Requests to disclose data to a partner, their rulings and what became of them.")


STATED = ("facts", "facts_by_category", "reasons")


class Extent(StrEnum):
    ALL = "all"
    PERMITTED = "permitted"


@value
class BreakGlass:
    """An emergency: until when the data may leave (at most 24 hours), and by which day (at most seven) somebody else
    looks at it again. Without `review_by` a second person has to confirm.
    """

    ends_at: datetime
    review_by: date | None = None


@value
class NewDisclosure:
    """`basis` is the norm relied on; `facts` are facts of `/v1/vocabulary`. What is not stated opens nothing.

    Who states that something is necessary gives `reasons`; a program names the person as `decided_by`. The person
    concerned is informed at once, or from `inform_after` on where the law lets that wait. Of dated entries only those
    from `data_from` to `data_until` travel, if these are named.
    """

    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None = None
    extent: Extent = Extent.ALL
    facts: Json = field(default_factory=dict)
    facts_by_category: Json = field(default_factory=dict)
    case_id: str | None = None
    reasons: str = ""
    disclosure_id: str | None = None
    decided_by: str | None = None
    inform_after: date | None = None
    break_glass: BreakGlass | None = None
    data_from: date | None = None
    data_until: date | None = None


@value
class RequestDisclosure:
    disclosure_id: str
    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None
    extent: Extent
    facts: Personal[Json]
    facts_by_category: Personal[Json]
    case_id: str | None
    reasons: Personal[str]
    decided_by: str
    inform_after: date | None
    break_glass: BreakGlass | None
    data_from: date | None
    data_until: date | None


@value
class Confirmation:
    """`confirm` false closes the disclosure; nothing leaves then."""

    disclosure_id: str
    confirm: bool
    reason: str


@value
class ConfirmDisclosure:
    disclosure_id: str
    person_id: str
    confirm: bool
    reason: Personal[str]


@value
class Review:
    disclosure_id: str
    finding: str


@value
class ReviewBreakGlass:
    disclosure_id: str
    person_id: str
    finding: Personal[str]


@value
class WhichDisclosure:
    disclosure_id: str


@value
class CategoryRuling:
    category: str
    permitted: bool
    norms: tuple[str, ...]
    rules: tuple[str, ...]
    missing: tuple[tuple[str, ...], ...]
    obligations: tuple[str, ...]


@value
class Ruling:
    """What the audit service decided, and the proof that it stands in the log."""

    sent: tuple[str, ...]
    categories: tuple[CategoryRuling, ...]
    obligations: tuple[str, ...]
    rule_set: str
    day: str
    origin: str
    index: int
    leaf: str
    receipt: str
    consents: tuple[str, ...]
    explanation: str


@value
class DisclosureView:
    """`ruling` is there for those who may read the reasons; `answer` is what anybody may read. The person concerned
    finds it from `visible_from` on.
    """

    disclosure_id: str
    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None
    state: str
    answer: str
    ruling: Ruling | None
    sequence: int | None
    match: str | None
    handed_over_at: datetime | None
    acknowledged_at: datetime | None
    retracted_at: datetime | None
    retraction_acknowledged_at: datetime | None
    version: int
    visible_from: date | None
    decided_by: str | None
    confirmed_by: str | None
    confirmed_at: datetime | None
    break_glass_ends_at: datetime | None
    review_by: date | None
    reviewed_at: datetime | None


@value
class DisclosuresQuestion:
    person_id: str | None = None
    after: str = ""
    limit: int = 50


@value
class DisclosurePage:
    items: tuple[DisclosureView, ...]
    next: str | None


@disclosures.reads("/disclosures/<disclosure_id>", "exchange.disclosure")
def disclosure(desk: Desk, which: WhichDisclosure) -> DisclosureView:
    """Read a disclosure."""
    found = desk.ask("exchange", "disclosure", which, DisclosureView)
    desk.asker.require_own(found.person_id, "disclosure.unknown")
    return found


@disclosures.reads("/disclosures", "exchange.disclosures")
def list_disclosures(desk: Desk, asked: DisclosuresQuestion) -> DisclosurePage:
    """List disclosures, of one person when named; a citizen sees their own."""
    require_limit(asked.limit)
    question = DisclosuresQuestion(
        person_id=desk.person(asked.person_id, required=False), after=asked.after, limit=asked.limit
    )
    return desk.ask("exchange", "disclosures", question, DisclosurePage)


@disclosures.changes("POST", "/disclosures", "exchange.request_disclosure", shows=disclosure, personal=STATED)
def request_disclosure(desk: Desk, new: NewDisclosure) -> WhichDisclosure:
    """Ask for a disclosure; it is decided, logged and, if lawful, handed over or laid before a person."""
    require_categories(new.categories, "/categories")
    require_purpose(new.purpose, "/purpose")
    require_norm(new.basis, "/basis")
    require_facts(new.facts, "/facts")
    require_facts_by_category(new.facts_by_category, "/facts_by_category")
    disclosure_id = desk.new_id(new.disclosure_id, "disclosure_id")
    command = RequestDisclosure(
        disclosure_id=disclosure_id,
        person_id=new.person_id,
        partner_id=new.partner_id,
        categories=new.categories,
        purpose=new.purpose,
        basis=new.basis,
        extent=new.extent,
        facts=new.facts,
        facts_by_category=new.facts_by_category,
        case_id=new.case_id,
        reasons=new.reasons,
        decided_by=desk.asker.answering(new.decided_by),
        inform_after=new.inform_after,
        break_glass=new.break_glass,
        data_from=new.data_from,
        data_until=new.data_until,
    )
    desk.ask("exchange", "request_disclosure", command, DisclosureView, timeout=SLOW)
    return WhichDisclosure(disclosure_id=disclosure_id)


@disclosures.changes(
    "POST",
    "/disclosures/<disclosure_id>/confirmation",
    "exchange.confirm_disclosure",
    shows=disclosure,
    status=200,
    personal=("reason",),
)
def confirm_disclosure(desk: Desk, said: Confirmation) -> WhichDisclosure:
    """Decide as a named person about a prepared disclosure: it leaves, or it is closed."""
    command = ConfirmDisclosure(
        disclosure_id=said.disclosure_id,
        person_id=_about(desk, said.disclosure_id),
        confirm=said.confirm,
        reason=said.reason,
    )
    desk.ask("exchange", "confirm_disclosure", command, DisclosureView, timeout=SLOW)
    return WhichDisclosure(disclosure_id=said.disclosure_id)


@disclosures.changes(
    "POST",
    "/disclosures/<disclosure_id>/review",
    "exchange.review_break_glass",
    shows=disclosure,
    status=200,
    personal=("finding",),
)
def review_break_glass(desk: Desk, said: Review) -> WhichDisclosure:
    """Record that somebody else looked at an emergency afterwards."""
    command = ReviewBreakGlass(
        disclosure_id=said.disclosure_id, person_id=_about(desk, said.disclosure_id), finding=said.finding
    )
    desk.ask("exchange", "review_break_glass", command, DisclosureView)
    return WhichDisclosure(disclosure_id=said.disclosure_id)


def _about(desk: Desk, disclosure_id: str) -> str:
    """Whom the disclosure is about; raises `Forbidden` where a program would decide in a person's place."""
    if desk.asker.machine:
        raise Forbidden("disclosure.person_decides", "a person decides this", "sign in as the person who decides")
    return desk.ask("exchange", "disclosure", WhichDisclosure(disclosure_id=disclosure_id), DisclosureView).person_id
