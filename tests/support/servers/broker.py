"""A RabbitMQ of one's own: its node, its port mapper and its data live in one folder and end together."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from tests.support.servers.broker_programs import BrokerPrograms, downloaded_broker, installed_broker
from tests.support.servers.keeping import Json, Keeper, Server, await_up, free_ports, work_folder

VHOST = "/handschlag"
ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class RabbitMQ(Server):
    """A running RabbitMQ; `url` belongs to a user who may do everything in the virtual host."""

    host: str = ""
    port: int = 0

    def url_for(self, user: str, password: str, vhost: str = VHOST) -> str:
        """The address for somebody else who may sign in here."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"amqp://{who}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def answers(self) -> bool:
        import kombu  # only whoever asks for a broker needs its client

        try:
            with kombu.Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except (OSError, kombu.exceptions.KombuError, *kombu.Connection(self.url).connection_errors):
            return False
        return True


def only_an_administrator() -> Json:
    """Definitions of a broker that has the virtual host and nobody in it yet."""
    return {"vhosts": [{"name": VHOST}]}


def with_administrator(definitions: Json, password: str) -> Json:
    """The same definitions, plus a user of the tests who may do everything in every virtual host named."""
    from deploy.rabbitmq.generate import password_hash

    user = {"name": ADMINISTRATOR, "password_hash": password_hash(password), "tags": ["administrator"]}
    user["hashing_algorithm"] = "rabbit_password_hashing_sha256"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    vhosts = [vhost["name"] for vhost in definitions.get("vhosts", [])]
    grants = [{"user": ADMINISTRATOR, "vhost": vhost, **everything} for vhost in vhosts]
    return {
        **definitions,
        "users": [*definitions.get("users", []), user],
        "permissions": [*definitions.get("permissions", []), *grants],
    }


@contextlib.contextmanager
def private_rabbitmq(definitions: Json | None = None) -> Iterator[RabbitMQ]:
    """Starts a RabbitMQ of one's own that loads `definitions`, plus an administrator who owns `url`."""
    programs = installed_broker() or downloaded_broker()
    folder = work_folder("rabbitmq")
    try:
        with closing(start_rabbitmq(programs, folder, definitions or only_an_administrator())) as broker:
            yield broker
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_rabbitmq(programs: BrokerPrograms, folder: Path, definitions: Json) -> RabbitMQ:
    port, distribution, mapper = free_ports(3)
    password = secrets.token_urlsafe(16)
    loaded = folder / "definitions.json"
    loaded.touch(mode=0o600)
    loaded.write_text(json.dumps(with_administrator(definitions, password)))
    (folder / "plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {loaded}\nlog.file = false\n"
        "log.console = true\nlog.console.level = info\ndisk_free_limit.absolute = 50MB\n"
    )
    environment = {
        "PATH": f"{programs.erlang_bin}:{os.environ.get('PATH', os.defpath)}:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "RABBITMQ_NODENAME": f"handschlag{port}@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    common = {"env": environment, "folder": str(folder), "stop": "SIGTERM"}
    epmd = {**common, "command": [str(programs.epmd)], "log": str(folder / "epmd.log")}
    server = {**common, "command": [str(programs.server)], "log": str(folder / "rabbitmq.log")}
    keeper = Keeper([epmd, server], [folder])
    unnamed = RabbitMQ(url="", host="127.0.0.1", port=port, keeper=keeper)
    vhost = definitions.get("vhosts", [{"name": VHOST}])[0]["name"]
    broker = replace(unnamed, url=unnamed.url_for(ADMINISTRATOR, password, vhost))
    try:
        await_up(keeper, broker.answers, "RabbitMQ")
    except BaseException:
        keeper.close()
        raise
    return broker


@contextlib.contextmanager
def rabbitmq(definitions: Json | None = None) -> Iterator[RabbitMQ]:
    """The RabbitMQ that the environment names, else a private one with these definitions."""
    named = os.environ.get("HANDSCHLAG_TEST_RABBITMQ", "")
    if named:
        yield RabbitMQ(url=named)
        return
    with private_rabbitmq(definitions) as broker:
        yield broker
