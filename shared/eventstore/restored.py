"""After a restored backup: is the counter of positions beyond all that anybody has seen?

A counter that stands behind would hand out positions that readers have long passed, and nobody would ever read what is
written there. Therefore every connection that appends asks first, and `handschlag migrate` moves the counter on. That
bookmarks belong to this log is looked after by `bookmarks`. SQLite keeps its counter in the file of the log.
"""

from sqlalchemy import Connection, text

from shared.direct import Direct
from shared.errors import Unavailable

_CHECKED = "handschlag.counter_checked"
_COUNTER = "pg_get_serial_sequence('events', 'position')::regclass"
_SEEN = (
    "greatest((select coalesce(max(position), 0) from events), (select coalesce(max(position), 0) from settled),"
    " (select coalesce(max(position), 0) from bookmarks))"
)
_BEHIND = f"coalesce(pg_sequence_last_value({_COUNTER}), 0) < {_SEEN}"


def check_counter(direct: Direct) -> None:
    """Raises `Unavailable("log.counter_behind")`; on PostgreSQL only."""
    if direct.rows(f"select {_BEHIND}")[0][0]:
        raise counter_behind()


def check_once(tx: Connection, direct: Direct) -> None:
    """The same for an append within `tx`; asked once in the life of a connection."""
    if tx.dialect.name == "postgresql" and _CHECKED not in tx.info:
        check_counter(direct)
        tx.info[_CHECKED] = True


def move_counter_on(tx: Connection) -> None:
    """So that the next position is one that nobody has seen. Changes nothing where that is so."""
    if tx.dialect.name == "postgresql":
        tx.execute(text(f"select setval({_COUNTER}, {_SEEN}) where {_BEHIND}"))


def counter_behind() -> Unavailable:
    """What whoever wants to append is told."""
    return Unavailable(
        "log.counter_behind",
        "the counter of positions stands behind the log, as after a restored backup",
        "run `handschlag migrate`, which moves it on",
    )
