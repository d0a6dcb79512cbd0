"""Read model of data protection: consents, refusals and releases by person."""

import sqlalchemy as sa
from alembic import op

revision = "consent_0001"
down_revision = None
branch_labels = ("consent",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "will_of_person",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("recipient", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("will_of_person")
