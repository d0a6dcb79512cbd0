"""Who looked at a person's file: one row per person, day, looker and kind of file. For the person's ledger (Art. 15).

Not events: a look changes nothing, and the rows go with the person.
"""

from datetime import datetime

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, delete, select, text

from shared.clock import legal_day, timestamp

metadata = MetaData()

file_view = Table(
    "file_view",
    metadata,
    Column("agency", String, primary_key=True),
    Column("person_id", String, primary_key=True),
    Column("day", String, primary_key=True),
    Column("looked_by", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("last_at", String, nullable=False),
    Column("times", Integer, nullable=False),
)


def note(tx: Connection, agency: str, person_id: str, *, looked_by: str, what: str, now: datetime) -> None:
    """Count one look of `looked_by` at what is named by a token such as `person` or `case`."""
    statement = text(
        "insert into file_view (agency, person_id, day, looked_by, what, last_at, times)"
        " values (:agency, :person, :day, :by, :what, :at, 1)"
        " on conflict (agency, person_id, day, looked_by, what)"
        " do update set times = file_view.times + 1, last_at = excluded.last_at"
    )
    day = legal_day(now).isoformat()
    values = {"agency": agency, "person": person_id, "day": day, "by": looked_by, "what": what, "at": timestamp(now)}
    tx.execute(statement, values)


def forget(tx: Connection, agency: str, person_id: str) -> None:
    tx.execute(delete(file_view).where(file_view.c.agency == agency, file_view.c.person_id == person_id))


def looks(tx: Connection, agency: str, person_id: str, before: str, limit: int) -> list[dict[str, object]]:
    """The newest looks before the mark `before` (empty: all), newest first, each with its mark."""
    mark = (file_view.c.last_at + " look:" + file_view.c.what + ":" + file_view.c.looked_by).label("mark")
    found = select(file_view, mark).where(file_view.c.agency == agency, file_view.c.person_id == person_id)
    if before:
        found = found.where(mark < before)
    rows = tx.execute(found.order_by(mark.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]
