"""The same things done with the library `eventsourcing` (requirements/bench), to measure our event store beside it."""

from collections.abc import Callable
from itertools import count
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Entry(Aggregate):
    @event("Opened")
    def __init__(self, title: str) -> None:
        self.title = title

    @event("Changed")
    def change(self, title: str) -> None:
        self.title = title


class Peer:
    """Saves new aggregates, changes those of about ten events, loads one of a hundred."""

    def __init__(self, environment: dict[str, str], title: str) -> None:
        self._application: Any = Application(environment)
        self._title = title

    def create(self) -> Callable[[], int]:
        def operation() -> int:
            self._application.save(Entry(self._title))
            return 1

        return operation

    def change(self) -> Callable[[], int]:
        numbers, ids = count(), []

        def operation() -> int:
            if next(numbers) % 10 == 0:
                entry = Entry(self._title)
                ids.append(entry.id)
            else:
                entry = self._application.repository.get(ids[-1])
                entry.change(self._title)
            self._application.save(entry)
            return 1

        return operation

    def rebuild(self) -> Callable[[], int]:
        entry = Entry(self._title)
        for _ in range(99):
            entry.change(self._title)
        self._application.save(entry)

        def operation() -> int:
            self._application.repository.get(entry.id)
            return 1

        return operation
