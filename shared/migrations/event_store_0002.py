"""The event store: an inbox that forgets by day, marks of its sources, versions of read models."""

from alembic import op

from shared.eventstore import ddl_0002

revision = "event_store_0002"
down_revision = "event_store_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ddl_0002.change(op.get_bind())


def downgrade() -> None:
    """There is no way back: facts are not dropped."""
    message = "the event store is never changed back by a migration"
    raise NotImplementedError(message)
