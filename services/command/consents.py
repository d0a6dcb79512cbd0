"""Consents in and out of files: `handschlag import consents`, `handschlag export consents`."""

import json
import secrets
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml
from rich.console import Console
from rich.progress import Progress, track

from services.command.reading import explained, reading_room
from shared.config import Settings
from shared.errors import HandschlagError, Invalid
from shared.files import write_once
from shared.runtime import context
from shared.schema import parse

if TYPE_CHECKING:
    from services.consent.interchange.importing import Fault, Import, Taken
    from services.consent.interchange.translation import Directory
    from shared.domain import Json
    from shared.runtime import ServiceContext

FINDING = 1
SHOWN = 20
FHIR_JSON, FHIR_XML = "json", "xml"


def import_consents(files: Sequence[Path], directory: Path | None, agency: str, *, dry_run: bool, as_json: bool) -> int:
    """Take over the consents of the files; the exit code. One file that cannot be read leaves the others alone."""
    known = _directory(directory)
    with _importing(agency, known, dry_run=dry_run) as (reading, held):
        done: list[dict[str, Any]] = []
        shown = track(files, "Einwilligungen", console=Console(stderr=True), disable=not sys.stderr.isatty())
        for file in shown:
            taken, faults = _read(file, reading, held)
            done.append({"file": str(file), "taken": taken, "faults": faults})
    _tell(done, as_json=as_json)
    refused = any(gap.refuses for each in done for taken in each["taken"] for gap in taken.wanted.gaps)
    return FINDING if refused or any(each["faults"] for each in done) else 0


def _read(file: Path, reading: "Import", held: "ServiceContext | None") -> "tuple[list[Taken], list[Fault]]":
    from services.consent.interchange.documents import resources
    from services.consent.interchange.importing import Fault

    try:
        looked, faults = reading.looked_at(resources(file.read_bytes()))
    except Invalid as error:
        return [], [Fault("", error.code, error.detail, error.remedy)]
    if held is None:
        return looked, faults
    store, taken = held.store.agency(reading.agency, actor="import"), []
    for each in looked:
        try:
            taken.append(reading.take(each, store, held.database))
        except HandschlagError as error:
            faults.append(Fault(each.place, error.code, error.detail or error.code, error.remedy))
    return taken, faults


def _directory(path: Path | None) -> "Directory":
    from services.consent.interchange.translation import Directory

    if path is None:
        return Directory()
    try:
        said = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Invalid("import.directory_invalid", "the directory is no YAML in UTF-8", "correct it") from None
    return parse(Directory, said or {}, code="import.directory_invalid")


@contextmanager
def _importing(agency: str, known: "Directory", *, dry_run: bool) -> "Iterator[tuple[Import, ServiceContext | None]]":
    """The import, and what it records with; a dry run makes and touches nothing, so its ids are not the real ones."""
    from services.command.platform import prepare
    from services.consent.interchange.importing import Import

    settings = Settings.from_environment()
    if dry_run:
        yield Import(agency, secrets.token_bytes(32), known, settings.clock().today()), None
        return
    prepare(settings, services=["consent"])
    write_once(settings.keys / "import.key", lambda: secrets.token_hex(32))
    secret = bytes.fromhex((settings.keys / "import.key").read_text("utf-8"))
    held = context("consent", settings)
    try:
        yield Import(agency, secret, known, held.clock.today()), held
    finally:
        held.close()


def _tell(done: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    from services.consent.interchange.importing import told

    counts = Counter[str]()
    for each in done:
        for taken in each["taken"]:
            counts["consents"] += 1
            counts["known_before"] += taken.known_before
            counts["given"] += len(taken.wanted.give)
            counts["refused"] += len(taken.wanted.refuse)
            counts["withdrawn"] += len(taken.withdrawn)
            counts["without_counterpart"] += sum(gap.refuses for gap in taken.wanted.gaps)
    totals = {name: counts[name] for name in COUNTED}
    if as_json:
        items = [
            {
                "file": each["file"],
                "consents": [told(taken) for taken in each["taken"]],
                "faults": [asdict(fault) for fault in each["faults"]],
            }
            for each in done
        ]
        click.echo(json.dumps({**totals, "files": items}, ensure_ascii=False))
        return
    for name, count in totals.items():
        click.echo(f"{name}: {count}")
    lines = list(_lines(done))
    for line in lines[:SHOWN]:
        click.echo(line, err=True)
    if len(lines) > SHOWN:
        click.echo(f"… und {len(lines) - SHOWN} weitere; alle mit --json", err=True)


COUNTED = ("consents", "known_before", "given", "refused", "withdrawn", "without_counterpart")


def _lines(done: Sequence[dict[str, Any]]) -> Iterator[str]:
    for each in done:
        for fault in each["faults"]:
            yield f"{each['file']} {fault.place}: {fault.code}: {fault.detail}. {fault.remedy}".rstrip()
        for taken in each["taken"]:
            for gap in taken.wanted.gaps:
                what = f" ({gap.what})" if gap.what else ""
                yield f"{each['file']} {gap.path}: {gap.code}{what}: {gap.why}" + ("" if gap.refuses else " (behalten)")


@click.command()
@click.argument("person")
@click.option(
    "--format",
    "format_",
    type=click.Choice([FHIR_JSON, FHIR_XML]),
    default=FHIR_JSON,
    show_default=True,
    help="How the FHIR is written.",
)
@click.option("--originals", is_flag=True, help="Also what was imported, as it came.")
@explained
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file; it is not overwritten, and holds personal data.",
)
def consents(
    *, person: str, format_: str, originals: bool, agency: str, by: str, reason: str, as_json: bool, output: Path
) -> None:
    """Every consent of one person (id) as FHIR R4: given, refused, paused, withdrawn. The export is logged first."""
    from services.consent.interchange.documents import to_xml

    if output.exists():
        raise click.BadParameter(f"{output} is there already", param_hint="--output")
    entry = _logged(agency, by, reason, person)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        progress.add_task("Einwilligungen", total=None)
        made = _bundle(agency, by, person, originals=originals)
    text = to_xml(made) if format_ == FHIR_XML else json.dumps(made, ensure_ascii=False, indent=2).encode() + b"\n"
    write_once(output, lambda: text)
    count = len(made.get("entry", ()))
    if as_json:
        click.echo(json.dumps({"file": str(output), "consents": count, "entry": entry}))
    else:
        click.echo(f"{output}: {count} consents; the export is logged as {entry}")


def _logged(agency: str, by: str, reason: str, person: str) -> str:
    """Log the look before anything is shown (§ 67c Abs. 5 SGB X)."""
    from services.audit.reads import log_read

    with reading_room(agency, by) as (room, looker):
        logged = log_read(
            room.store,
            room.log,
            room.clock,
            read_id=str(uuid.uuid4()),
            by=looker.by,
            role=looker.role,
            way="consents",
            reason=reason,
            person_id=person,
        )
    return f"{logged.origin}#{logged.idx}"


def _bundle(agency: str, by: str, person: str, *, originals: bool) -> "Json":
    from services.consent.interchange.exporting import exported

    held = context("consent", Settings.from_environment())
    try:
        return exported(held, agency, by, person, originals=originals)
    finally:
        held.close()
