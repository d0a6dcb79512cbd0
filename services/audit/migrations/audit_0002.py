"""Cosignatures of witnesses, and what kept a witness from cosigning."""

from alembic import op

from services.audit.tables import cosignature, triggers, witness_trouble

revision = "audit_0002"
down_revision = "audit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    for table in (cosignature, witness_trouble):
        table.create(connection, checkfirst=True)
    for statement in triggers(connection.dialect.name):
        if statement.startswith("CREATE OR REPLACE FUNCTION") or "cosignature_no_" in statement:
            connection.exec_driver_sql(statement)


def downgrade() -> None:
    message = "the audit log is not taken down by a migration"
    raise RuntimeError(message)
