"""`handschlag parked`: messages that could not be handled, and everything of their stream that waits behind them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from services import SERVICES
from services.command.platform import DEFINITIONS
from shared.config import Settings
from shared.messaging import Consumer
from shared.runtime import context

FINDING = 1
_service = click.argument("service", type=click.Choice(SERVICES))


@click.group()
def parked() -> None:
    """List, retry or give up messages that a service could not handle."""


@contextmanager
def _inbox(service: str) -> Iterator[Consumer]:
    held = context(service, Settings.from_environment())
    try:
        work = DEFINITIONS[service].work
        yield Consumer(held, work.inbound, work.sources)
    finally:
        held.close()


@parked.command(name="list")
@_service
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def list_(ctx: click.Context, *, service: str, as_json: bool) -> None:
    """What waits, in its order. Exit code 1 if anything does."""
    with _inbox(service) as inbox:
        waiting = inbox.parked(limit=1000)
    rows = [
        {"id": each.message_id, "type": each.type, "code": each.code, "attempts": each.attempts, "stream": each.stream}
        for each in waiting
    ]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo("  ".join(str(value) for value in row.values()))
        click.echo(f"{len(rows)} waiting")
    ctx.exit(FINDING if rows else 0)


@parked.command()
@_service
@click.pass_context
def retry(ctx: click.Context, *, service: str) -> None:
    """Try again now what is first in its stream. Exit code 1 if anything still waits."""
    with _inbox(service) as inbox:
        handled = inbox.retry(now=True)
        left = len(inbox.parked(limit=1000))
    click.echo(f"{handled} handled, {left} waiting")
    ctx.exit(FINDING if left else 0)


@parked.command(name="give-up")
@_service
@click.argument("message_id")
@click.pass_context
def give_up(ctx: click.Context, *, service: str, message_id: str) -> None:
    """Decide that a message is never to be handled; what waited behind it goes on."""
    with _inbox(service) as inbox:
        was_there = inbox.give_up(message_id)
    click.echo("given up" if was_there else "no such message waits")
    ctx.exit(0 if was_there else FINDING)
