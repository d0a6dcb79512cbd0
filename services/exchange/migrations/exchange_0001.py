"""Read models of partner exchange, the partners' queues and the drafts."""

import sqlalchemy as sa
from alembic import op

revision = "exchange_0001"
down_revision = None
branch_labels = ("exchange",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partner_list",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("partner_id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("channel", sa.String, nullable=False),
    )
    op.create_table(
        "disclosure_list",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("disclosure_id", sa.String, primary_key=True),
        sa.Column("person_id", sa.String, nullable=False, index=True),
        sa.Column("partner_id", sa.String, nullable=False),
    )
    op.create_table(
        "disclosure_by_log_entry",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("origin", sa.String, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("disclosure_id", sa.String, nullable=False),
    )
    op.create_table(
        "consents_used",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("consent_id", sa.String, primary_key=True),
        sa.Column("disclosure_id", sa.String, primary_key=True),
    )
    op.create_table(
        "partner_queue",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("agency", sa.String, nullable=False),
        sa.Column("partner_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("disclosure_id", sa.String, nullable=False),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("consents", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("sequence", sa.Integer),
        sa.Column("queued_at", sa.String, nullable=False),
        sa.UniqueConstraint("agency", "partner_id", "kind", "disclosure_id"),
    )
    op.create_index("partner_queue_due", "partner_queue", ["state", "channel"])
    op.create_index("partner_queue_feed", "partner_queue", ["agency", "partner_id", "sequence"])
    op.create_table(
        "partner_counter",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("partner_id", sa.String, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )
    op.create_table(
        "draft",
        sa.Column("agency", sa.String, primary_key=True),
        sa.Column("disclosure_id", sa.String, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("made_at", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("draft", "partner_counter", "partner_queue", "consents_used", "disclosure_by_log_entry"):
        op.drop_table(table)
    op.drop_table("disclosure_list")
    op.drop_table("partner_list")
