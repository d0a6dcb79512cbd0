"""What the keeper of the log does with it, beside verifying: write it out, check it whole, declare a break.

The services are imported only when one of these is called: `log verify` needs none of them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.command.log import log
from shared.config import Settings

if TYPE_CHECKING:
    from services.audit.sequencer import AuditLog

FINDING = 1
_agency = click.option("--agency", required=True, help="Whose log.")


@contextmanager
def _log() -> "Iterator[AuditLog]":
    from services.audit.evidence import audit_log
    from shared.runtime import context

    held = context("audit", Settings.from_environment())
    try:
        yield audit_log(held)
    finally:
        held.close()


@log.command()
@_agency
@click.option("--year", type=int, help="Of which year (default: the log that is being written).")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
def dump(*, agency: str, year: int | None, output: Path | None) -> None:
    """Write the whole log out, for `log verify dump` on a machine that never saw the system."""
    with _log() as kept:
        lines = kept.dump(agency, year)
        if output is None:
            for line in lines:
                click.echo(line)
            return
        with output.open("w", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in lines)


@log.command()
@_agency
def check(*, agency: str) -> None:
    """Recompute every hash, node and signature in the database. Exit code 1 if anything is wrong."""
    with _log() as kept:
        findings = kept.fsck(agency)
    for finding in findings:
        place = "" if finding.index is None else f" at entry {finding.index}"
        click.echo(f"{finding.log}: {finding.code}{place}")
    click.echo("nothing is wrong" if not findings else f"{len(findings)} findings")
    sys.exit(FINDING if findings else 0)


@log.command(name="declare-break")
@_agency
@click.option("--reason", required=True, help="A word such as restored_from_backup; it stands in the new log.")
@click.confirmation_option(prompt="The log goes on under a new name, and everybody will see the break. Go on?")
def declare_break(*, agency: str, reason: str) -> None:
    """Go on under a new origin after the database fell behind the kept head, as after a restored backup."""
    with _log() as kept:
        click.echo(kept.declare_break(agency, reason))


__all__ = ["log"]
