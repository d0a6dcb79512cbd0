"""The event store: snapshots, and the event a bookmark stands at."""

from alembic import op

from shared.eventstore import ddl_0003

revision = "event_store_0003"
down_revision = "event_store_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ddl_0003.change(op.get_bind())


def downgrade() -> None:
    """There is no way back: facts are not dropped."""
    message = "the event store is never changed back by a migration"
    raise NotImplementedError(message)
