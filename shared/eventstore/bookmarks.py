"""How far a reader has come in the log. A bookmark moves in the transaction that writes what was read."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from shared.database import Database
from shared.errors import Refused


class Bookmark:
    """The mark of one reader, by name."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name
        sqlite = database.dialect == "sqlite"
        self._look = _READ + ("?" if sqlite else "%s")
        self._lock = self._look + ("" if sqlite else " for update")

    def position(self, tx: Connection | None = None) -> int:
        """The last position that was dealt with; 0 at first.

        Raises `Refused("bookmark.ahead_of_log")` when the log ends before it, and `Refused("bookmark.other_log")`
        when another event stands there: one of the two was restored from another time, and the log may have grown
        since. Going on would skip events, so somebody has to decide (`rebuild`, or restore the right log).
        """
        with self._database.direct(tx) as direct:
            return self._checked(direct.rows(self._look, [self.name]))

    def locked(self, tx: Connection) -> int:
        """The same, and nobody else moves it until `tx` ends."""
        with self._database.direct(tx) as direct:
            found = direct.rows(self._lock, [self.name])
            if not found:
                tx.execute(_BEGIN, {"name": self.name})
                found = direct.rows(self._lock, [self.name])
            return self._checked(found)

    def move(self, tx: Connection, position: int) -> None:
        """Set it, back or forth. Stands or falls with `tx`."""
        tx.execute(_MOVE, {"name": self.name, "position": position})

    def _checked(self, found: Sequence[tuple[Any, ...]]) -> int:
        if not found:
            return 0
        position, event_id, there, end = found[0]
        if position > end:
            raise self._refusal("bookmark.ahead_of_log", "stands behind the end of the log")
        if event_id is not None and event_id != there:
            raise self._refusal("bookmark.other_log", "stands at an event that is not in this log")
        return int(position)

    def _refusal(self, code: str, detail: str) -> Refused:
        remedy = "restore the log that belongs to it, or rebuild from the start"
        return Refused(code, f"the bookmark {self.name} {detail}", remedy)


_READ = (
    "select position, event_id,"
    " (select cast(event_id as text) from events where events.position = bookmarks.position),"
    " (select coalesce(max(position), 0) from events) from bookmarks where name = "
)
_BEGIN = text("insert into bookmarks (name, position) values (:name, 0) on conflict (name) do nothing")
_MOVE = text(
    "insert into bookmarks (name, position, event_id)"
    " values (:name, :position, (select cast(event_id as text) from events where position = :position))"
    " on conflict (name) do update set position = excluded.position, event_id = excluded.event_id"
)
