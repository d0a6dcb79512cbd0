"""`handschlag import`: real input from files. Resumable: what was read before is not read in again."""

import json
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from services.command.demo.world import AGENCY
from services.command.platform import prepare
from services.health.answer_sheets import Fault, Import, layout, sheets, summary
from shared.config import Settings
from shared.errors import Invalid
from shared.files import write_once
from shared.runtime import context

FINDING = 1
SHOWN = 20
DIRECTORY_HELP = "YAML: which persons, partners and texts are meant (contracts/interoperability/README.md)."


@click.group(name="import")
def import_() -> None:
    """Read real input from files."""


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--instrument", required=True, help="Key of the instrument, such as phq-9.")
@click.option("--agency", default=AGENCY, show_default=True, help="Whose records these become.")
@click.option("--taken-on", type=click.DateTime(["%Y-%m-%d"]), help="Day on which they were taken (default: today).")
@click.option("--dry-run", is_flag=True, help="Only look for faulty rows; record nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def assessments(
    *, file: Path, instrument: str, agency: str, taken_on: datetime | None, dry_run: bool, as_json: bool
) -> None:
    """Read answer sheets from a CSV file. Faulty rows are named by line and leave the others alone (exit code 1)."""
    used, wanted = layout(instrument)
    if dry_run:
        faults = [row for row in sheets(file, wanted) if isinstance(row, Fault)]
        _tell({}, faults, as_json=as_json)
        sys.exit(FINDING if faults else 0)
    settings = Settings.from_environment()
    prepare(settings, services=["health"])
    write_once(settings.keys / "import.key", lambda: secrets.token_hex(32))
    held = context("health", settings)
    try:
        today = held.clock.today()
        reading = Import(
            held.store.agency(agency),
            bytes.fromhex((settings.keys / "import.key").read_text("utf-8")),
            used,
            today,
            taken_on.date() if taken_on else today,
        )
        rows = list(sheets(file, wanted))
        if not rows:
            raise Invalid("import.empty", "the file holds no rows", "choose another file")
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task("Antwortbögen", total=len(rows))
            for row in rows:
                reading.take(row)
                progress.advance(task)
        found = summary(reading.store, reading.recorded, used)
        _tell({**found, "known_before": reading.known_before}, reading.faults, as_json=as_json)
    finally:
        held.close()
    sys.exit(FINDING if reading.faults else 0)


def _tell(found: dict[str, Any], faults: list[Fault], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**found, "faults": [vars(fault) for fault in faults]}, ensure_ascii=False))
        return
    for name, value in found.items():
        if name != "frequencies":
            click.echo(f"{name}: {value}")
    for fault in faults[:SHOWN]:
        click.echo(f"Zeile {fault.line}: {fault.detail}. {fault.remedy}", err=True)
    if len(faults) > SHOWN:
        click.echo(f"… und {len(faults) - SHOWN} weitere; alle mit --json", err=True)


@import_.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(["fhir"]), default="fhir", show_default=True, help="What the files are in."
)
@click.option("--directory", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=DIRECTORY_HELP)
@click.option("--agency", default=AGENCY, show_default=True, help="Whose records these become.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of them; record nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def consents(
    *, files: tuple[Path, ...], format_: str, directory: Path | None, agency: str, dry_run: bool, as_json: bool
) -> None:
    """Take over consents from FHIR R4 files, JSON or XML. What has no counterpart is named and permits nothing (exit
    code 1).
    """
    from services.command.consents import import_consents

    del format_
    sys.exit(import_consents(files, directory, agency, dry_run=dry_run, as_json=as_json))
