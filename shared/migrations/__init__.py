"""Alembic branch of the event store, the same in every database: log, bookmarks, inbox, parked messages, keys."""
