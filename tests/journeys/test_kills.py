"""`kill -9` at random points while the story is told: nothing is lost, nothing is done twice.

The story keeps sending what got no answer; the part that was killed is started again. Afterwards every step has had its
effect exactly once: in the stores, in the log, and at the partner.
"""

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import pytest
import sqlalchemy as sa

from services import SERVICES
from services.command.demo.world import AGENCY, PARTNERS
from tests.conftest import cannot_be_had
from tests.support.platform import COMMAND, Platform, deployed, embedded
from tests.support.servers import NoServerError, Postgres, private_postgres

KILLS = int(os.environ.get("HANDSCHLAG_KILLS", "20"))
PENSION = next(iter(PARTNERS))
STORY_WITHIN = 240.0
ONCE = ("handed_over", "matched", "retraction_handed_over", "retraction_acknowledged")
# Whoever was killed with the answer in its hands: the partner fetches once more, and that is told and logged, too.
PERHAPS_AGAIN = "fetched_again"


class Storyteller:
    """Tells the story in a process of its own, again and again, and remembers the ids of its runs."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.runs: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def telling(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        run, state = uuid4().hex, str(self.platform.settings.state)
        command = [*COMMAND, "demo", "--url", self.platform.url, "--state", state, "--run", run, "--json"]
        if self.platform.broker:
            command += ["--broker", self.platform.broker_url(PENSION)]
        self._process = subprocess.Popen([*command, "--patience", "120"], stdout=subprocess.PIPE, text=True)
        self.runs.append(run)

    def end(self) -> None:
        """Hear the story to its end; it must be a good one."""
        assert self._process is not None
        told, _ = self._process.communicate(timeout=STORY_WITHIN)
        last = json.loads(told.splitlines()[-1])
        assert self._process.returncode == 0, last
        assert last["ok"]


def kill_while_it_is_told(platform: Platform, seed: int) -> list[str]:
    """Kill any part at random moments, `KILLS` times while the story is being told; the runs that were told."""
    chance = random.Random(seed)
    story = Storyteller(platform)
    kills = 0
    while kills < KILLS:
        if not story.telling():
            if story.runs:
                story.end()
            story.begin()
        time.sleep(chance.uniform(0.05, 1.5))
        if story.telling():
            platform.restart(chance.choice(sorted(platform.parts)))
            kills += 1
    story.end()
    return story.runs


def disclosure_of(run: str, name: str = "disclosure") -> str:
    return str(uuid5(NAMESPACE_URL, f"handschlag:{run}:{name}"))


def everything_happened_once(platform: Platform, runs: list[str]) -> None:
    platform.wait_until_ready()
    for run in runs:
        outcomes_are_logged_once(platform, run)
    for service in SERVICES:
        with platform.connection(service) as connection:
            streams_are_whole(connection)
            nothing_waits(connection)
    with platform.connection("exchange") as connection:
        for run in runs:
            events = Counter(events_of(connection, f"disclosure-{disclosure_of(run)}"))
            events.pop("DisclosureFetchedAgain", None)
            assert events == Counter(
                {
                    "DisclosureRequested": 1,
                    "NecessityStated": 1,
                    "DisclosurePermitted": 1,
                    "DisclosureHandedOver": 1,
                    "DisclosureAcknowledged": 1,
                    "DisclosureRetracted": 1,
                    "RetractionAcknowledged": 1,
                    "CheckpointCosigned": 2,
                }
            )
        sequences = [
            row[0]
            for row in connection.execute(
                sa.text("select sequence from partner_queue where partner_id = :p and sequence is not null"),
                {"p": PENSION},
            )
        ]
    assert sorted(sequences) == list(range(1, len(sequences) + 1)), "the partner's numbers have a gap or a double"


def outcomes_are_logged_once(platform: Platform, run: str) -> None:
    """One intent for the disclosure, and one entry for each thing that became of it."""
    auditor = platform.machine("datenschutz-demo")
    intent = auditor.get(f"/log/receipts/{disclosure_of(run)}")["index"]
    ends = time.monotonic() + 60
    while True:
        about = [leaf for leaf in leaves(platform) if (leaf["about"] or {}).get("index") == intent]
        results = Counter(leaf["result"] for leaf in about if leaf["kind"] == "outcome")
        results.pop(PERHAPS_AGAIN, None)
        if set(ONCE) <= set(results):
            break
        assert time.monotonic() < ends, f"the log knows only {dict(results)}"
        time.sleep(0.2)
    assert results == Counter(dict.fromkeys(ONCE, 1))
    assert [leaf["kind"] for leaf in about].count("retraction") == 1


def leaves(platform: Platform) -> Iterator[dict[str, Any]]:
    auditor = platform.machine("datenschutz-demo")
    after: int | None = -1
    while after is not None:
        page = auditor.get("/log/entries", after=after, limit=500)
        yield from (json.loads(item["leaf"]) for item in page["items"])
        after = page["next"]


def streams_are_whole(connection: sa.Connection) -> None:
    """Versions of every stream run from 1 without a gap, and no command id stands in two versions of one kind."""
    rows = connection.exec_driver_sql("select agency, stream, version, type, meta from events").all()
    by_stream: dict[tuple[str, str], list[int]] = {}
    commands: Counter[tuple[str, str, str, str]] = Counter()
    for agency, stream, version, kind, meta in rows:
        by_stream.setdefault((agency, stream), []).append(version)
        noted = meta if isinstance(meta, dict) else json.loads(meta)
        commands[(agency, stream, kind, noted["command"])] += 1
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in by_stream.values())
    assert [command for command, count in commands.items() if count > 1] == []


def nothing_waits(connection: sa.Connection) -> None:
    assert connection.exec_driver_sql("select count(*) from parked").scalar_one() == 0


def events_of(connection: sa.Connection, stream: str) -> list[str]:
    query = sa.text("select type from events where agency = :agency and stream = :stream")
    return list(connection.execute(query, {"agency": AGENCY, "stream": stream}).scalars())


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of its own: the databases of a platform bear the same names everywhere."""
    try:
        with private_postgres() as server:
            yield server
    except NoServerError as missing:
        cannot_be_had(missing)


@pytest.mark.timeout(900 if KILLS <= 50 else 0)
def test_one_process_killed_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        everything_happened_once(platform, kill_while_it_is_told(platform, seed=417))


@pytest.mark.timeout(900 if KILLS <= 50 else 0)
def test_any_of_seven_processes_killed_loses_and_doubles_nothing(tmp_path: Path, own_postgres: Postgres) -> None:
    with deployed(tmp_path, own_postgres) as platform:
        everything_happened_once(platform, kill_while_it_is_told(platform, seed=418))
