"""Group commit without a thread of its own: whoever finds a writer free writes, and the others ride along.

A caller takes a free writer and commits its job alone. Callers that find none free wait; the one who is done hands
its writer to the first of them, who commits for all that waited. One caller pays nothing for it, many share commits.
Works under threads and green threads alike.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

LARGEST = 128

Job = TypeVar("Job")
Writer = TypeVar("Writer")


class _Turn(Generic[Writer, Job]):
    """A job that waits for a writer: to be done by somebody else, or to lead the next batch."""

    __slots__ = ("batch", "job", "signal", "writer")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.writer: Writer | None = None
        self.batch: list[_Turn[Writer, Job]] = [self]
        self.signal = threading.Lock()
        self.signal.acquire()


class GroupCommit(Generic[Writer, Job]):
    """`commit(writer, jobs)` writes the jobs together and leaves the outcome of each in the job itself.

    No writer is used by two callers at once. What `commit` raises is raised to the caller who led it; before that it
    has to tell the others, through their jobs, how they fared.
    """

    def __init__(self, writers: Sequence[Writer], commit: Callable[[Writer, list[Job]], None]) -> None:
        self._free = list(writers)
        self._commit = commit
        self._mutex = threading.Lock()
        self._waiting: deque[_Turn[Writer, Job]] = deque()

    def run(self, job: Job) -> None:
        """Have `job` committed, by this caller or by another. Returns when its outcome is known."""
        with self._mutex:
            if self._free:
                writer, turn = self._free.pop(), None
            else:
                turn = _Turn[Writer, Job](job)
                self._waiting.append(turn)
        if turn is None:
            self._lead(writer, [], [job])
            return
        try:
            turn.signal.acquire()
        except BaseException:
            self._leave(turn)
            raise
        if turn.writer is not None:
            self._lead(turn.writer, turn.batch[1:], [each.job for each in turn.batch])

    def _lead(self, writer: Writer, others: Sequence[_Turn[Writer, Job]], jobs: list[Job]) -> None:
        try:
            self._commit(writer, jobs)
        finally:
            self._hand_over(writer)
            for other in others:
                other.signal.release()

    def _hand_over(self, writer: Writer) -> None:
        """To the first of those who wait, with the jobs of all behind it; or back to the free ones."""
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGEST))]
            if not batch:
                self._free.append(writer)
                return
            batch[0].batch = batch
            batch[0].writer = writer
        batch[0].signal.release()

    def _leave(self, turn: _Turn[Writer, Job]) -> None:
        """A caller was ended while it waited: nothing of it is left to do, but nobody may wait for it either."""
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
            writer, others = turn.writer, turn.batch[1:]
            if writer is not None:
                self._waiting.extendleft(reversed(others))
        if writer is not None:
            self._hand_over(writer)
