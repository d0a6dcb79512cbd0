"""Until when a document may leave: an emergency has an end."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0002"
down_revision = "exchange_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("partner_queue", sa.Column("until", sa.String))


def downgrade() -> None:
    op.drop_column("partner_queue", "until")
