"""`handschlag export`: a part of the audit log, to be verified on a machine that never saw the system."""

import json
import os
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from services.command.consents import consents
from services.command.reading import explained, reading_room
from shared.domain import known

F = TypeVar("F", bound=Callable[..., Any])
OPENED = ("person", "case", "decided_by", "facts", "reasons")
DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def export() -> None:
    """Take a part of the log along: entries, openings, receipts, signed heads, and the rules that decided."""


export.add_command(consents)


def _output(function: F) -> F:
    function = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")(function)
    return click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file; it is not overwritten, and holds personal data.",
    )(function)


_open = click.option(
    "--open",
    "opened",
    multiple=True,
    default=("person", "case"),
    show_default=True,
    type=click.Choice(OPENED),
    help="What is opened, beside the entry that commits to it; several times.",
)


@export.command()
@click.argument("person")
@_open
@explained
@_output
def subject(person: str, opened: tuple[str, ...], **given: Any) -> None:
    """Everything about one person (id)."""
    _export({"what": "subject", "person_id": person, "open": opened}, **given)


@export.command()
@click.argument("case")
@click.option("--person", required=True, help="Whose case it is: the log finds cases by their persons.")
@_open
@explained
@_output
def case(case: str, person: str, opened: tuple[str, ...], **given: Any) -> None:
    """Everything about one case (id) of a person."""
    _export({"what": "case", "case_id": case, "person_id": person, "open": opened}, **given)


@export.command()
@click.argument("first_day", type=DAY)
@click.argument("last_day", type=DAY)
@explained
@_output
def period(first_day: datetime, last_day: datetime, **given: Any) -> None:
    """Every entry from one day to another, both included, without saying about whom."""
    _export({"what": "period", "first_day": first_day.date(), "last_day": last_day.date()}, **given)


def _export(asked: dict[str, Any], *, agency: str, by: str, reason: str, output: Path, as_json: bool) -> None:
    from services.audit.reading_room import BundleQuestion, ExportLog

    if output.exists():
        raise click.BadParameter(f"{output} is there already", param_hint="--output")
    export_id, after, lines, first = str(uuid.uuid4()), "", 0, ""
    part = output.with_name(f"{output.name}.part")
    with reading_room(agency, by) as (room, looker):
        entry = room.export(ExportLog(export_id=export_id, reason=reason, **asked), looker)
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file,
            Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress,
        ):
            task = progress.add_task("Export", total=None)
            while True:
                page = room.bundle(BundleQuestion(export_id=export_id, after=after, limit=500), looker)
                fresh = known(page.lines, ())
                file.writelines(f"{line}\n" for line in fresh)
                first, lines = first or fresh[0], lines + len(fresh)
                progress.update(task, completed=lines, total=page.total)
                if page.next is None:
                    break
                after = page.next
    part.replace(output)
    _tell(output, json.loads(first)["keys"], lines, f"{entry.origin}#{entry.idx}", as_json=as_json)


def _tell(output: Path, keys: list[str], lines: int, entry: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"file": str(output), "lines": lines, "keys": keys, "entry": entry}))
        return
    options = " ".join(f"--key '{key}'" for key in keys)
    click.echo(f"{output}: {lines} lines; the export is logged as {entry}")
    click.echo(f"Elsewhere: handschlag log verify bundle {output.name} {options}")
    click.echo("Compare the key with the one the agency publishes (GET /v1/log/key) before you rely on it.")
