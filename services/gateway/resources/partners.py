"""Partners (Partnerstellen): bodies of other legal domains to which the agency may disclose."""

from datetime import date
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
    """Keys are public JWK (RFC 7517): X25519 or RSA to encrypt to, Ed25519 to check signatures with. What only the
    partner's medical service may read is encrypted to `medical_encryption_key`; without one it is not sent. With
    `witness_key`, a C2SP verifier key of type 4, the partner cosigns checkpoints of the log in its acknowledgements.
    """

    partner_id: str
    name: str
    kind: Kind
    channel: Channel
    encryption_key: Json
    signing_key: Json
    medical_encryption_key: Json | None = None
    witness_key: str | None = None


@value
class NewCommitment:
    """The partner undertook to keep purpose and secrecy and has instructed its staff (§ 78 SGB X)."""

    partner_id: str
    on: date
    text_version: str


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
    medical_encryption_key: Json | None
    committed_on: date | None
    commitment_text: str | None
    witness_key: str | None


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


@partners.changes("POST", "/partners/<partner_id>/commitment", "exchange.record_commitment", shows=partner, status=200)
def record_commitment(desk: Desk, new: NewCommitment) -> WhichPartner:
    """Record that a partner committed itself and its staff to purpose and secrecy."""
    desk.tell("exchange", "record_commitment", new)
    return WhichPartner(partner_id=new.partner_id)
