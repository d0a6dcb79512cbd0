"""The tables of the audit log, the same in SQLite and PostgreSQL.

`leaf`, `node` and `checkpoint` are what is proved: nobody changes or deletes them, and triggers refuse it. On
PostgreSQL no service role has the right to either; on SQLite the triggers are all there is, so whoever holds
the file can rewrite it. That shows against any checkpoint kept elsewhere: the kept head, a partner, a
witness.

`entry`, `subject` and `opening` are what may be forgotten: the bytes of an entry, which person it concerns,
and the keys (with a few values) of its commitments. Without them every proof of position and count still
holds.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from shared.database import Database

metadata = MetaData()

_counter = BigInteger().with_variant(Integer, "sqlite")

pending = Table(
    "pending",
    metadata,
    Column("id", _counter, primary_key=True, autoincrement=True),
    Column("agency", String, nullable=False),
    Column("key", String, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    Column("person", String),
    Column("openings", Text, nullable=False),
    UniqueConstraint("agency", "key"),
)
"""Entries of processes that do not sequence themselves, until the sequencer takes them."""

head = Table(
    "head",
    metadata,
    Column("log", String, primary_key=True),
    Column("agency", String, nullable=False, index=True),
    Column("year", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)
"""One row a log: how many leaves it has, and the right edge of its tree. `idx` of a new leaf is this size."""

leaf = Table(
    "leaf",
    metadata,
    Column("log", String),
    Column("idx", BigInteger),
    Column("leaf_hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("log", "idx"),
)

node = Table(
    "node",
    metadata,
    Column("log", String),
    Column("level", Integer),
    Column("idx", BigInteger),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("log", "level", "idx"),
)
"""Complete subtrees from level 1; those of level 0 are the leaves."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("log", String),
    Column("size", BigInteger),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("log", "size"),
)

entry_key = Table(
    "entry_key",
    metadata,
    Column("agency", String),
    Column("key", String),
    Column("log", String, nullable=False),
    Column("idx", BigInteger, nullable=False),
    PrimaryKeyConstraint("agency", "key"),
)
"""Which entry a caller's key led to: what is sent twice is logged once."""

entry = Table(
    "entry",
    metadata,
    Column("log", String),
    Column("idx", BigInteger),
    Column("bytes", LargeBinary, nullable=False),
    Column("kind", String, nullable=False),
    Column("about_log", String),
    Column("about_idx", BigInteger),
    Column("at", String, nullable=False),
    PrimaryKeyConstraint("log", "idx"),
    Index("entry_about", "about_log", "about_idx"),
    Index("entry_kind", "log", "kind", "at"),
)

subject = Table(
    "subject",
    metadata,
    Column("log", String),
    Column("idx", BigInteger),
    Column("agency", String, nullable=False),
    Column("person", String, nullable=False),
    PrimaryKeyConstraint("log", "idx"),
    Index("subject_person", "agency", "person"),
)

opening = Table(
    "opening",
    metadata,
    Column("log", String),
    Column("idx", BigInteger),
    Column("field", String),
    Column("key", LargeBinary, nullable=False),
    Column("value", Text),
    PrimaryKeyConstraint("log", "idx", "field"),
)

_NEVER = {
    "leaf": ("UPDATE", "DELETE"),
    "node": ("UPDATE", "DELETE"),
    "checkpoint": ("UPDATE", "DELETE"),
    "head": ("DELETE",),
    "entry": ("UPDATE",),
}


def create(database: Database) -> None:
    """Everything, if it is not there yet. Calling it again changes nothing."""
    with database.write() as tx:
        install(tx)


def install(tx: Connection) -> None:
    """Tables and triggers in the transaction of the caller, which may be a migration."""
    metadata.create_all(tx)
    for statement in triggers(tx.dialect.name):
        tx.exec_driver_sql(statement)


def triggers(dialect: str) -> list[str]:
    return _sqlite_triggers() if dialect == "sqlite" else _postgresql_triggers()


def _sqlite_triggers() -> list[str]:
    refusals = [
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
        for table, changes in _NEVER.items()
        for change in changes
    ]
    grows = (
        "CREATE TRIGGER IF NOT EXISTS head_only_grows BEFORE UPDATE ON head "
        "WHEN NEW.size < OLD.size OR NEW.log <> OLD.log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
    )
    return [*refusals, grows]


def _postgresql_triggers() -> list[str]:
    refuse = (
        "CREATE OR REPLACE FUNCTION audit_log_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$"
    )
    refusals = [
        f"CREATE OR REPLACE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
        f"FOR EACH {'STATEMENT' if change == 'TRUNCATE' else 'ROW'} EXECUTE FUNCTION audit_log_only_grows()"
        for table, changes in _NEVER.items()
        for change in (*changes, *(["TRUNCATE"] if "DELETE" in changes else []))
    ]
    grows = (
        "CREATE OR REPLACE TRIGGER head_only_grows BEFORE UPDATE ON head FOR EACH ROW "
        "WHEN (NEW.size < OLD.size OR NEW.log <> OLD.log) EXECUTE FUNCTION audit_log_only_grows()"
    )
    return [refuse, *refusals, grows]
