"""The reader's rule, apart from any server: a simulated one lets everything happen between any two statements."""

from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from shared.database import Database
from shared.eventstore import settling
from shared.eventstore.settling import Barriers, SettledByLocks

STEPS = st.lists(st.integers(0, 6), max_size=12)


@dataclass
class Writer:
    """A transaction that has drawn positions and has not ended."""

    name: str
    drawn: list[int] = field(default_factory=list)


class SimulatedServer:
    """Draws positions, commits and rolls back in any order; answers the statements of the rule.

    Before each statement happens what the test has drawn: new writers, further positions, commits, rollbacks.
    """

    def __init__(self, steps: list[list[int]]) -> None:
        self._steps = steps
        self._next = 0
        self._log = SettledByLocks(Database("postgresql://nowhere/x"))._log
        self.counter = 0
        self.writers: list[Writer] = []
        self.visible: list[int] = []
        self.mark, self.holder, self.server, self.standby = 0, "", "first", False

    def happen(self) -> None:
        steps = self._steps.pop(0) if self._steps else []
        for step in steps:
            if step <= 1 or not self.writers:
                self._next += 1
                self.writers.append(Writer(f"v/{self._next}"))
                self.draw(self.writers[-1])
            elif step <= 3:
                self.draw(self.writers[step % len(self.writers)])
            else:
                self.end(self.writers[step % len(self.writers)], commits=step != 6)

    def draw(self, writer: Writer) -> None:
        self.counter += 1
        writer.drawn.append(self.counter)

    def end(self, writer: Writer, *, commits: bool) -> None:
        self.writers.remove(writer)
        if commits:
            self.visible = sorted(self.visible + writer.drawn)

    def rows(self, statement: str, parameters: Any = ()) -> list[Any]:
        self.happen()
        if statement == self._log._marked_page:
            after, limit = parameters
            page = [position for position in self.visible if position > after][:limit]
            return [(position, "a", "s", 1, "c", "t", 1, "", "", "", "", self.mark) for position in page]
        if statement == settling._STANDING:
            return [(max(self.visible, default=0), self.mark, self.holder)]
        assert statement == settling._LOOK
        return [(self.server, self.standby, [writer.name for writer in self.writers])]

    def write(self, statement: str, parameters: Any = (), *, may_collide: bool = True) -> list[Any]:
        assert statement == settling._PUBLISH
        self.happen()
        self.mark, self.holder = max(self.mark, parameters[0]), parameters[1]
        return []


def rule() -> SettledByLocks:
    return SettledByLocks(Database("postgresql://nowhere/x"))


def followed(rules: list[SettledByLocks], server: SimulatedServer, limit: int) -> list[int]:
    """What a reader gets who asks now this process and now that one, until all is quiet."""
    seen: list[int] = []
    for turn in range(200):
        page = rules[turn % len(rules)].follow(server, seen[-1] if seen else 0, limit)
        seen += [row[0] for row in page]
        if not server._steps:
            while server.writers:
                server.end(server.writers[0], commits=True)
            if not page and turn % len(rules) == 0 and seen == server.visible:
                break
    return seen


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=25), st.integers(1, 5), st.integers(1, 3))
def test_nothing_is_skipped_whatever_happens_between_two_statements(
    steps: list[list[int]], limit: int, processes: int
) -> None:
    server = SimulatedServer(steps)
    assert followed([rule() for _ in range(processes)], server, limit) == server.visible


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_mark_never_passes_a_position_that_may_still_appear(steps: list[list[int]]) -> None:
    server, looking = SimulatedServer(steps), rule()
    while server._steps:
        looking.advance(server)
        open_positions = [position for writer in server.writers for position in writer.drawn]
        assert server.mark < min(open_positions, default=server.mark + 1)


def test_a_hole_below_the_top_is_waited_for_until_its_writer_ends() -> None:
    barriers = Barriers()
    assert barriers.look("s", 5, frozenset({"a", "b"})) == 0
    assert barriers.look("s", 7, frozenset({"b", "c"})) == 0
    assert barriers.look("s", 9, frozenset({"c"})) == 5
    assert barriers.open()
    assert barriers.look("s", 9, frozenset()) == 9
    assert not barriers.open()


def test_what_follows_without_a_hole_is_delivered_although_others_write() -> None:
    server, reading = SimulatedServer([]), rule()
    server.visible, server.writers = [4, 5, 7], [Writer("v/1", [6])]
    assert [row[0] for row in reading.follow(server, 3, 10)] == [4, 5]
    assert server.mark == 0


def test_what_was_noted_of_another_server_is_forgotten() -> None:
    """After a failover the same names may be other transactions, and the positions other events."""
    barriers = Barriers()
    assert barriers.look("before", 1000, frozenset({"a"})) == 0
    assert barriers.look("after", 900, frozenset({"b"})) == 0
    assert barriers.look("after", 950, frozenset({"c"})) == 900


def test_on_a_standby_only_the_mark_counts() -> None:
    server, reading = SimulatedServer([]), rule()
    server.visible, server.mark, server.standby = [1, 2, 5, 6], 5, True
    assert [row[0] for row in reading.follow(server, 0, 10)] == [1, 2, 5, 6]
    server.visible = [1, 2, 5, 6, 8]
    assert reading.follow(server, 6, 10) == []
    server.mark = 8
    assert [row[0] for row in reading.follow(server, 6, 10)] == [8]


def test_where_another_process_looks_for_all_it_is_given_a_moment_and_no_more(monkeypatch: Any) -> None:
    server, reading = SimulatedServer([]), rule()
    server.visible, server.holder = [2], "another"
    assert reading.follow(server, 0, 10) == []
    server.mark = 2
    assert [row[0] for row in reading.follow(server, 0, 10)] == [2]
    server.visible, server.mark = [2, 4], 2
    assert reading.follow(server, 2, 10) == []
    monkeypatch.setattr(settling, "PATIENCE_SECONDS", 0)
    assert [row[0] for row in reading.follow(server, 2, 10)] == [4]
    assert server.holder == "", "whoever is not heard of is not there"
