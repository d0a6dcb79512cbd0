"""Agencies (verantwortliche Stellen): who is in charge of the data."""

from services.gateway.operations import Desk, Resource, require_name
from services.gateway.vocabulary import require_kind
from shared.domain import value

agencies = Resource("agencies", "Agencies that are in charge of data, each a tenant of its own.")


@value
class Kind:
    """Body and legal domain in the words of `/v1/vocabulary`."""

    body: str
    domain: str


@value
class NewAgency:
    agency_id: str
    name: str
    kind: Kind


@value
class WhichAgency:
    agency_id: str


@value
class AgencyView:
    agency_id: str
    name: str
    kind: Kind
    version: int


@agencies.reads("/agencies/<agency_id>", "exchange.agency")
def agency(desk: Desk, which: WhichAgency) -> AgencyView:
    """Read an agency."""
    return desk.ask("exchange", "agency", which, AgencyView)


@agencies.changes("POST", "/agencies", "exchange.register_agency", shows=agency)
def register_agency(desk: Desk, new: NewAgency) -> WhichAgency:
    """Register an agency."""
    require_name(new.agency_id, "agency_id")
    require_kind(new.kind.body, new.kind.domain)
    desk.tell("exchange", "register_agency", new)
    return WhichAgency(agency_id=new.agency_id)
