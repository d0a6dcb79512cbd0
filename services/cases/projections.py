"""Read models of case management: which entries and cases a person has."""

from sqlalchemy import Column, Connection, Delete, MetaData, String, Table, delete, insert, update

from services.cases.domain.case import CaseHandedOver, CaseOpened
from services.cases.domain.file_entry import EntryRecorded
from shared.domain import Recorded
from shared.eventstore import Projection

metadata = MetaData()

entries_of_person = Table(
    "entries_of_person",
    metadata,
    Column("agency", String, primary_key=True),
    Column("entry_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("category", String, nullable=False),
)

case_list = Table(
    "case_list",
    metadata,
    Column("agency", String, primary_key=True),
    Column("case_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("main_companion", String, nullable=False, index=True),
)


def files(tx: Connection, record: Recorded) -> None:
    """One row per case with its present companion, and one per entry with its category; no content."""
    match record.event:
        case CaseOpened(person_id=person_id, main_companion=companion):
            tx.execute(_delete(case_list, record.agency, record.id))
            row = {"case_id": record.id, "person_id": person_id, "main_companion": companion}
            tx.execute(insert(case_list).values(agency=record.agency, **row))
        case CaseHandedOver(main_companion=companion):
            here = (case_list.c.agency == record.agency) & (case_list.c.case_id == record.id)
            tx.execute(update(case_list).where(here).values(main_companion=companion))
        case EntryRecorded(person_id=person_id, category=category):
            tx.execute(_delete(entries_of_person, record.agency, record.id))
            row = {"entry_id": record.id, "person_id": person_id, "category": category}
            tx.execute(insert(entries_of_person).values(agency=record.agency, **row))


def _delete(table: Table, agency: str, key: str) -> Delete:
    return delete(table).where(table.c.agency == agency, list(table.primary_key.columns)[1] == key)


FILES = Projection("files", metadata, files)
