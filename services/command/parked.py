"""`handschlag parked`: messages that could not be handled, and everything of their stream that waits behind them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from services import SERVICES
from services.command.platform import DEFINITIONS
from shared.config import Settings
from shared.errors import Invalid
from shared.messaging import Inbox
from shared.runtime import context

FINDING = 1
_service = click.argument("service", type=click.Choice(SERVICES))
_message = click.argument("message_id")


@click.group()
def parked() -> None:
    """List, show, retry, repair or give up messages that a service could not handle.

    Each is tried again by itself, after 2, 4, 8 … seconds, up to an hour; what comes later in its stream waits.
    """


@contextmanager
def _inbox(service: str) -> Iterator[Inbox]:
    held = context(service, Settings.from_environment())
    try:
        work = DEFINITIONS[service].work
        yield Inbox(held, work.inbound, work.sources)
    finally:
        held.close()


@parked.command(name="list")
@_service
@click.option("--limit", default=1000, show_default=True, help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def list_(ctx: click.Context, *, service: str, limit: int, as_json: bool) -> None:
    """What waits, in its order. Exit code 1 if anything does."""
    with _inbox(service) as inbox:
        waiting, count = inbox.parked(limit=limit), inbox.waiting()
    rows = [
        {"id": each.message_id, "type": each.type, "code": each.code, "attempts": each.attempts, "stream": each.stream}
        for each in waiting
    ]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo("  ".join(str(value) for value in row.values()))
        click.echo(f"{count} waiting")
    ctx.exit(FINDING if count else 0)


@parked.command()
@_service
@_message
@click.pass_context
def show(ctx: click.Context, *, service: str, message_id: str) -> None:
    """One that waits, with what it says, as JSON. Exit code 1 if it does not wait."""
    with _inbox(service) as inbox:
        found = inbox.one(message_id)
    if found is None:
        click.echo("no such message waits", err=True)
        ctx.exit(FINDING)
        return
    told = {"code": found.code, "attempts": found.attempts, "next_attempt_at": found.next_attempt_at.isoformat()}
    click.echo(json.dumps({**told, **found.body}, indent=2, ensure_ascii=False))


@parked.command()
@_service
@click.pass_context
def retry(ctx: click.Context, *, service: str) -> None:
    """Try again now what is first in its stream. Exit code 1 if anything still waits."""
    with _inbox(service) as inbox:
        handled, left = inbox.retry(now=True), inbox.waiting()
    click.echo(f"{handled} handled, {left} waiting")
    ctx.exit(FINDING if left else 0)


@parked.command()
@_service
@_message
@click.argument("data", type=click.File("rb"))
@click.pass_context
def repair(ctx: click.Context, *, service: str, message_id: str, data: IO[bytes]) -> None:
    """Let a message say what stands in the file DATA (JSON, `-` for standard input) and be tried again.

    It keeps its id and its place. What the handler could not read either is refused, field by field.
    """
    try:
        said = json.load(data)
    except ValueError as error:
        raise Invalid(
            "message.invalid", "the file is not JSON", "write one object, as `show` prints in `data`"
        ) from error
    with _inbox(service) as inbox:
        was_there = inbox.repair(message_id, said)
    click.echo("repaired" if was_there else "no such message waits")
    ctx.exit(0 if was_there else FINDING)


@parked.command(name="give-up")
@_service
@_message
@click.pass_context
def give_up(ctx: click.Context, *, service: str, message_id: str) -> None:
    """Decide that a message is never to be handled; what waited behind it goes on."""
    with _inbox(service) as inbox:
        was_there = inbox.give_up(message_id)
    click.echo("given up" if was_there else "no such message waits")
    ctx.exit(0 if was_there else FINDING)
