"""The last day on which anything happened with a person's files; whether a program looked by itself."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0003"
down_revision = "cases_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "last_activity",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, primary_key=True),
        sa.Column("last_on", sa.String, nullable=False, index=True),
    )
    op.add_column("file_view", sa.Column("automatic", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("file_view", "automatic")
    op.drop_table("last_activity")
