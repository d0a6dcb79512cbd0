"""The tables of the event store as revision 0001 makes them. Frozen: a change is a new revision, never an edit here.

`events` is log and outbox at once; rows are only added, and triggers refuse anything else. `data` is kept as the
exact text that was written (`json`, not `jsonb`), because hashes are made of it. Times beside the log are text in
ISO 8601 and UTC, which sorts as time does.
"""

from typing import Literal

_SQLITE = """
create table events (
    position integer primary key autoincrement,
    agency text not null,
    stream text not null,
    version integer not null check (version > 0),
    category text not null,
    type text not null,
    schema_version integer not null,
    data text not null,
    meta text not null,
    event_id text not null,
    recorded_at text not null,
    unique (agency, stream, version)
)

create trigger events_are_never_changed before update on events
begin select raise(abort, 'events are never changed'); end

create trigger events_are_never_removed before delete on events
begin select raise(abort, 'events are never removed'); end

create table parked (
    number integer primary key autoincrement,
    consumer text not null,
    message_id text not null,
    stream text not null,
    type text not null,
    agency text not null,
    body text not null,
    code text not null,
    parked_at text not null,
    attempts integer not null,
    next_attempt_at text not null,
    unique (consumer, message_id)
)
"""

_POSTGRESQL = """
create table events (
    position bigint generated always as identity (cache 1) primary key,
    agency text not null,
    stream text not null,
    version integer not null check (version > 0),
    category text not null,
    type text not null,
    schema_version smallint not null,
    data json not null,
    meta json not null,
    event_id uuid not null,
    recorded_at timestamptz not null,
    unique (agency, stream, version)
)

create function events_stay() returns trigger language plpgsql as
$$ begin raise exception 'events are never changed or removed' using errcode = 'restrict_violation'; end $$

create trigger events_are_never_changed before update or delete on events
for each row execute function events_stay()

create trigger events_are_never_emptied before truncate on events
for each statement execute function events_stay()

create table parked (
    number bigint generated always as identity primary key,
    consumer text not null,
    message_id text not null,
    stream text not null,
    type text not null,
    agency text not null,
    body text not null,
    code text not null,
    parked_at text not null,
    attempts integer not null,
    next_attempt_at text not null,
    unique (consumer, message_id)
)
"""

_BOTH = """
create index parked_by_stream on parked (consumer, stream)

create index parked_by_time on parked (consumer, next_attempt_at)

create table settled (
    only_row smallint primary key check (only_row = 1),
    position bigint not null,
    holder text not null,
    heartbeat text not null
)

create table bookmarks (
    name text primary key,
    position bigint not null
)

create table inbox (
    consumer text not null,
    message_id text not null,
    received_on text not null,
    primary key (consumer, message_id)
)

create index inbox_by_day on inbox (received_on)

create table person_keys (
    agency text not null,
    person_id text not null,
    wrapped text,
    kek_id text,
    created_at text not null,
    erased_at text,
    primary key (agency, person_id),
    check ((wrapped is null) = (erased_at is not null)),
    check ((wrapped is null) = (kek_id is null))
)
"""


def statements(dialect: Literal["sqlite", "postgresql"]) -> list[str]:
    """The statements of revision 0001, in order."""
    own = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    return [statement.strip() for part in (own, _BOTH) for statement in part.split("\n\n")]
