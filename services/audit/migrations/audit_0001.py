"""Tables, triggers and rights of the audit log. What they are is frozen in `services/audit/tables.py`."""

from alembic import op

from services.audit.tables import install

revision = "audit_0001"
down_revision = None
branch_labels = ("audit",)
depends_on = None


def upgrade() -> None:
    install(op.get_bind())


def downgrade() -> None:
    message = "the audit log is not taken down by a migration"
    raise RuntimeError(message)
