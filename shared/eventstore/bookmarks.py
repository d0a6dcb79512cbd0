"""How far a reader has come in the log. A bookmark moves in the transaction that writes what was read."""

from sqlalchemy import Connection, text

from shared.database import Database
from shared.errors import Refused


class Bookmark:
    """The mark of one reader, by name."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name

    def position(self, tx: Connection | None = None) -> int:
        """The last position that was dealt with; 0 at first.

        Raises `Refused("bookmark.ahead_of_log")` when the log ends before it: one of the two was restored from
        another time. Going on would skip events, so somebody has to decide (`rebuild`, or restore the right log).
        """
        if tx is None:
            with self._database.read() as connection:
                return self._read(connection)
        return self._read(tx)

    def locked(self, tx: Connection) -> int:
        """The same, and nobody else moves it until `tx` ends."""
        tx.execute(
            text("insert into bookmarks (name, position) values (:name, 0) on conflict (name) do nothing"),
            {"name": self.name},
        )
        return self._read(tx, " for update" if self._database.dialect == "postgresql" else "")

    def move(self, tx: Connection, position: int) -> None:
        """Set it, back or forth. Stands or falls with `tx`."""
        statement = text(
            "insert into bookmarks (name, position) values (:name, :position)"
            " on conflict (name) do update set position = excluded.position"
        )
        tx.execute(statement, {"name": self.name, "position": position})

    def _read(self, connection: Connection, suffix: str = "") -> int:
        found = connection.execute(
            text(f"select position from bookmarks where name = :name{suffix}"),  # noqa: S608 - a word of ours
            {"name": self.name},
        ).scalar()
        position = int(found or 0)
        if position > int(connection.execute(text("select coalesce(max(position), 0) from events")).scalar_one()):
            raise Refused(
                "bookmark.ahead_of_log",
                f"the bookmark {self.name} stands behind the end of the log",
                "restore the log that belongs to it, or rebuild from the start",
            )
        return position
