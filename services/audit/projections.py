"""Read model of the audit service: which rulings rest on which consent.

No entry of the log says it, since a pseudonym that returns in other entries stands in none.
"""

from sqlalchemy import Column, Connection, Index, MetaData, String, Table, insert

from services.audit.domain.ruling import RulingMade
from shared.domain import Recorded
from shared.eventstore import Projection

metadata = MetaData()

consent_ruling = Table(
    "consent_ruling",
    metadata,
    Column("agency", String, primary_key=True),
    Column("consent_id", String, primary_key=True),
    Column("disclosure_id", String, primary_key=True),
    Index("consent_ruling_of_disclosure", "agency", "disclosure_id"),
)


def apply(tx: Connection, record: Recorded) -> None:
    if isinstance(record.event, RulingMade):
        rows = [
            {"agency": record.agency, "consent_id": consent, "disclosure_id": record.id}
            for consent in dict.fromkeys(record.event.decided.consents)
        ]
        if rows:
            tx.execute(insert(consent_ruling), rows)


CONSENT_RULINGS = Projection("consent_rulings", metadata, apply)
