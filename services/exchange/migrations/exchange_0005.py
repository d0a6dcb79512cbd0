"""The trace waits with the document; a document is found by its disclosure."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0005"
down_revision = "exchange_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("partner_queue", sa.Column("trace", sa.String, nullable=False, server_default=""))
    op.create_index("partner_queue_disclosure", "partner_queue", ["agency", "disclosure_id"])


def downgrade() -> None:
    op.drop_index("partner_queue_disclosure", "partner_queue")
    op.drop_column("partner_queue", "trace")
