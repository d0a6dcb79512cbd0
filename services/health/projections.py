"""Read models of health: which assessments and findings exist about a person, and since when nothing was added, without
what they say.
"""

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert

from services.health.domain.assessment import AssessmentContested, AssessmentRecorded
from services.health.domain.erasure import HealthDataErased
from services.health.domain.finding import FindingContested, FindingRecorded, FindingRectified
from shared.domain import Recorded
from shared.eventstore import Projection
from shared.last_days import LastDays

metadata = MetaData()

health_files = Table(
    "health_files",
    metadata,
    Column("agency", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("id", String, nullable=False),
    Column("person_id", String, nullable=False, index=True),
    Column("category", String, nullable=False),
)


def files(tx: Connection, record: Recorded) -> None:
    """One row per record with its category; an assessment by the person's own answers is `health_data`."""
    match record.event:
        case AssessmentRecorded(person_id=person_id):
            category = "health_data"
        case FindingRecorded(person_id=person_id, category=category):
            pass
        case HealthDataErased(person_id=person_id):
            forget(tx, record.agency, person_id)
            return
        case _:
            return
    table = health_files
    here = (table.c.agency == record.agency) & (table.c.stream == record.stream)
    row = {"id": record.id, "person_id": person_id, "category": category}
    tx.execute(delete(table).where(here))
    tx.execute(insert(table).values(agency=record.agency, stream=record.stream, **row))


def forget(tx: Connection, agency: str, person_id: str) -> None:
    """Nothing leads from the person to a record any more."""
    table = health_files
    tx.execute(delete(table).where(table.c.agency == agency, table.c.person_id == person_id))


FILES = Projection("health_files", metadata, files)

NEWEST = LastDays(
    "newest_record",
    counted=(AssessmentRecorded, AssessmentContested, FindingRecorded, FindingRectified, FindingContested),
    erased=HealthDataErased,
)
"""The last day on which anything was recorded or corrected about a person."""
