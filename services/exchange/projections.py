"""Read models of partner exchange: partners, disclosures by person, by log entry and by consent."""

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, delete, insert, select

from services.exchange.domain.disclosure import (
    DisclosurePermitted,
    DisclosureRequested,
    DisclosureRetracted,
    RecipientNotified,
    RetractionAcknowledged,
)
from services.exchange.domain.erasure import ExchangeDataErased
from services.exchange.domain.partner import PartnerRegistered
from shared.clock import timestamp
from shared.domain import Json, Recorded
from shared.eventstore import Projection

metadata = MetaData()

partner_list = Table(
    "partner_list",
    metadata,
    Column("agency", String, primary_key=True),
    Column("partner_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("body", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("channel", String, nullable=False),
)

disclosure_list = Table(
    "disclosure_list",
    metadata,
    Column("agency", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("partner_id", String, nullable=False),
)

log_entries = Table(
    "disclosure_by_log_entry",
    metadata,
    Column("agency", String, primary_key=True),
    Column("origin", String, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("disclosure_id", String, nullable=False),
)

consents_used = Table(
    "consents_used",
    metadata,
    Column("agency", String, primary_key=True),
    Column("consent_id", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
)


def directory(tx: Connection, record: Recorded) -> None:
    """Where to find a partner or a disclosure; how it stands is asked of its events."""
    agency: Json = {"agency": record.agency}
    match record.event:
        case PartnerRegistered(name=name, kind=kind, channel=channel):
            key = {**agency, "partner_id": record.id}
            shown = {"name": name, "body": kind.body, "domain": kind.domain, "channel": channel.value}
            _put(tx, partner_list, key, shown)
        case DisclosureRequested(person_id=person_id, partner_id=partner_id):
            key = {**agency, "disclosure_id": record.id}
            _put(tx, disclosure_list, key, {"person_id": person_id, "partner_id": partner_id})
        case DisclosurePermitted(ruling=ruling):
            entry = {**agency, "origin": ruling.origin, "index": ruling.index}
            _put(tx, log_entries, entry, {"disclosure_id": record.id})
            for consent_id in ruling.consents:
                _put(tx, consents_used, {**agency, "consent_id": consent_id, "disclosure_id": record.id}, {})
        case DisclosureRetracted(entry=place):
            entry = {**agency, "origin": place.origin, "index": place.index}
            _put(tx, log_entries, entry, {"disclosure_id": record.id})
        case RecipientNotified(entry=place):
            entry = {**agency, "origin": place.origin, "index": place.index}
            _put(tx, log_entries, entry, {"disclosure_id": record.id})
        case ExchangeDataErased(person_id=person_id):
            forget(tx, record.agency, person_id)


def of_person(tx: Connection, agency: str, person_id: str) -> list[str]:
    """The disclosures of a person's data, in the order of their ids."""
    table = disclosure_list
    here = (table.c.agency == agency) & (table.c.person_id == person_id)
    return list(tx.execute(select(table.c.disclosure_id).where(here).order_by(table.c.disclosure_id)).scalars())


def forget(tx: Connection, agency: str, person_id: str) -> None:
    """Nothing leads from the person to a disclosure any more; from an entry of the log it still does, so that partners
    can confirm notices.
    """
    mine = disclosure_list.c.agency == agency, disclosure_list.c.person_id == person_id
    ids = select(disclosure_list.c.disclosure_id).where(*mine)
    used = consents_used.c.agency == agency, consents_used.c.disclosure_id.in_(ids)
    tx.execute(delete(consents_used).where(*used))
    tx.execute(delete(disclosure_list).where(*mine))


open_retractions = MetaData()

open_retraction = Table(
    "open_retraction",
    open_retractions,
    Column("agency", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
    Column("asked_at", String, nullable=False, index=True),
)


def unanswered(tx: Connection, record: Recorded) -> None:
    """The retractions that no partner has confirmed yet."""
    key: Json = {"agency": record.agency, "disclosure_id": record.id}
    match record.event:
        case DisclosureRetracted(at=at):
            _put(tx, open_retraction, key, {"asked_at": timestamp(at)})
        case RetractionAcknowledged():
            table = open_retraction
            mine = (table.c.agency == record.agency) & (table.c.disclosure_id == record.id)
            tx.execute(delete(table).where(mine))


def _put(tx: Connection, table: Table, key: Json, shown: Json) -> None:
    tx.execute(delete(table).where(*(table.c[name] == found for name, found in key.items())))
    tx.execute(insert(table).values(**key, **shown))


DIRECTORY = Projection("directory", metadata, directory)
UNANSWERED = Projection("open_retractions", open_retractions, unanswered)
