"""Where RabbitMQ comes from: installed here, or Debian's packages, unpacked into the user's cache without root."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.keeping import NoServerError

ERLANG = (
    "base asn1 crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl syntax-tools"
    " tftp tools xmerl"
)
DEBIAN_PACKAGES = ["rabbitmq-server", *(f"erlang-{part}" for part in ERLANG.split())]


@dataclass(frozen=True)
class BrokerPrograms:
    server: Path
    erlang_bin: Path
    epmd: Path


def installed_broker() -> BrokerPrograms | None:
    """The broker of this machine, from its own `lib` folder; the wrapper in `sbin` is for root only."""
    if os.environ.get("HANDSCHLAG_IGNORE_INSTALLED"):
        return None
    erl = shutil.which("erl", path=f"{os.environ.get('PATH', os.defpath)}:/usr/lib/erlang/bin")
    places = [Path("/usr/lib/rabbitmq/lib"), Path("/usr/local/lib/rabbitmq/lib"), Path("/opt/rabbitmq")]
    homes = [home for place in places for home in sorted(place.glob("rabbitmq_server-*"))]
    servers = [home / "sbin" / "rabbitmq-server" for home in homes]
    usable = [server for server in servers if os.access(server, os.X_OK)]
    if not erl or not usable:
        return None
    return programs_of(usable[-1], Path(erl).resolve().parent)


def programs_of(server: Path, erlang_bin: Path) -> BrokerPrograms | None:
    epmds = [erlang_bin / "epmd", *erlang_bin.parent.glob("erts-*/bin/epmd")]
    epmd = next((each for each in epmds if each.exists()), None)
    return BrokerPrograms(server, erlang_bin, epmd) if epmd else None


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
    return Path(base) / "handschlag" / "rabbitmq"


def downloaded_broker() -> BrokerPrograms:
    """Debian's packages, unpacked into the cache once; a second run waits for the first, then finds them."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("w")
    except OSError as error:
        message = f"RabbitMQ: not installed, and {cache} cannot be written ({error.strerror})"
        raise NoServerError(message) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = cache / "root"
        if not root.exists():
            fill_cache(cache, root)
    (server,) = root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
    programs = programs_of(server, root / "usr/lib/erlang/bin")
    assert programs is not None
    return programs


def fill_cache(cache: Path, root: Path) -> None:
    """All or nothing: the folder gets its name only when everything in it is in place."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            message = f"RabbitMQ: not installed, and without {tool} it cannot be downloaded either"
            raise NoServerError(message)
    work = Path(tempfile.mkdtemp(prefix="download-", dir=cache))
    try:
        packages = download_packages(work)
        unpacked = work / "root"
        for package in packages:
            run_tool("dpkg-deb", "-x", str(package), str(unpacked))
        move_erlang(unpacked, root)
        unpacked.rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def download_packages(work: Path) -> list[Path]:
    """With package lists of our own, so that it works where nobody ever ran an update and as any user."""
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True)
    folders = [f"Dir::State::lists={work}/lists", f"Dir::Cache={work}/cache"]
    options = [*folders, "APT::Sandbox::User=", "Acquire::Retries=3"]
    apt = ["apt-get", *(part for option in options for part in ("-o", option))]
    run_tool(*apt, "update", folder=work)
    run_tool(*apt, "download", *DEBIAN_PACKAGES, folder=work / "packages")
    return sorted((work / "packages").glob("*.deb"))


def move_erlang(unpacked: Path, root: Path) -> None:
    """Erlang's start scripts know where they were installed; both are told where they will be."""
    erlang, place = unpacked / "usr/lib/erlang", shlex.quote(f"{root}/usr/lib/erlang")
    for script in [erlang / "bin/erl", *erlang.glob("erts-*/bin/erl")]:
        text = re.sub(r'ROOTDIR="?/usr/lib/erlang"?', lambda _: f"ROOTDIR={place}", script.read_text())
        script.resolve().write_text(text)


def run_tool(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        message = f"RabbitMQ: not installed, and {Path(command[0]).name} failed: {' '.join(said)}"
        raise NoServerError(message)
