"""Registers of the data-protection officer: processing (Art. 30 DSGVO), impact (Art. 35), breaches (Art. 33, 34)."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from services.gateway.operations import LONGEST_PAGE, SLOW, Desk, Resource, require_limit
from services.gateway.resources.rights import Written
from services.gateway.vocabulary import require_categories
from shared import registers as of_installation
from shared.domain import Erased, Json, Sealed, value
from shared.registers import Controller, Recipient

registers = Resource("registers", "What the agency processes, and what went wrong: for the data-protection officer.")


Told = Annotated[str | Erased, Sealed("breach_id")]
"""Text about a breach, sealed with a key of its own."""


class Risk(StrEnum):
    UNLIKELY = "unlikely"
    LIKELY = "likely"
    HIGH = "high"


@value
class AsOf:
    """The day the register is drawn for, today's rules and partners; a day to come shows what will be in force."""

    day: date


@value
class Register:
    """`content` is the register; fields that people fill in are empty."""

    content: Json


@value
class Kind:
    body: str
    domain: str


@value
class AgencyQuestion:
    agency_id: str


@value
class Agency:
    agency_id: str
    name: str
    kind: Kind
    version: int


@value
class PartnersQuestion:
    after: str
    limit: int


@value
class Partner:
    partner_id: str
    name: str
    body: str
    domain: str
    channel: str


@value
class PartnerPage:
    items: tuple[Partner, ...]
    next: str | None


@value
class NewBreach:
    """`nature`, `consequences` and `measures` name nobody. The 72 hours run from `aware_at` (Art. 33 DSGVO)."""

    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: str
    consequences: str
    measures: str
    partner_id: str = ""
    categories: tuple[str, ...] = ()
    breach_id: str | None = None


@value
class RecordBreach:
    breach_id: str
    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: Told
    consequences: Told
    measures: Told
    partner_id: str
    categories: tuple[str, ...]


@value
class WhichBreach:
    breach_id: str


@value
class NoticeView:
    """Somebody who has to be told, by when, and when they were."""

    breach_id: str
    to: str
    norm: str
    voluntary: bool
    due_at: datetime | None
    given_at: datetime | None
    overdue: bool
    reason_for_delay: Told


@value
class BreachView:
    """`affected` counts the persons of whom the log says that data went out in that time."""

    breach_id: str
    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: Told
    consequences: Told
    measures: Told
    partner_id: str
    categories: tuple[str, ...]
    by: str
    notices: tuple[NoticeView, ...]
    affected: int
    affected_persons: tuple[str, ...]
    version: int


@value
class BreachesQuestion:
    after: str = ""
    limit: int = 50


@value
class BreachItem:
    breach_id: str
    aware_at: datetime


@value
class BreachPage:
    items: tuple[BreachItem, ...]
    next: str | None


@value
class NoticeGiven:
    """`to`: data_protection_authority, affected_persons or supervisor. A late one says why."""

    breach_id: str
    to: str
    at: datetime
    reason_for_delay: str = ""


@value
class RecordNotice:
    breach_id: str
    to: str
    at: datetime
    reason_for_delay: Told


@registers.reads("/registers/processing", "registers.processing")
def processing(desk: Desk, asked: AsOf) -> Register:
    """Read the register of processing activities (Art. 30 DSGVO)."""
    return Register(content=of_installation.processing(*_parties(desk), asked.day))


@registers.reads("/registers/impact", "registers.impact")
def impact(desk: Desk, asked: AsOf) -> Register:
    """Read the impact assessment as far as the installation can fill it in (Art. 35 DSGVO)."""
    return Register(content=of_installation.impact(*_parties(desk), asked.day, desk.installation))


@registers.reads("/registers/breaches/<breach_id>", "cases.breach", dated=True)
def breach(desk: Desk, which: WhichBreach) -> BreachView:
    """Read a breach: who has to be told by when, and whom it touches."""
    return desk.ask("cases", "breach", which, BreachView, timeout=SLOW)


@registers.reads("/registers/breaches", "cases.breaches")
def breaches(desk: Desk, asked: BreachesQuestion) -> BreachPage:
    """List the breaches."""
    require_limit(asked.limit)
    return desk.ask("cases", "breaches", asked, BreachPage)


@registers.changes(
    "POST",
    "/registers/breaches",
    "cases.record_breach",
    shows=breach,
    personal=("nature", "consequences", "measures"),
)
def record_breach(desk: Desk, new: NewBreach) -> WhichBreach:
    """Record a breach; the clock of 72 hours runs."""
    require_categories(new.categories, "/categories")
    breach_id = desk.new_id(new.breach_id, "breach_id")
    told = {name: each for name, each in vars(new).items() if name != "breach_id"}
    desk.ask("cases", "record_breach", RecordBreach(breach_id=breach_id, **told), Written)
    return WhichBreach(breach_id=breach_id)


@registers.changes(
    "POST",
    "/registers/breaches/<breach_id>/notices",
    "cases.give_breach_notice",
    shows=breach,
    status=200,
    personal=("reason_for_delay",),
)
def give_breach_notice(desk: Desk, given: NoticeGiven) -> WhichBreach:
    """Record that somebody was told of a breach."""
    desk.ask("cases", "give_breach_notice", RecordNotice(**vars(given)), Written)
    return WhichBreach(breach_id=given.breach_id)


def _parties(desk: Desk) -> tuple[Controller, list[Recipient]]:
    question = AgencyQuestion(agency_id=desk.asker.agency)
    agency = desk.ask("exchange", "agency", question, Agency)
    found: list[Recipient] = []
    after: str | None = ""
    while after is not None:
        page = desk.ask("exchange", "partners", PartnersQuestion(after=after, limit=LONGEST_PAGE), PartnerPage)
        found += [Recipient(each.partner_id, each.name, each.body) for each in page.items]
        after = page.next if len(page.items) == LONGEST_PAGE else None
    return Controller(agency.agency_id, agency.name, agency.kind.body), found
