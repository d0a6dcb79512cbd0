"""The person's ledger (Protokoll der Person): who asked, who looked, who received what and why, what was refused."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from services.gateway.auth import CITIZEN
from services.gateway.operations import Desk, Resource, require_limit
from services.gateway.resources.agencies import AgencyView, WhichAgency
from shared.domain import value
from shared.errors import NotFound
from shared.law import norms_of_look

ledger = Resource("ledger", "What happened with the data of a person, newest first.")

LONGEST_PAGE = 200


@value
class LedgerQuestion:
    """A citizen may leave the person out. `before` is the `next` of the page before, `limit` 1 to 200."""

    person_id: str | None = None
    before: str = ""
    limit: int = 50


@value
class LedgerOf:
    person_id: str
    before: str
    limit: int


@value
class LedgerItem:
    """One thing that happened. `kind`: `disclosure`, `look` (somebody of the agency looked into the file), `log_read`.

    `automatic`: a program asked by itself. `norms` is the basis, `what` names what was looked at. `on_behalf_of` is the
    agency that answers for it, by id and by name. To contest it, make a request for rectification with this `record`.
    People are named to the agency's own staff only.
    """

    kind: str
    at: str
    record: str
    on_behalf_of: str
    on_behalf_of_name: str
    automatic: bool
    refused: bool
    state: str
    recipient: str
    recipient_name: str
    categories: tuple[str, ...]
    purpose: str
    norms: tuple[str, ...]
    what: str
    times: int
    emergency: bool
    notices: tuple[str, ...]
    by: tuple[str, ...]
    visible_from: date | None
    log: str
    index: int
    mark: str


@value
class LedgerPage:
    """`next` goes into `before` of the next question."""

    items: tuple[LedgerItem, ...]
    next: str | None


@value
class Disclosed:
    disclosure_id: str
    mark: str
    at: str
    state: str
    partner_id: str
    partner_name: str
    categories: tuple[str, ...]
    purpose: str
    norms: tuple[str, ...]
    refused: bool
    automatic: bool
    emergency: bool
    by: tuple[str, ...]
    handed_over_at: str | None
    retracted_at: str | None
    notices: tuple[str, ...]
    visible_from: date | None
    log: str
    index: int


@value
class DisclosedPage:
    items: tuple[Disclosed, ...]


@value
class Look:
    mark: str
    at: str
    what: str
    times: int
    looked_by: str
    automatic: bool = False


@value
class LookPage:
    items: tuple[Look, ...]


@value
class Read:
    mark: str
    at: str
    role: str
    way: str
    log: str
    index: int


@value
class ReadPage:
    items: tuple[Read, ...]


@ledger.reads("/ledger", "exchange.ledger")
def read_ledger(desk: Desk, asked: LedgerQuestion) -> LedgerPage:
    """Read what happened with a person's data."""
    limit = require_limit(asked.limit, LONGEST_PAGE)
    question = LedgerOf(person_id=str(desk.person(asked.person_id)), before=asked.before, limit=limit)
    staff = desk.asker.role != CITIZEN
    found = [
        *(_disclosed(each) for each in desk.ask("exchange", "ledger", question, DisclosedPage).items),
        *(
            _looked(each, staff=staff)
            for keeper in ("cases", "health")
            for each in desk.ask(keeper, "looks", question, LookPage).items
        ),
        *(_read(each) for each in desk.ask("audit", "reads_of_person", question, ReadPage).items),
    ]
    agency, name = desk.asker.agency, _name_of(desk, desk.asker.agency)
    newest = [replace(each, on_behalf_of=agency, on_behalf_of_name=name) for each in _newest(found)]
    return LedgerPage(
        items=tuple(newest[:limit]), next=newest[limit - 1].mark if len(newest) >= limit and newest else None
    )


def _name_of(desk: Desk, agency: str) -> str:
    """Its name; an agency that has not registered itself yet is called by its id."""
    try:
        return desk.ask("exchange", "agency", WhichAgency(agency_id=agency), AgencyView).name
    except NotFound:
        return agency


def _newest(items: Iterable[LedgerItem]) -> list[LedgerItem]:
    return sorted(items, key=lambda each: each.mark, reverse=True)


NOTHING = LedgerItem(
    kind="",
    at="",
    record="",
    on_behalf_of="",
    on_behalf_of_name="",
    automatic=False,
    refused=False,
    state="",
    recipient="",
    recipient_name="",
    categories=(),
    purpose="",
    norms=(),
    what="",
    times=1,
    emergency=False,
    notices=(),
    by=(),
    visible_from=None,
    log="",
    index=-1,
    mark="",
)


def _disclosed(each: Disclosed) -> LedgerItem:
    return replace(
        NOTHING,
        kind="disclosure",
        at=each.at,
        record=f"disclosure:{each.disclosure_id}",
        automatic=each.automatic,
        refused=each.refused,
        state=each.state,
        recipient=each.partner_id,
        recipient_name=each.partner_name,
        categories=each.categories,
        purpose=each.purpose,
        norms=each.norms,
        emergency=each.emergency,
        notices=each.notices,
        by=each.by,
        visible_from=each.visible_from,
        log=each.log,
        index=each.index,
        mark=each.mark,
    )


def _looked(each: Look, *, staff: bool) -> LedgerItem:
    return replace(
        NOTHING,
        kind="look",
        at=each.at,
        record=f"look:{each.what}",
        automatic=each.automatic,
        norms=norms_of_look(each.what),
        what=each.what,
        times=each.times,
        by=(each.looked_by,) if staff else (),
        mark=each.mark,
    )


def _read(each: Read) -> LedgerItem:
    return replace(
        NOTHING,
        kind="log_read",
        at=each.at,
        record=f"log_read:{each.index}",
        what=each.way,
        state=each.role,
        log=each.log,
        index=each.index,
        mark=each.mark,
    )
