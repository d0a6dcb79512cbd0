"""Change, read, follow: the event store on PostgreSQL and SQLite (in memory for tests)."""

from shared.eventstore.bookmarks import Bookmark
from shared.eventstore.projections import Projection, catch_up, rebuild, run_once
from shared.eventstore.store import AgencyStore, EventStore, replay
from shared.eventstore.tables import create_all

__all__ = [
    "AgencyStore",
    "Bookmark",
    "EventStore",
    "Projection",
    "catch_up",
    "create_all",
    "rebuild",
    "replay",
    "run_once",
]
