"""What may go wrong around the event backbone, on real servers: afterwards every event was shown and heard once.

Two services of seven processes write, tell, project and hear all the time (`tests/chaos`); each test does something to
them and then looks whether every receipt is true, every event was projected and delivered exactly once in effect and
in the order of its stream, and nothing waits. `make chaos` does the same for an hour, in any order and at once.
"""

import random
import time
from collections.abc import Iterator

import pytest

from tests.chaos.scene import Scene, scene
from tests.conftest import cannot_be_had
from tests.support.servers import NoServerError

pytestmark = [pytest.mark.journey, pytest.mark.real_postgres, pytest.mark.real_rabbitmq]

KILLS = 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    try:
        with scene(tmp_path_factory.mktemp("scene")) as made:
            yield made
    except NoServerError as missing:
        cannot_be_had(missing)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(2026)


@pytest.mark.timeout(300)
def test_any_process_may_be_killed_at_any_moment(running: Scene, chance: random.Random) -> None:
    running.kill(chance, KILLS)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_the_broker_may_be_away(running: Scene) -> None:
    running.stop_broker(3)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_the_database_may_die_and_come_back(running: Scene) -> None:
    running.restart_database(1)
    time.sleep(0.5)
    running.restart_database()
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_a_connection_may_break_in_the_middle_of_a_commit(running: Scene, chance: random.Random) -> None:
    running.pull_cables(chance, 12)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_the_disk_may_be_full_for_a_while(running: Scene) -> None:
    running.fill_disk(2)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_messages_may_come_again_and_in_any_order(running: Scene, chance: random.Random) -> None:
    for _ in range(3):
        running.deliver_again(chance)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_a_handler_that_always_fails_holds_up_its_stream_and_nobody_else(running: Scene) -> None:
    bad = "notebook-0-0"
    with running.ordered("poison", bad):
        time.sleep(1.5)
        with running.quiet():
            found = running.rest(5)
            waiting = running.inbox().parked(limit=10_000)
        assert {each.stream for each in waiting} == {f"a/{bad}"}, "a stream is one of its agency"
        assert found["heard"] + len(waiting) == found["events"] == found["shown"]
    running.inbox().retry(now=True)
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_a_slow_consumer_leaves_the_rest_at_the_broker(running: Scene) -> None:
    with running.ordered("slow", "0.02"):
        time.sleep(6)
        heard_slowly = running.counts()
        assert heard_slowly["heard"] < heard_slowly["events"]
    assert running.verdict() == []


@pytest.mark.timeout(300)
def test_a_clock_may_jump_for_years_and_back(running: Scene, chance: random.Random) -> None:
    for days in ("400", "-400", "37", ""):
        running.order("clock", days)
        running.kill(chance, 3)
        running.deliver_again(chance)
    assert running.verdict() == []
