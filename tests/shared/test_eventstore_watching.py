"""One process of a service looks for all; the others hear of it, and lose nothing when it is gone."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.eventstore import EventStore, watching
from shared.eventstore import store as store_module
from shared.eventstore.settling import SettledByLocks
from shared.migrate import migrate
from tests.support.notebook import Notebook
from tests.support.servers import NoServerError, private_postgres
from tests.support.stores import Place, place, rolled_back

pytestmark = pytest.mark.real_postgres


@pytest.fixture
def stores(postgres_url: str, tmp_path: Path) -> Iterator[list[EventStore]]:
    """Three stores on one database, as in three processes: none hears the bell of another."""
    with place("postgresql", tmp_path, postgres_url) as found:
        made = [as_in_a_process_of_its_own(found, number) for number in range(3)]
        yield made
        for store in made:
            store.database.close()


def as_in_a_process_of_its_own(found: Place, number: int) -> EventStore:
    database = found.database()
    database.key += f"#{number}"
    return found.store(database)


def note(store: EventStore, name: str) -> int:
    return store.agency("jobcenter").create(Notebook, name, lambda n: n.open("x"), command_id="c").position


def leads(store: EventStore) -> bool:
    return bool(store.database.once(SettledByLocks).name)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def standing(store: EventStore) -> tuple[int, str]:
    with store.database.read() as tx:
        return tuple(tx.execute(text("select position, holder from settled")).one())  # type: ignore[return-value]


def test_one_looks_for_all_and_another_takes_over_when_it_stops(stores: list[EventStore]) -> None:
    first, second, third = stores
    last = note(third, "1")
    for store in (first, second):
        store.wait(last, 0.05)
    until(lambda: leads(first) or leads(second))
    assert leads(first) != leads(second)
    leader, other = (first, second) if leads(first) else (second, first)
    until(lambda: standing(third)[0] == last)
    leader.database.close()
    until(lambda: leads(other))
    last = note(third, "2")
    until(lambda: standing(third)[0] == last)
    other.database.close()
    until(lambda: standing(third)[1] == "")


def test_a_reader_hears_of_an_append_in_another_process(
    stores: list[EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look every tenth of a second."""
    reader, writer, _ = stores
    for module in (watching, store_module):
        monkeypatch.setattr(module, "POLL_SECONDS", 60)
    writer.wait(0, 0.05)
    heard = threading.Thread(target=lambda: reader.wait(0, 30))
    heard.start()
    until(lambda: leads(reader) or leads(writer))
    time.sleep(0.1)
    position = note(writer, "1")
    heard.join(10)
    assert not heard.is_alive()
    assert [record.position for record in reader.follow(0)] == [position]


def test_a_reader_behind_a_hole_gets_on_by_what_another_found_out(stores: list[EventStore]) -> None:
    leader, reader, writer = stores
    leader.wait(0, 0.05)
    until(lambda: leads(leader))
    with rolled_back(writer.database) as failing:
        writer.agency("jobcenter").change(Notebook, "1", lambda n: n.open("x"), command_id="c", tx=failing)
        last = note(writer, "2")
        assert reader.follow(0) == []
        assert not reader.wait(0, 0.3)
    assert reader.wait(0, 10)
    assert [record.position for record in reader.follow(0)] == [last]
    until(lambda: standing(writer)[0] == last)


def test_a_process_that_claims_to_look_and_is_gone_holds_nobody_up(stores: list[EventStore]) -> None:
    reader, writer, _ = stores
    with rolled_back(writer.database) as failing:
        writer.agency("jobcenter").change(Notebook, "1", lambda n: n.open("x"), command_id="c", tx=failing)
    last = note(writer, "2")
    with writer.database.write() as tx:
        tx.execute(text("insert into settled values (1, 0, 'killed', '')"))
    until(lambda: [record.position for record in reader.follow(0)] == [last])
    assert standing(writer) == (last, "")


def test_the_watch_outlives_a_restart_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.05)
    try:
        with private_postgres() as server:
            assert server.keeper is not None
            url = server.database("handschlag_watched")
            migrate("consent", url)
            store = as_in_a_process_of_its_own(Place(url, tmp_path), 1)
            first = note(store, "1")
            store.wait(first, 0.05)
            until(lambda: leads(store))
            server.keeper.kill()
            until(lambda: not leads(store))
            server.keeper.start()
            until(lambda: leads(store))
            second = note(store, "2")
            assert [record.position for record in store.follow(first)] == [second]
            until(lambda: standing(store)[0] == second)
            store.database.close()
    except NoServerError as missing:
        pytest.fail(str(missing))


def test_who_never_waits_watches_nothing(stores: list[EventStore]) -> None:
    store = stores[0]
    note(store, "1")
    store.follow(0)
    store.wait(0, 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "event store watch"]
