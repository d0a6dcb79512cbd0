"""Read models of persons' rights, erasures and breaches; who looked at a file; the day of each entry.

The list of entries is filled anew from the events under a new name, because it learns the days of the old ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "cases_0002"
down_revision = "cases_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("entries_of_person", sa.Column("on", sa.String, nullable=False, server_default=""))
    op.create_table(
        "rights_requests",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("right", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False, index=True),
        sa.Column("due_on", sa.String, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("erasure_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("open", sa.Boolean, nullable=False),
    )
    op.create_table(
        "breaches",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("breach_id", sa.String, primary_key=True),
        sa.Column("aware_at", sa.String, nullable=False),
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
    )


def downgrade() -> None:
    for table in ("file_view", "breaches", "erasures", "rights_requests"):
        op.drop_table(table)
    op.drop_column("entries_of_person", "on")
