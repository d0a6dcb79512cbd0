"""Change, read, follow: the event store on PostgreSQL and SQLite (in memory for tests)."""

from shared.eventstore.bookmarks import Bookmark
from shared.eventstore.projections import Projection, catch_up, erase_person, run_once, standing
from shared.eventstore.rebuilding import rebuild
from shared.eventstore.store import AgencyStore, EventStore, replay
from shared.eventstore.tables import create_all

__all__ = [
    "AgencyStore",
    "Bookmark",
    "EventStore",
    "Projection",
    "catch_up",
    "create_all",
    "erase_person",
    "rebuild",
    "replay",
    "run_once",
    "standing",
]
