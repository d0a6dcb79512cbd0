"""Appends of many callers, written together by one of them (`shared.groupcommit`)."""

from shared.database import Database
from shared.direct import Direct, Session, unavailable
from shared.errors import Unavailable
from shared.eventstore.log import Append, Log
from shared.eventstore.restored import check_counter
from shared.groupcommit import GroupCommit

WRITERS = 2
"""Connections of a process that append: one takes the next batch while the other waits for the disk."""


class _Job:
    """An append and what became of it. A leader that is ended before it says so leaves it open."""

    __slots__ = ("append", "failed", "known", "position")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.known = False
        self.failed: Exception | None = None
        self.position: int | None = None

    def result(self) -> int | None:
        if not self.known:
            raise unavailable()
        if self.failed is not None:
            raise self.failed
        return self.position


class Appender:
    """Appends in transactions of its own: one for all stores on a database. SQLite has one writer."""

    def __init__(self, database: Database) -> None:
        if database.dialect == "sqlite":
            writers = [database.session()]
        else:
            writers = [database.session(check_counter) for _ in range(WRITERS)]
        self._database = database
        self._log = Log(database.dialect)
        self._commits = GroupCommit[Session, _Job](writers, self._commit)

    def append(self, one: Append) -> int | None:
        """As `Log.append`, durable when it returns.

        Raises `Unavailable` also when the connection broke in the middle and nobody knows whether it was written.
        """
        self._database.free_to_write()
        job = _Job(one)
        self._commits.run(job)
        return job.result()

    def _commit(self, direct: Direct, jobs: list[_Job]) -> None:
        if len(jobs) > 1:
            jobs.sort(key=_stream)
        try:
            positions = self._log.append_all(direct, [job.append for job in jobs])
        except Exception as error:  # noqa: BLE001 - it is told to whom it concerns
            if len(jobs) > 1 and not isinstance(error, Unavailable):
                for job in jobs:
                    self._commit(direct, [job])
                return
            for job in jobs:
                job.failed, job.known = error, True
            return
        for job, position in zip(jobs, positions, strict=True):
            job.position, job.known = position, True


def _stream(job: _Job) -> tuple[str, ...]:
    """Two batches that meet in several streams meet in one order, so that neither waits for the other for ever."""
    return job.append.stream
