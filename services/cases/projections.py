"""Read models of case management: which entries and cases a person has, and what is to be done for persons' rights."""

from sqlalchemy import Boolean, Column, Connection, Delete, MetaData, String, Table, delete, insert, update

from services.cases.domain.breach import BreachRecorded
from services.cases.domain.case import CaseHandedOver, CaseOpened
from services.cases.domain.erasure import CaseDataErased, ErasureCompleted, ErasureOrdered
from services.cases.domain.file_entry import EntryContested, EntryRecorded, EntryRectified
from services.cases.domain.person import PersonContested, PersonRectified, PersonRegistered
from services.cases.domain.rights_request import RequestAssigned, RequestExtended, RightAnswered, RightRequested
from shared.clock import timestamp
from shared.domain import Recorded
from shared.eventstore import Projection
from shared.last_days import LastDays

metadata = MetaData()

entries_of_person = Table(
    "entries_of_person",
    metadata,
    Column("agency", String, primary_key=True),
    Column("entry_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("category", String, nullable=False),
    Column("on", String, nullable=False),
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
        case EntryRecorded(person_id=person_id, category=category, on=on):
            tx.execute(_delete(entries_of_person, record.agency, record.id))
            row = {"entry_id": record.id, "person_id": person_id, "category": category, "on": on.isoformat()}
            tx.execute(insert(entries_of_person).values(agency=record.agency, **row))
        case CaseDataErased(person_id=person_id):
            forget_files(tx, record.agency, person_id)


def forget_files(tx: Connection, agency: str, person_id: str) -> None:
    """Nothing leads from the person to a file any more."""
    for table in (entries_of_person, case_list):
        tx.execute(delete(table).where(table.c.agency == agency, table.c.person_id == person_id))


def _delete(table: Table, agency: str, key: str) -> Delete:
    return delete(table).where(table.c.agency == agency, list(table.primary_key.columns)[1] == key)


FILES = Projection("case_files", metadata, files)

rights_metadata = MetaData()

rights_requests = Table(
    "rights_requests",
    rights_metadata,
    Column("agency", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("right", String, nullable=False),
    Column("owner", String, nullable=False, index=True),
    Column("due_on", String, nullable=False),
    Column("open", Boolean, nullable=False),
)

erasures = Table(
    "erasures",
    rights_metadata,
    Column("agency", String, primary_key=True),
    Column("erasure_id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("open", Boolean, nullable=False),
)

breaches = Table(
    "breaches",
    rights_metadata,
    Column("agency", String, primary_key=True),
    Column("breach_id", String, primary_key=True),
    Column("aware_at", String, nullable=False),
)


def rights(tx: Connection, record: Recorded) -> None:
    """One row per request, erasure and breach, with what is asked of lists; the rest is in the events."""
    agency, key = record.agency, record.id
    match record.event:
        case RightRequested(person_id=person_id, right=right, owner=owner, due_on=due_on):
            row = {"person_id": person_id, "right": right.value, "owner": owner, "due_on": due_on.isoformat()}
            tx.execute(_delete(rights_requests, agency, key))
            tx.execute(insert(rights_requests).values(agency=agency, request_id=key, open=True, **row))
        case RequestAssigned(owner=owner):
            _set(tx, rights_requests, agency, key, owner=owner)
        case RequestExtended(due_on=due_on):
            _set(tx, rights_requests, agency, key, due_on=due_on.isoformat())
        case RightAnswered():
            _set(tx, rights_requests, agency, key, open=False)
        case ErasureOrdered(person_id=person_id):
            tx.execute(_delete(erasures, agency, key))
            tx.execute(insert(erasures).values(agency=agency, erasure_id=key, person_id=person_id, open=True))
        case ErasureCompleted():
            _set(tx, erasures, agency, key, open=False)
        case BreachRecorded(aware_at=aware_at):
            tx.execute(_delete(breaches, agency, key))
            tx.execute(insert(breaches).values(agency=agency, breach_id=key, aware_at=timestamp(aware_at)))


def _set(tx: Connection, table: Table, agency: str, key: str, **values: str | bool) -> None:
    same = (table.c.agency == agency) & (list(table.primary_key.columns)[1] == key)
    tx.execute(update(table).where(same).values(**values))


RIGHTS = Projection("rights", rights_metadata, rights)

ACTIVITY = LastDays(
    "last_activity",
    counted=(
        PersonRegistered,
        PersonRectified,
        PersonContested,
        CaseOpened,
        EntryRecorded,
        EntryRectified,
        EntryContested,
        RightRequested,
        RightAnswered,
    ),
    erased=CaseDataErased,
)
"""The last day on which anything was recorded, rectified, asked or answered about a person."""
