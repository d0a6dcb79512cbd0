"""The person's ledger."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0003"
down_revision = "exchange_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("disclosure_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("partner_id", sa.String, nullable=False),
        sa.Column("visible_from", sa.String),
        sa.Column("told", sa.Text, nullable=False),
    )
    op.create_index("ledger_of_person", "ledger", ["agency", "person_id", "mark"])


def downgrade() -> None:
    op.drop_table("ledger")
