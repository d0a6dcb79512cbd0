"""Whoever finds a writer free writes; those who wait ride along, and nobody is forgotten."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.groupcommit import LARGEST, GroupCommit


class Job:
    def __init__(self, number: int) -> None:
        self.number = number
        self.done = False


class Table:
    """Where the jobs are written; `closed` holds writers up until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[list[int]] = []
        self.busy: dict[str, int] = {}
        self.dies_at: int | None = None

    def commit(self, writer: str, jobs: list[Job]) -> None:
        self.busy[writer] = self.busy.get(writer, 0) + 1
        assert self.busy[writer] == 1, "two at once"
        try:
            self.open.wait(5)
            self.batches.append([job.number for job in jobs])
            if any(job.number == self.dies_at for job in jobs):
                raise SystemExit
            for job in jobs:
                job.done = True
        finally:
            self.busy[writer] -= 1


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(200) as pool:
        yield pool


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_comes_alone_writes_alone(table: Table) -> None:
    commits = GroupCommit(["a", "b"], table.commit)
    for number in range(3):
        job = Job(number)
        commits.run(job)
        assert job.done
    assert table.batches == [[0], [1], [2]]


def test_those_who_wait_are_written_together_in_the_order_they_came(table: Table, threads: ThreadPoolExecutor) -> None:
    commits, jobs = GroupCommit(["a"], table.commit), [Job(number) for number in range(5)]
    table.open.clear()
    running = []
    for job in jobs:
        running.append(threads.submit(commits.run, job))
        until(lambda job=job: sum(map(len, table.busy)) > 0 and len(commits._waiting) == job.number)
    table.open.set()
    for each in running:
        each.result()
    assert table.batches == [[0], [1, 2, 3, 4]]
    assert all(job.done for job in jobs)


def test_a_batch_has_an_end(table: Table, threads: ThreadPoolExecutor) -> None:
    commits = GroupCommit(["a"], table.commit)
    table.open.clear()
    running = [threads.submit(commits.run, Job(number)) for number in range(LARGEST + 11)]
    until(lambda: len(commits._waiting) == LARGEST + 10)
    table.open.set()
    for each in running:
        each.result()
    assert [len(batch) for batch in table.batches] == [1, LARGEST, 10]


def test_every_job_is_written_once_whatever_the_crowd(table: Table, threads: ThreadPoolExecutor) -> None:
    commits = GroupCommit(["a", "b"], table.commit)
    jobs = [Job(number) for number in range(3000)]
    list(threads.map(commits.run, jobs))
    assert sorted(number for batch in table.batches for number in batch) == list(range(3000))
    assert all(job.done for job in jobs)
    assert sorted(commits._free) == ["a", "b"]


def test_a_leader_that_dies_hands_over_and_its_riders_do_not_hang(table: Table, threads: ThreadPoolExecutor) -> None:
    commits, jobs = GroupCommit(["a"], table.commit), [Job(number) for number in range(4)]
    table.open.clear()
    table.dies_at = 1
    running = []
    for job in jobs[:3]:
        running.append(threads.submit(commits.run, job))
        until(lambda job=job: len(commits._waiting) == job.number and bool(table.busy))
    table.open.set()
    with pytest.raises(SystemExit):
        running[1].result()
    for each in (running[0], running[2]):
        each.result()
    assert [job.done for job in jobs] == [True, False, False, False]
    commits.run(jobs[3])
    assert jobs[3].done
    assert commits._free == ["a"]


@pytest.mark.green
@pytest.mark.parametrize("ended", [1, 2])
def test_a_green_caller_that_is_ended_while_it_waits_holds_nobody_up(table: Table, ended: int) -> None:
    import eventlet

    commits, jobs = GroupCommit(["a"], table.commit), [Job(number) for number in range(4)]
    table.open.clear()
    callers = []
    for job in jobs:
        callers.append(eventlet.spawn(commits.run, job))
        eventlet.sleep(0)
    callers[ended].kill()
    table.open.set()
    for number, caller in enumerate(callers):
        if number != ended:
            caller.wait()
    assert [job.done for job in jobs] == [number != ended for number in range(4)]
    assert commits._free == ["a"]


@pytest.mark.green
def test_a_green_leader_that_is_ended_before_it_began_passes_the_lead_on(table: Table) -> None:
    import eventlet

    commits, jobs = GroupCommit(["a"], table.commit), [Job(number) for number in range(4)]
    table.open.clear()
    callers = []
    for job in jobs:
        callers.append(eventlet.spawn(commits.run, job))
        eventlet.sleep(0)
    handed_over = commits._hand_over

    def ending(writer: str) -> None:
        handed_over(writer)
        commits._hand_over = handed_over  # type: ignore[method-assign]
        callers[1].kill()

    commits._hand_over = ending  # type: ignore[method-assign]
    table.open.set()
    for number in (0, 2, 3):
        callers[number].wait()
    assert [job.done for job in jobs] == [True, False, True, True]
    assert commits._free == ["a"]
