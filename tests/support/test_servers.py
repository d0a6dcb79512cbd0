"""The servers of the tests: private, gone afterwards however the tests end, and never somebody else's."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support import servers
from tests.support.servers import NoServerError, Postgres, broker_programs, postgres, private_postgres

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background has it ignored
from tests.support.servers import private_postgres
with private_postgres() as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def within(seconds: float, come_true: Callable[[], bool]) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if come_true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.real_postgres
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_whoever_started_it(number: int, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    if os.geteuid() == 0:
        environment.pop("TMPDIR")  # the unprivileged user of the server could not get there
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    url = holder.stdout.readline().decode().strip()
    assert listens(url)
    os.kill(holder.pid, number)
    holder.wait()
    holder.stdout.close()
    assert within(10, lambda: not listens(url))
    assert within(5, lambda: list(tmp_path.iterdir()) == [])


@pytest.mark.real_postgres
def test_a_killed_server_keeps_its_data() -> None:
    with private_postgres() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept as select 42 as answer")
        assert server.keeper is not None
        server.keeper.kill()
        assert not server.answers()
        server.restart()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)


@pytest.mark.real_postgres
def test_two_runs_beside_each_other_have_servers_of_their_own() -> None:
    with private_postgres() as one, private_postgres() as other:
        assert one.url != other.url
        assert one.answers()
        assert other.answers()


def test_a_named_server_is_taken_and_never_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSCHLAG_TEST_POSTGRES", "postgresql://tester@db.example/test")
    with postgres() as server:
        assert server == Postgres("postgresql://tester@db.example/test", keeper=None)
        assert server.database("other") == "postgresql://tester@db.example/other"


def test_a_broker_that_cannot_be_had_is_one_plain_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDSCHLAG_IGNORE_INSTALLED", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServerError) as missing, servers.private_rabbitmq():
        pass
    assert str(missing.value) == "RabbitMQ: not installed, and without apt-get it cannot be downloaded either"


def test_a_cache_that_cannot_be_written_is_one_plain_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "handschlag").write_text("a file where the folder should be")
    monkeypatch.setenv("HANDSCHLAG_IGNORE_INSTALLED", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NoServerError, match="cannot be written") as missing:
        broker_programs.downloaded_broker()
    assert "\n" not in str(missing.value)


def test_two_runs_download_once_and_half_a_download_is_never_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    downloads: list[Path] = []

    def download(work: Path) -> list[Path]:
        downloads.append(work)
        time.sleep(0.2)
        if len(downloads) == 1:
            raise NoServerError("the network went away")
        for part in (
            "lib/rabbitmq/lib/rabbitmq_server-1/sbin/rabbitmq-server",
            "lib/erlang/bin/erl",
            "lib/erlang/bin/epmd",
        ):
            path = work / "root" / "usr" / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('ROOTDIR=/usr/lib/erlang\nif [ "$x" ]; then ROOTDIR="/usr/lib/erlang"; fi\n')
        return []

    monkeypatch.setattr(broker_programs, "download_packages", download)
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(broker_programs.downloaded_broker())
        except NoServerError as missing:
            outcomes.append(str(missing))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [each for each in outcomes if not isinstance(each, str)]
    assert [each for each in outcomes if isinstance(each, str)] == ["the network went away"]
    assert len(downloads) == 2
    assert len(set(found)) == 1
    erlang = tmp_path / "handschlag/rabbitmq/root/usr/lib/erlang"
    assert (erlang / "bin/erl").read_text().count(f"ROOTDIR={erlang}") == 2


def test_ports_differ() -> None:
    ports = servers.free_ports(20)
    assert len(set(ports)) == 20


def test_the_administrator_of_the_tests_is_added_and_nothing_else_changes() -> None:
    given = {"vhosts": [{"name": "/a"}], "users": [{"name": "u"}], "permissions": [], "queues": [1]}
    loaded = servers.with_administrator(given, "secret")
    assert "secret" not in json.dumps(loaded)
    assert [user["name"] for user in loaded["users"]] == ["u", servers.ADMINISTRATOR]
    assert loaded["queues"] == [1]
    assert given["users"] == [{"name": "u"}]
