"""Read models of case management: entries by person, cases by person and companion."""

import sqlalchemy as sa
from alembic import op

revision = "cases_0001"
down_revision = None
branch_labels = ("cases",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entries_of_person",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("entry_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("category", sa.String, nullable=False),
    )
    op.create_table(
        "case_list",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("case_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("main_companion", sa.String, nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("case_list")
    op.drop_table("entries_of_person")
