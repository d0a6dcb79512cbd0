"""A read model that counts the events of each stream, and a process that rebuilds it until it is killed.

python -m tests.support.counted URL FOLDER
"""

import sys
import time
from pathlib import Path

import sqlalchemy as sa

from shared.domain import Recorded
from shared.eventstore import EventStore, Projection, rebuild, rebuilding, run_once
from tests.support.notebook import Notebook, NotebookOpened
from tests.support.stores import Place

counts = sa.Table(
    "notebook_counts",
    sa.MetaData(),
    sa.Column("agency", sa.String, primary_key=True),
    sa.Column("stream", sa.String, primary_key=True),
    sa.Column("events", sa.Integer, nullable=False, index=True),
)
MORE = sa.text(
    "insert into notebook_counts (agency, stream, events) values (:agency, :stream, 1)"
    " on conflict (agency, stream) do update set events = notebook_counts.events + 1"
)


def count(tx: sa.Connection, record: Recorded) -> None:
    tx.execute(MORE, {"agency": record.agency, "stream": record.stream})


COUNTED = Projection("counted", counts.metadata, count)


def counts_of(store: EventStore) -> dict[str, int]:
    """What the read model says."""
    with store.database.read() as tx:
        return {row.stream: row.events for row in tx.execute(sa.select(counts))}


def counts_in_the_log(store: EventStore) -> dict[str, int]:
    """What the log says."""
    with store.database.read() as tx:
        found = tx.execute(sa.text("select stream, count(*) as events from events group by stream"))
        return {row.stream: row.events for row in found}


def seed(store: EventStore, streams: int) -> None:
    """So many streams of a hundred events, and the read model filled."""
    events = [NotebookOpened(title="x")] * 100
    for number in range(streams):
        store.agency("jobcenter").change(Notebook, f"seed-{number}", lambda _: events, command_id="c")
    while run_once(store, COUNTED):
        pass


def main() -> None:
    """Rebuild in small pages and say so after each."""
    rebuilding.PAGE = 50
    place = Place(sys.argv[1], Path(sys.argv[2]))
    database = place.database()

    def tell(position: int, end: int) -> None:
        print(position, end, flush=True)
        time.sleep(0.01)

    rebuild(place.store(database), COUNTED, tell)
    database.close()


if __name__ == "__main__":
    main()
