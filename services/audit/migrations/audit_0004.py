"""Retention by a role of its own, findings, and who was erased: what is due may go, and nothing else."""

from alembic import op

from services.audit.tables import install

revision = "audit_0004"
down_revision = "audit_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    install(connection)
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS entry_key_place ON entry_key (log, idx)")


def downgrade() -> None:
    message = "the audit log is not taken down by a migration"
    raise RuntimeError(message)
