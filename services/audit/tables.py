"""The tables of the audit log, the same in SQLite and PostgreSQL.

`leaf`, `node`, `checkpoint` and `cosignature` are what is proved: nobody changes or deletes them, and triggers
refuse it. On PostgreSQL no service role has the right to either; on SQLite the triggers are all there is, so
whoever holds the file can rewrite it. That shows against any checkpoint kept elsewhere: the kept head, a partner,
a witness.

`entry`, `subject` and `opening` are what may be forgotten: the bytes of an entry, which person it concerns,
and the keys (with a few values) of its commitments. Without them every proof of position and count still
holds.

What is due is deleted through a door and by nobody else: a row of `retention_door` says which log, which kind of entry
and up to when, and the triggers let exactly that pass. On PostgreSQL only the role `handschlag_retention` may open the
door, and a trigger holds it against the periods in `retention_period`, which only the owner writes.
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

from services.audit import guards
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

cosignature = Table(
    "cosignature",
    metadata,
    Column("log", String),
    Column("size", BigInteger),
    Column("witness", String),
    Column("at", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    PrimaryKeyConstraint("log", "size", "witness"),
)
"""What witnesses signed below a checkpoint: `witness` is the verifier key, `at` the Unix time that was signed."""

witness_trouble = Table(
    "witness_trouble",
    metadata,
    Column("log", String),
    Column("witness", String),
    Column("code", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("since", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    PrimaryKeyConstraint("log", "witness"),
)
"""Why a witness that was asked has not cosigned. For information: no disclosure waits for a witness."""

entry_key = Table(
    "entry_key",
    metadata,
    Column("agency", String),
    Column("key", String),
    Column("log", String, nullable=False),
    Column("idx", BigInteger, nullable=False),
    PrimaryKeyConstraint("agency", "key"),
    Index("entry_key_place", "log", "idx"),
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

retention_period = Table(
    "retention_period",
    metadata,
    Column("what", String),
    Column("kind", String),
    Column("token", String),
    Column("days", Integer, nullable=False),
    PrimaryKeyConstraint("what", "kind", "token"),
)
"""The shortest time that anything must have stood before it may go; drawn from `contracts/law/retention.yaml`."""

retention_door = Table(
    "retention_door",
    metadata,
    Column("log", String),
    Column("what", String),
    Column("kind", String),
    Column("token", String, server_default=""),
    Column("before", String, nullable=False),
    PrimaryKeyConstraint("log", "what", "kind", "token"),
)
"""Open within one transaction: entries of this log and kind, of a time before `before`, may be deleted."""

retention_mark = Table(
    "retention_mark",
    metadata,
    Column("log", String),
    Column("rule", String),
    Column("idx", BigInteger, nullable=False),
    PrimaryKeyConstraint("log", "rule"),
)
"""Up to where a rule of the schedule has been carried out in a log."""

erasure = Table(
    "erasure",
    metadata,
    Column("id", String, primary_key=True),
    Column("agency", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("details", Text, nullable=False),
    Column("at", String, nullable=False),
)
"""What was deleted and is still to be logged; written in the transaction of the deletion."""

dropped_log = Table(
    "dropped_log",
    metadata,
    Column("log", String, primary_key=True),
    Column("agency", String, nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", String, nullable=False),
)
"""Whole years that are gone, with their last checkpoint: the year that follows names it."""

finding = Table(
    "finding",
    metadata,
    Column("agency", String),
    Column("source", String),
    Column("log", String),
    Column("code", String),
    Column("place", String),
    Column("since", String, nullable=False),
    PrimaryKeyConstraint("agency", "source", "log", "code", "place"),
)
"""What the checks that run by themselves have found and still find. `place` is an index, or where else to look."""

check_run = Table(
    "check_run",
    metadata,
    Column("agency", String),
    Column("source", String),
    Column("at", String, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("agency", "source"),
)
"""When each check last came to its end, and how many things it looked at."""

entry_term = Table(
    "entry_term",
    metadata,
    Column("log", String),
    Column("idx", BigInteger),
    Column("term", String),
    Column("agency", String, nullable=False),
    Column("at", String, nullable=False),
    PrimaryKeyConstraint("log", "idx", "term"),
    Index("entry_term_found", "agency", "term", "at", "log", "idx"),
    sqlite_with_rowid=False,
)
"""What entries say, to be searched: drawn from their bytes by `search.py`, gone with them, free to be thrown away."""

search_mark = Table(
    "search_mark",
    metadata,
    Column("log", String, primary_key=True),
    Column("upto", BigInteger, nullable=False),
    Column("deleted", BigInteger, nullable=False),
)
"""Up to which index a log can be searched, and how many entries below have no bytes any more."""

rule_set = Table(
    "rule_set",
    metadata,
    Column("hash", String, primary_key=True),
    Column("content", Text, nullable=False),
)
"""The rules that decided, as canonical JSON under the hash that stands in the entries."""


def create(database: Database) -> None:
    """Everything, if it is not there yet. Calling it again changes nothing."""
    with database.write() as tx:
        install(tx)


triggers = guards.triggers


def install(tx: Connection) -> None:
    """Tables and triggers in the transaction of the caller, which may be a migration."""
    metadata.create_all(tx)
    for statement in triggers(tx.dialect.name):
        tx.exec_driver_sql(statement)
