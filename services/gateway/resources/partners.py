"""Partners (Partnerstellen): bodies of other legal domains to which the agency may disclose."""

from enum import StrEnum

from services.gateway.operations import Desk, Resource, require_limit, require_name
from services.gateway.resources.agencies import Kind
from services.gateway.vocabulary import require_kind
from shared.domain import Json, value

partners = Resource("partners", "Partner bodies, their legal domain and their public keys.")


class Channel(StrEnum):
    AMQP = "amqp"
    FEED = "feed"


@value
class NewPartner:
    """Keys are public JWK (RFC 7517): X25519 or RSA to encrypt to, Ed25519 to check signatures with."""

    partner_id: str
    name: str
    kind: Kind
    channel: Channel
    encryption_key: Json
    signing_key: Json


@value
class WhichPartner:
    partner_id: str


@value
class PartnerView:
    partner_id: str
    name: str
    kind: Kind
    channel: str
    encryption_key: Json
    signing_key: Json
    version: int


@value
class PartnersQuestion:
    after: str = ""
    limit: int = 50


@value
class PartnerItem:
    partner_id: str
    name: str
    body: str
    domain: str
    channel: str


@value
class PartnerPage:
    items: tuple[PartnerItem, ...]
    next: str | None


@partners.reads("/partners/<partner_id>", "exchange.partner")
def partner(desk: Desk, which: WhichPartner) -> PartnerView:
    """Read a partner."""
    return desk.ask("exchange", "partner", which, PartnerView)


@partners.reads("/partners", "exchange.partners")
def list_partners(desk: Desk, asked: PartnersQuestion) -> PartnerPage:
    """List the partners of the agency."""
    require_limit(asked.limit)
    return desk.ask("exchange", "partners", asked, PartnerPage)


@partners.changes("POST", "/partners", "exchange.register_partner", shows=partner)
def register_partner(desk: Desk, new: NewPartner) -> WhichPartner:
    """Register a partner with its public keys."""
    require_name(new.partner_id, "partner_id")
    require_kind(new.kind.body, new.kind.domain)
    desk.tell("exchange", "register_partner", new)
    return WhichPartner(partner_id=new.partner_id)
