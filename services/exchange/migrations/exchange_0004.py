"""Which consents and releases fell and are to be carried out; which retractions wait for an acknowledgement."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0004"
down_revision = "exchange_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fallen_declaration",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("declaration", sa.String, primary_key=True),
        sa.Column("reason", sa.String, primary_key=True),
        sa.Column("trace", sa.String, nullable=False),
    )
    op.create_table(
        "open_retraction",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("disclosure_id", sa.String, primary_key=True),
        sa.Column("asked_at", sa.String, nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("fallen_declaration")
    op.drop_table("open_retraction")
