import pytest

from tests.gateway.world import World
from tests.support.clock import NOON, FixedClock


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("gateway") / "state", FixedClock())


@pytest.fixture
def world(shared_world: World) -> World:
    """One application for all tests, with fresh services, a fresh browser and the clock set back."""
    shared_world.clock.moment = NOON
    shared_world.start_anew()
    return shared_world
