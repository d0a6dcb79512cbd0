"""Readers of a log in this process are woken after an append, whichever store object appended."""

import threading

_wakeups: dict[str, "Wakeup"] = {}


class Wakeup:
    """A bell: `ring` lets everybody go who waits."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rung = 0

    def rung(self) -> int:
        """How often it rang; hand it to `wait` so that a ring in between is not missed."""
        return self._rung

    def ring(self) -> None:
        """Wake all who wait. Never blocks for long."""
        with self._condition:
            self._rung += 1
            self._condition.notify_all()

    def wait(self, since: int, seconds: float) -> None:
        """Wait for a ring after `since`, at most `seconds`."""
        with self._condition:
            if self._rung == since:
                self._condition.wait(seconds)


def wakeup(key: str) -> Wakeup:
    """The bell of the database named by `key`."""
    return _wakeups.setdefault(key, Wakeup())
