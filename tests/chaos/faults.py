"""The long versions of what may go wrong, each by itself and then together."""

import random
import threading
import time
from collections.abc import Callable

from tests.chaos.scene import Scene

Fault = Callable[[Scene, random.Random], None]
AWAY_SECONDS = 60


def kills(scene: Scene, chance: random.Random) -> None:
    scene.kill(chance, 150, longest=1)


def broker_away(scene: Scene, _: random.Random) -> None:
    scene.stop_broker(AWAY_SECONDS)


def database_dies(scene: Scene, chance: random.Random) -> None:
    for _ in range(5):
        scene.restart_database(chance.uniform(0, 5))
        time.sleep(chance.uniform(0, 5))


def cables_pulled(scene: Scene, chance: random.Random) -> None:
    scene.pull_cables(chance, 60)


def disk_full(scene: Scene, _: random.Random) -> None:
    scene.fill_disk(10)


def heard_again(scene: Scene, chance: random.Random) -> None:
    for _ in range(20):
        scene.deliver_again(chance)


def handler_fails(scene: Scene, _: random.Random) -> None:
    with scene.ordered("poison", "notebook-0-0 notebook-1-1"):
        time.sleep(30)


def consumer_slow(scene: Scene, _: random.Random) -> None:
    with scene.ordered("slow", "0.01"):
        time.sleep(15)


def clock_jumps(scene: Scene, chance: random.Random) -> None:
    for days in ("400", "-400", "37", "-1", ""):
        scene.order("clock", days)
        scene.kill(chance, 10)
        scene.deliver_again(chance)


def everything_at_once(scene: Scene, chance: random.Random) -> None:
    """Kills, pulled cables, a broker and a database that go away, and messages that come again."""
    others = [
        lambda: scene.pull_cables(random.Random(1), 40),
        lambda: heard_again_if_possible(scene, random.Random(2)),
        lambda: (time.sleep(5), scene.stop_broker(5)),
        lambda: (time.sleep(12), scene.restart_database(2)),
    ]
    threads = [threading.Thread(target=other) for other in others]
    for thread in threads:
        thread.start()
    scene.kill(chance, 100, longest=1)
    for thread in threads:
        thread.join()


def heard_again_if_possible(scene: Scene, chance: random.Random) -> None:
    for _ in range(10):
        try:
            scene.deliver_again(chance)
        except Exception:  # noqa: BLE001 - a server is away just now
            time.sleep(1)


FAULTS: dict[str, Fault] = {
    "kill -9 of any process": kills,
    "the broker is away for a minute": broker_away,
    "the database dies and comes back": database_dies,
    "connections break in the middle of commits": cables_pulled,
    "the disk is full": disk_full,
    "messages come again, in any order": heard_again,
    "a handler always fails": handler_fails,
    "a consumer is slow": consumer_slow,
    "clocks jump": clock_jumps,
    "everything at once": everything_at_once,
}
