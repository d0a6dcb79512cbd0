"""`handschlag projections`: how the read models stand, and to make one anew while everything goes on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from services import SERVICES
from services.command.platform import DEFINITIONS
from shared.config import Settings
from shared.errors import NotFound
from shared.eventstore import Projection, rebuild, standing
from shared.runtime import ServiceContext, context

FINDING = 1
_service = click.argument("service", type=click.Choice(SERVICES))


@click.group()
def projections() -> None:
    """List read models, or rebuild one from the log beside the one in use."""


@contextmanager
def _opened(service: str) -> Iterator[ServiceContext]:
    held = context(service, Settings.from_environment())
    try:
        yield held
    finally:
        held.close()


@projections.command(name="list")
@click.argument("services", nargs=-1, type=click.Choice(SERVICES))
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def list_(ctx: click.Context, *, services: tuple[str, ...], as_json: bool) -> None:
    """How far each read model is. Exit code 1 if one is of an older version than this program and has to be rebuilt."""
    rows = [row for service in services or SERVICES for row in _rows(service)]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            under_way = f", rebuilding as version {row['rebuilding']}: {row['rebuilt_to']}" if row["rebuilding"] else ""
            outdated = f" (this program has version {row['known']})" if row["version"] != row["known"] else ""
            where = f"{row['position']} of {row['end']}{under_way}"
            click.echo(f"{row['service']}  {row['name']}  version {row['version']}{outdated}  {where}")
    ctx.exit(FINDING if any(row["version"] < row["known"] for row in rows) else 0)


@projections.command(name="rebuild")
@_service
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, without a bar.")
def rebuild_(*, service: str, name: str, as_json: bool) -> None:
    """Fill the read model NAME of SERVICE anew from the start of the log.

    Readers and writers go on meanwhile; the new rows take the place of the old ones when they have caught up. Killed
    in the middle and called again, it goes on where it stopped. On PostgreSQL run it as the owner of the tables, like
    `handschlag migrate`.
    """
    with _opened(service) as held:
        projection = _named(service, name)
        if as_json:
            count = rebuild(held.store, projection)
            click.echo(json.dumps({"service": service, "name": name, "events": count}))
            return
        with click.progressbar(length=max(held.store.settled(), 1), label=name, show_pos=True) as bar:
            count = rebuild(held.store, projection, lambda position, end: _advance(bar, position, end))
    click.echo(f"{count} events read; the new rows are in use")


def _rows(service: str) -> Iterator[dict[str, Any]]:
    with _opened(service) as held:
        end = held.store.settled()
        for projection in DEFINITIONS[service].work.projections:
            found = standing(held.store, projection)
            own = {"service": service, "name": projection.name, "known": projection.version, "end": end}
            version = {"version": found.version or projection.version}
            yield {**own, **found._asdict(), **version}


def _advance(bar: Any, position: int, end: int) -> None:
    bar.length = max(end, 1)
    bar.update(position - bar.pos)


def _named(service: str, name: str) -> Projection:
    known = {projection.name: projection for projection in DEFINITIONS[service].work.projections}
    if name not in known:
        raise NotFound(
            "projection.unknown", f"{service} has no read model {name}", f"it has: {', '.join(known) or '-'}"
        )
    return known[name]
