"""What is searched: terms of entries, how far they are drawn, rules by hash, and which ruling rests on a consent.

The terms of entries that stand already are drawn by the service while it runs (`search.py`), not here: a log of years
would hold up the start. Until that is done each answer says how many entries it could not see.
"""

from alembic import op

from services.audit.projections import metadata
from services.audit.tables import install

revision = "audit_0003"
down_revision = "audit_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    install(connection)
    metadata.create_all(connection)


def downgrade() -> None:
    message = "the audit log is not taken down by a migration"
    raise RuntimeError(message)
