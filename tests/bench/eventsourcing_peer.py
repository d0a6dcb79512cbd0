"""The same things done with the library `eventsourcing` (requirements/bench), to measure our event store beside it."""

from collections.abc import Callable
from itertools import count
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy.engine import make_url


class Entry(Aggregate):
    @event("Opened")
    def __init__(self, body: Any) -> None:
        self.body = body

    @event("Changed")
    def change(self, body: Any) -> None:
        self.body = body


def environment(url: str) -> dict[str, str]:
    """The peer's settings for that database; a SQLite one gets a file beside ours."""
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": f"{where.database}.peer"}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(where.database),
        "POSTGRES_HOST": str(where.host),
        "POSTGRES_PORT": str(where.port or 5432),
        "POSTGRES_USER": str(where.username),
        "POSTGRES_PASSWORD": where.password or "unused",
        "POSTGRES_POOL_SIZE": "6",
        "POSTGRES_MAX_OVERFLOW": "10",
    }


class Peer:
    """Each method makes an operation that says how many things it did, like those of our own cases."""

    def __init__(self, url: str, body: Any) -> None:
        self._application: Any = Application(environment(url))
        self._body = body

    def create(self) -> Callable[[], int]:
        def operation() -> int:
            self._application.save(Entry(self._body))
            return 1

        return operation

    def change(self) -> Callable[[], int]:
        numbers, ids = count(), []

        def operation() -> int:
            if next(numbers) % 10 == 0:
                entry = Entry(self._body)
                ids.append(entry.id)
            else:
                entry = self._application.repository.get(ids[-1])
                entry.change(self._body)
            self._application.save(entry)
            return 1

        return operation

    def append_hundred(self) -> Callable[[], int]:
        def operation() -> int:
            self._application.save(self._of(100))
            return 100

        return operation

    def rebuild(self) -> Callable[[], int]:
        entry = self._of(100)
        self._application.save(entry)

        def operation() -> int:
            self._application.repository.get(entry.id)
            return 1

        return operation

    def follow(self, events: int, page: int) -> Callable[[], int]:
        """Its log of notifications, as domain events."""
        for _ in range(events // 100):
            self._application.save(self._of(100))
        recorder, mapper = self._application.recorder, self._application.mapper

        def operation() -> int:
            seen, start = 0, 1
            while seen < events and (found := recorder.select_notifications(start, page)):
                for notification in found:
                    mapper.to_domain_event(notification)
                seen, start = seen + len(found), found[-1].id + 1
            return seen

        return operation

    def _of(self, events: int) -> Entry:
        entry = Entry(self._body)
        for _ in range(events - 1):
            entry.change(self._body)
        return entry
