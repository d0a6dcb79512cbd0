"""Who looked at an assessment; the day of the newest record of each person."""

import sqlalchemy as sa
from alembic import op

revision = "health_0002"
down_revision = "health_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "newest_record",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, primary_key=True),
        sa.Column("last_on", sa.String, nullable=False, index=True),
    )
    op.create_table(
        "file_view",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, primary_key=True),
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("looked_by", sa.String, primary_key=True),
        sa.Column("what", sa.String, primary_key=True),
        sa.Column("last_at", sa.String, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("automatic", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("file_view")
    op.drop_table("newest_record")
