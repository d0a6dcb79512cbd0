"""Makes the tables of the event store without alembic: for tests, and for databases in memory."""

from sqlalchemy import Connection

from shared.database import Database
from shared.eventstore import ddl, ddl_0002, ddl_0003


def create_all(database: Database) -> None:
    """All tables of the event store as the newest revision has them. None of them may be there yet."""
    with database.write() as tx:
        create_0001(tx)
        ddl_0002.change(tx)
        ddl_0003.change(tx)


def create_0001(tx: Connection) -> None:
    """What revision `event_store_0001` makes; the migration calls this, so that the two cannot differ."""
    for statement in ddl.statements("sqlite" if tx.dialect.name == "sqlite" else "postgresql"):
        tx.exec_driver_sql(statement)
