"""What revision 0003 adds: snapshots, and which event a bookmark stands at. Frozen: a change is a new revision.

A snapshot goes with the key of any person in it, in the same transaction, whoever destroys the key.
"""

from sqlalchemy import Connection

_SNAPSHOTS = """
create table snapshots (
    agency text not null,
    stream text not null,
    schema_version integer not null,
    version integer not null check (version > 0),
    position bigint not null,
    data {json} not null,
    commands {json} not null,
    personal {json} not null,
    persons {binary_json} not null,
    primary key (agency, stream, schema_version)
)"""

_POSTGRESQL = """
create function snapshots_are_erased() returns trigger language plpgsql as
$$ begin delete from snapshots where agency = new.agency and persons ? new.person_id; return new; end $$

create trigger snapshots_are_erased after insert or update on person_keys
for each row when (new.erased_at is not null) execute function snapshots_are_erased()
"""

_SQLITE = """
create trigger snapshots_are_erased after update on person_keys when new.erased_at is not null
begin delete from snapshots where agency = new.agency
and exists (select 1 from json_each(persons) where value = new.person_id); end

create trigger snapshots_are_erased_at_once after insert on person_keys when new.erased_at is not null
begin delete from snapshots where agency = new.agency
and exists (select 1 from json_each(persons) where value = new.person_id); end
"""


def change(tx: Connection) -> None:
    """Make them."""
    postgresql = tx.dialect.name == "postgresql"
    kinds = {"json": "json", "binary_json": "jsonb"} if postgresql else {"json": "text", "binary_json": "text"}
    tx.exec_driver_sql(_SNAPSHOTS.format(**kinds))
    for statement in (_POSTGRESQL if postgresql else _SQLITE).strip().split("\n\n"):
        tx.exec_driver_sql(statement)
    tx.exec_driver_sql("alter table bookmarks add column event_id text")
