"""Who may do what at the broker, drawn from `contracts/calls.yaml`: deny by default.

    python -m deploy.rabbitmq.generate              writes definitions.json; nobody can sign in yet
    ... --secrets FOLDER -o FILE                    with password hashes, for a broker's start

Secrets come from FOLDER/<user> or from HANDSCHLAG_BROKER_PASSWORD_<USER>; only their salted hashes are
written.

What the broker then promises, however a service behaves:

- a service sends RPC only to the methods granted to it, and answers to reply keys, which are random UUIDs;
- it receives only what is sent to itself: topic permissions hold for bindings, so nobody listens in;
- it publishes to its own `<service>.events` only; it may hear those of all, which carry no personal data;
- only `exchange` writes to partners, makes their queues, and takes back what they have not read yet;
- a partner reads its own queues and publishes only commands and acknowledgements, to `handschlag.inbox`;
- the gateway alone reads that inbox and puts answers into `client.<user>`, where only that user reads them;
- the default exchange, which would reach any queue by name, is closed to everybody.

Somebody who can change this file, or the broker's own database, can change all of that; what they can not
do is forge a receipt or a signed call, because those are signed by the services.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from shared.identity import CallRules
from shared.messaging import (
    DELIVERY_LIMIT,
    PARTNERS,
    RPC_EXCHANGE,
    UNROUTED,
    events_exchange,
    hearing,
    inbox_queue,
    unrouted_queue,
)

Json = dict[str, Any]
Calls = Mapping[str, Mapping[str, list[str]]]

ROOT = Path(__file__).resolve().parents[2]
CALLS = ROOT / "contracts" / "calls.yaml"
DEFINITIONS = Path(__file__).with_name("definitions.json")

VHOST = "/handschlag"
SERVICES = ("audit", "cases", "consent", "exchange", "health")
GATEWAY = "gateway"
RPC = RPC_EXCHANGE
INBOX = "handschlag.inbox"
CLIENTS = "handschlag.clients"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NOTHING = "^$"
PARTNER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def password_hash(password: str) -> str:
    """RabbitMQ's salted SHA-256; an empty password gives an empty hash, with which nobody signs in."""
    if not password:
        return ""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def one_of(patterns: Iterable[str]) -> str:
    """A regular expression that matches exactly these and nothing around them."""
    chosen = sorted(set(patterns))
    return f"^({'|'.join(chosen)})$" if chosen else NOTHING


def user(name: str, password: str) -> Json:
    hashed = {"password_hash": password_hash(password), "hashing_algorithm": "rabbit_password_hashing_sha256"}
    return {"name": name, **hashed, "tags": []}


def permission(name: str, *, configure: str, write: str, read: str) -> Json:
    return {"user": name, "vhost": VHOST, "configure": configure, "write": write, "read": read}


def topic(name: str, exchange: str, *, write: str, read: str) -> Json:
    return {"user": name, "vhost": VHOST, "exchange": exchange, "write": write, "read": read}


def service_queues(name: str) -> list[str]:
    """The queues of a service: its consumers, its RPC queue, the answers it waits for."""
    return [rf"{name}\..*", rf"rpc-{name}", rf"rpc\.reply-{name}-.*"]


def granted_keys(grants: Mapping[str, list[str]]) -> list[str]:
    return [rf"{re.escape(callee)}\.{re.escape(method)}" for callee, methods in grants.items() for method in methods]


def of_service(name: str, grants: Mapping[str, list[str]]) -> tuple[Json, list[Json]]:
    """What one service (or the gateway) may touch, and with which routing keys."""
    queues, is_service = service_queues(name), name in SERVICES
    events = [rf"{each}\.events" for each in SERVICES]
    writes = [re.escape(RPC)] + ([rf"{name}\.events"] if is_service else [])
    reads = [re.escape(RPC)] + (events if is_service else [])
    if name == "exchange":
        queues = [*queues, r"partner\..*"]
        writes.append(re.escape(PARTNERS))
        reads += [re.escape(PARTNERS), re.escape(INBOX)]
    if name == GATEWAY:
        queues = [*queues, r"client\..*"]
        writes.append(re.escape(CLIENTS))
        reads += [re.escape(CLIENTS), re.escape(INBOX)]
    allowed = permission(
        name,
        configure=one_of([*queues, re.escape(RPC)]),
        write=one_of([*queues, *writes]),
        read=one_of([*queues, *reads]),
    )
    received = [UUID, rf"{name}\.\*"] if is_service else [UUID]
    keys = topic(name, RPC, write=one_of([UUID, *granted_keys(grants)]), read=one_of(received))
    return allowed, [keys]


def of_partner(partner: str) -> tuple[Json, list[Json]]:
    """A partner reads its own queues and speaks to the inbox; it declares and binds nothing."""
    own = re.escape(partner)
    allowed = permission(
        partner,
        configure=NOTHING,
        write=one_of([re.escape(INBOX)]),
        read=one_of([rf"partner\.{own}", rf"client\.{own}"]),
    )
    return allowed, [topic(partner, INBOX, write=r"^(command|acknowledgement)(\..+)?$", read=NOTHING)]


def exchange(name: str, kind: str, **arguments: str) -> Json:
    common = {"vhost": VHOST, "durable": True, "auto_delete": False, "internal": False}
    return {"name": name, "type": kind, **common, "arguments": arguments}


def queue(name: str, **arguments: Any) -> Json:
    common = {"vhost": VHOST, "durable": True, "auto_delete": False}
    return {"name": name, **common, "arguments": {"x-queue-type": "quorum", **arguments}}


def binding(source: str, destination: str, key: str) -> Json:
    common = {"vhost": VHOST, "destination_type": "queue", "arguments": {}}
    return {"source": source, "destination": destination, "routing_key": key, **common}


def of_client(client: str) -> tuple[Json, list[Json]]:
    """A program of an agency sends commands and reads the answers to them."""
    own = rf"client\.{re.escape(client)}"
    allowed = permission(client, configure=NOTHING, write=one_of([re.escape(INBOX)]), read=one_of([own]))
    return allowed, [topic(client, INBOX, write=r"^command(\..+)?$", read=NOTHING)]


def heard_by(service: str) -> list[tuple[str, str]]:
    """The exchange and routing key of each message that a service hears."""
    return hearing(service, import_module(f"services.{service}.inbound").HANDLERS)


def definitions(
    calls: Calls, passwords: Mapping[str, str], partners: Iterable[str] = (), clients: Iterable[str] = ()
) -> Json:
    """The broker's definitions; a user without a password is there and cannot sign in.

    `clients` are programs of agencies that send commands; `partners` receive disclosures and may send, too.
    """
    partners, clients = sorted(set(partners)), sorted(set(clients))
    for partner in (*partners, *clients):
        if not PARTNER_ID.fullmatch(partner) or partner in (*SERVICES, GATEWAY):
            message = f"{partner!r} cannot be a partner's name at the broker"
            raise ValueError(message)
    ours = [of_service(name, calls.get(name, {})) for name in (*SERVICES, GATEWAY)]
    everybody = [*ours, *map(of_partner, partners), *map(of_client, clients)]
    return {
        "vhosts": [{"name": VHOST}],
        "users": [user(name, passwords.get(name, "")) for name in (*SERVICES, GATEWAY, *partners, *clients)],
        "permissions": [allowed for allowed, _ in everybody],
        "topic_permissions": [key for _, keys in everybody for key in keys],
        "exchanges": [
            exchange(RPC, "topic"),
            *(exchange(f"{name}.events", "topic", **events_exchange(name).arguments) for name in SERVICES),
            exchange(INBOX, "topic", **{"alternate-exchange": UNROUTED}),
            exchange(PARTNERS, "direct"),
            exchange(CLIENTS, "direct"),
            exchange(UNROUTED, "fanout"),
            *(exchange(f"{name}.dead", "fanout") for name in SERVICES),
        ],
        "queues": [
            queue(UNROUTED, **unrouted_queue().queue_arguments),
            *(queue(f"{name}.inbox", **inbox_queue(name).queue_arguments) for name in SERVICES),
            *(queue(f"{name}.dead") for name in SERVICES),
            queue(f"{GATEWAY}.inbox"),
            *(queue(f"client.{each}") for each in (*partners, *clients)),
            *(queue(f"partner.{each}", **{"x-delivery-limit": DELIVERY_LIMIT}) for each in partners),
        ],
        "bindings": [
            binding(UNROUTED, UNROUTED, ""),
            *(binding(f"{name}.dead", f"{name}.dead", "") for name in SERVICES),
            *(binding(source, f"{name}.inbox", key) for name in SERVICES for source, key in heard_by(name)),
            *(binding(PARTNERS, f"partner.{each}", f"partner.{each}") for each in partners),
            *(binding(CLIENTS, f"client.{each}", f"client.{each}") for each in (*partners, *clients)),
            *(binding(INBOX, f"{GATEWAY}.inbox", key) for key in ("command.#", "acknowledgement.#")),
        ],
    }


def read_calls(path: Path = CALLS) -> Calls:
    """Which service may call which method of which other; nothing else is possible."""
    calls: dict[str, dict[str, list[str]]] = {}
    for caller, callee, method in CallRules.load(path):
        calls.setdefault(caller, {}).setdefault(callee, []).append(method)
    return calls


def secret_of(name: str, folder: Path | None) -> str:
    variable = f"HANDSCHLAG_BROKER_PASSWORD_{name.upper().replace('-', '_')}"
    file = folder / name if folder else None
    return file.read_text(encoding="utf-8").strip() if file and file.exists() else os.environ.get(variable, "")


def write(path: Path, document: Json, mode: int) -> None:
    """Readable for whom it is meant from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=False)
        file.write("\n")


@click.command(help=__doc__)
@click.option("--secrets", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=DEFINITIONS)
@click.option("--partner", "partners", multiple=True, help="A partner with a user and a queue of its own.")
@click.option("--client", "clients", multiple=True, help="A program of an agency that sends commands.")
def main(folder: Path | None, output: Path, partners: tuple[str, ...], clients: tuple[str, ...]) -> None:
    committed = output.resolve() == DEFINITIONS
    if committed and (folder or partners or clients):
        message = "the committed definitions hold no secrets, partners or clients; name another file with -o"
        raise click.UsageError(message)
    names = [*SERVICES, GATEWAY, *partners, *clients]
    passwords = {} if committed else {name: secret_of(name, folder) for name in names}
    missing = [name for name in names if not passwords.get(name)]
    if missing and not committed:
        click.echo(
            f"no secret for {', '.join(missing)}: put one into the folder of secrets, nothing was written", err=True
        )
        sys.exit(1)
    write(output, definitions(read_calls(), passwords, partners, clients), 0o644 if committed else 0o600)


if __name__ == "__main__":
    main()
