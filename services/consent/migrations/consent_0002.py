"""The register keeps the dated facts of each declaration, and the days on which something has to be written down.

Filled from the start of the log under a new bookmark; the old table only told where to look.
"""

import sqlalchemy as sa
from alembic import op

revision = "consent_0002"
down_revision = "consent_0001"
branch_labels = None
depends_on = "event_store_0001"


def upgrade() -> None:
    op.create_table(
        "declaration",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False),
        sa.Column("recipient", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.Column("said_at", sa.BigInteger, nullable=False),
        sa.Column("said_no", sa.Boolean, nullable=False),
        sa.Column("over_on", sa.Date),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("course", sa.Text, nullable=False),
    )
    op.create_index("declaration_of_person", "declaration", ["agency", "person_id", "kind", "recipient", "purpose"])
    op.create_table(
        "calendar",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("consent_id", sa.String, primary_key=True),
        sa.Column("what", sa.String, primary_key=True),
        sa.Column("on", sa.Date, nullable=False, index=True),
    )
    op.drop_table("will_of_person")
    op.execute("delete from bookmarks where name = 'register'")


def downgrade() -> None:
    op.drop_table("calendar")
    op.drop_table("declaration")
    op.create_table(
        "will_of_person",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("recipient", sa.String, nullable=False),
    )
    op.execute("delete from bookmarks where name = 'declarations'")
