"""Disclosures (Übermittlungen, §§ 67d to 77 SGB X). A refusal is an answer, not an error."""

from dataclasses import field
from datetime import datetime
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

disclosures = Resource("disclosures", "Requests to disclose data to a partner, their rulings and what became of them.")


class Extent(StrEnum):
    ALL = "all"
    PERMITTED = "permitted"


@value
class NewDisclosure:
    """`basis` is the norm relied on; `facts` are facts of `/v1/vocabulary`. What is not stated opens nothing."""

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
    """`ruling` is there for those who may read the reasons; `answer` is what anybody may read."""

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


@disclosures.changes("POST", "/disclosures", "exchange.request_disclosure", shows=disclosure)
def request_disclosure(desk: Desk, new: NewDisclosure) -> WhichDisclosure:
    """Ask for a disclosure; it is decided, logged and, if lawful, handed over."""
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
    )
    desk.ask("exchange", "request_disclosure", command, DisclosureView, timeout=SLOW)
    return WhichDisclosure(disclosure_id=disclosure_id)
