"""What revision 0002 changes: the inbox forgets by day, read models have versions. Frozen: a change is a new revision.

A note of the inbox lies in the slot of the day on which its message was made, a ring of 40 days; slot 40 holds what
tells no day. On PostgreSQL every slot is a partition, so that a day is emptied by one `truncate` and nobody ever has
to make tomorrow's. `inbox_marks` and `inbox_emptied` say what came before the notes that are still there.
"""

from typing import Any

from sqlalchemy import Connection

from shared.eventstore.inbox import slot_of

_INBOX = """
create table inbox (
    consumer text not null,
    message_id text not null,
    slot smallint not null,
    primary key (slot, consumer, message_id)
)"""

_BOTH = """
create table inbox_marks (
    consumer text not null,
    source text not null,
    position bigint not null,
    primary key (consumer, source)
)

create table inbox_emptied (
    only_row smallint primary key check (only_row = 1),
    before_day integer not null
)

create index parked_by_place on parked (consumer, stream, number)

drop index parked_by_stream

drop index parked_by_time

create table projections (
    name text primary key,
    version integer not null,
    rebuilding integer
)
"""


def change(tx: Connection) -> None:
    """Make the tables; what the old inbox had noted stays noted."""
    tx.exec_driver_sql("alter table inbox rename to inbox_0001")
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("alter index inbox_pkey rename to inbox_0001_pkey")
        tx.exec_driver_sql(f"{_INBOX} partition by list (slot)")
        for slot in range(41):
            tx.exec_driver_sql(f"create table inbox_slot_{slot:02} partition of inbox for values in ({slot})")
    else:
        tx.exec_driver_sql(_INBOX)
    _keep_notes(tx)
    tx.exec_driver_sql("drop table inbox_0001")
    for statement in _BOTH.strip().split("\n\n"):
        tx.exec_driver_sql(statement)


def _keep_notes(tx: Connection) -> None:
    mark = "%s" if tx.dialect.name == "postgresql" else "?"
    statement = f"insert into inbox (consumer, message_id, slot) values ({mark}, {mark}, {mark})"  # noqa: S608 - marks
    noted = tx.exec_driver_sql("select consumer, message_id from inbox_0001")
    while page := noted.fetchmany(1000):
        rows: list[Any] = [(consumer, message_id, slot_of(message_id)) for consumer, message_id in page]
        tx.exec_driver_sql(statement, rows)
