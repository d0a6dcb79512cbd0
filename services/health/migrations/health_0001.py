"""Read model of health: assessments and findings by person."""

import sqlalchemy as sa
from alembic import op

revision = "health_0001"
down_revision = None
branch_labels = ("health",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_files",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("stream", sa.String, primary_key=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("category", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("health_files")
