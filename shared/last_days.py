"""Read model: the last day on which anything was noted about each person. For whoever must know whose files are old."""

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert

from shared.clock import legal_day
from shared.domain import Event, Recorded
from shared.eventstore import Projection


class LastDays:
    """One row per person, written by the events `counted`; the event `erased` takes it away.

    All of them name their person as `person_id`.
    """

    def __init__(self, name: str, counted: tuple[type[Event], ...], erased: type[Event]) -> None:
        tables = MetaData()
        self.table = Table(
            name,
            tables,
            Column("agency", String, primary_key=True),
            Column("person_id", String, primary_key=True),
            Column("last_on", String, nullable=False, index=True),
        )
        self.projection = Projection(name, tables, self._note)
        self._counted = counted
        self._erased = erased

    def forget(self, tx: Connection, agency: str, person_id: str) -> None:
        """Nothing says any more that there was something about this person."""
        here = (self.table.c.agency == agency) & (self.table.c.person_id == person_id)
        tx.execute(delete(self.table).where(here))

    def _note(self, tx: Connection, record: Recorded) -> None:
        event = record.event
        if not isinstance(event, (*self._counted, self._erased)):
            return
        person_id = event.person_id  # type: ignore[attr-defined]
        self.forget(tx, record.agency, person_id)
        if isinstance(event, self._counted):
            row = {"person_id": person_id, "last_on": legal_day(record.recorded_at).isoformat()}
            tx.execute(insert(self.table).values(agency=record.agency, **row))
