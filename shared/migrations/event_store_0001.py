"""The event store: log, bookmarks, inbox, parked messages, keys of persons."""

from alembic import op

from shared.eventstore.tables import create_0001

revision = "event_store_0001"
down_revision = None
branch_labels = ("shared",)
depends_on = None


def upgrade() -> None:
    create_0001(op.get_bind())


def downgrade() -> None:
    """There is no way back: facts are not dropped."""
    message = "the event store is never removed by a migration"
    raise NotImplementedError(message)
