"""Read model of data protection: which consents and releases name which person and partner."""

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert

from services.consent.domain.consent import ConsentGiven, ConsentRefused
from services.consent.domain.release_from_secrecy import ReleaseGiven
from shared.domain import Recorded
from shared.eventstore import Projection

metadata = MetaData()

will_of_person = Table(
    "will_of_person",
    metadata,
    Column("agency", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("recipient", String, nullable=False),
)


def register(tx: Connection, record: Recorded) -> None:
    """One row per consent, refusal or release; whether it stands is asked of the events, not of this table."""
    match record.event:
        case ConsentGiven(terms=terms) | ConsentRefused(terms=terms):
            person_id, recipient = terms.person_id, terms.recipient
        case ReleaseGiven():
            person_id, recipient = record.event.person_id, record.event.recipient
        case _:
            return
    table = will_of_person
    row = {"agency": record.agency, "kind": record.category, "id": record.id}
    same = [table.c[name] == found for name, found in row.items()]
    tx.execute(delete(table).where(*same))
    tx.execute(insert(table).values(**row, person_id=person_id, recipient=recipient))


REGISTER = Projection("register", metadata, register)
