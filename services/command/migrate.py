"""`handschlag migrate`: the keys that are missing, and every database up to date."""

import json

import click

from services.command.platform import prepare
from shared.config import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def migrate(*, as_json: bool) -> None:
    """Make missing keys and bring the databases of all services up to date. Safe to repeat."""
    done: list[str] = []
    prepare(Settings.from_environment(), done.append)
    if as_json:
        click.echo(json.dumps({"migrated": done}))
    else:
        click.echo(f"Up to date: {', '.join(done)}.")
