"""What the keeper of the log does with it, beside verifying: write it out, check it, delete what is due, mend it.

The services are imported only when one of these is called: `log verify` needs none of them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.command.log import log
from services.command.log_search import search
from shared.config import Settings

if TYPE_CHECKING:
    from services.audit.sequencer import AuditLog
    from shared.runtime import ServiceContext

FINDING = 1
_agency = click.option("--agency", required=True, help="Whose log.")


@contextmanager
def _opened() -> "Iterator[tuple[ServiceContext, AuditLog]]":
    from services.audit.evidence import audit_log
    from shared.runtime import context

    held = context("audit", Settings.from_environment())
    try:
        yield held, audit_log(held)
    finally:
        held.close()


@log.command()
@_agency
@click.option("--year", type=int, help="Of which year (default: the log that is being written).")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
def dump(*, agency: str, year: int | None, output: Path | None) -> None:
    """Write the whole log out, for `log verify dump` on a machine that never saw the system."""
    with _opened() as (_, kept):
        lines = kept.dump(agency, year)
        if output is None:
            for line in lines:
                click.echo(line)
            return
        with output.open("w", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in lines)


@log.command()
@_agency
@click.option("--events", is_flag=True, help="Hold the event stores of all services against the log as well.")
def check(*, agency: str, events: bool) -> None:
    """Recompute every hash, node and signature in the database. Exit code 1 if anything is wrong.

    What the checks that run by themselves have found is told too, and how far each witness got; a witness that is late
    is nothing wrong. With --events each event that was edited, removed or put in afterwards is named.
    """
    with _opened() as (held, kept):
        told = [*_fsck(kept, agency), *_found_before(held, agency), *(_events(held, kept, agency) if events else [])]
        for each in kept.witnesses(agency):
            why = f", {each.code} since {each.since}" if each.code else ""
            click.echo(f"{each.log}: witness {each.witness} cosigned {each.cosigned} of {each.size}{why}")
    for line in told:
        click.echo(line)
    click.echo("nothing is wrong" if not told else f"{len(told)} findings")
    sys.exit(FINDING if told else 0)


def _fsck(kept: "AuditLog", agency: str) -> Iterator[str]:
    for finding in kept.fsck(agency):
        place = "" if finding.index is None else f" at entry {finding.index}"
        yield f"{finding.log}: {finding.code}{place}"


def _found_before(held: "ServiceContext", agency: str) -> Iterator[str]:
    """What the sweep and the comparison with the partners found; the check of the tree has just been made."""
    from services.audit.findings import CHECK, Findings

    with held.database.read() as tx:
        found = Findings(agency).all(tx)
    for each in found:
        if each.source != CHECK:
            yield f"{each.log}: {each.code} at entry {each.place} since {each.since}"


def _events(held: "ServiceContext", kept: "AuditLog", agency: str) -> Iterator[str]:
    """Each service's store against the log. Needs the right to read all of them."""
    from services import SERVICES
    from services.audit.event_log import Comparison, lists_kept_since
    from shared.runtime import context

    for service in SERVICES:
        at = held if service == "audit" else context(service, held.settings)
        try:
            compared = Comparison(kept, service, at.store.rows, lists_kept_since(held.clock)).run()
        finally:
            if at is not held:
                at.close()
        for each in sorted(compared.findings):
            if each.agency == agency:
                yield f"{service}: {each.code} {each.stream} {each.version}"
        click.echo(
            f"{service}: {compared.events} events agree or are named below, {compared.not_yet} are not hashed yet,"
            f" {compared.unlisted} lists are gone"
        )


@log.command()
@_agency
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def status(*, agency: str, as_json: bool) -> None:
    """How the log stands: its length, what the checks found, and when each of them last ran."""
    from services.audit.status import log_status
    from shared.schema import dump

    with _opened() as (held, kept):
        found = log_status(held.database, kept, agency)
    if as_json:
        click.echo(json.dumps(dump(found), indent=2))
        return
    click.echo(f"{found.origin or 'no log yet'}: {found.entries} entries")
    for each in found.checks:
        click.echo(f"{each.source}: {each.at}, {each.count} looked at")
    for finding in found.findings:
        click.echo(f"{finding.log}: {finding.code} {finding.place} since {finding.since}")


@log.group()
def retention() -> None:
    """Delete what is due by contracts/law/retention.yaml."""


@retention.command()
@click.option("--dry-run", is_flag=True, help="Only tell what is due.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def run(*, dry_run: bool, as_json: bool) -> None:
    """Delete what is due, as the role that HANDSCHLAG_RETENTION names, and log each deletion. Safe to repeat.

    Interrupted, the next run goes on; nothing is deleted or logged twice. On SQLite there are no roles.
    """
    from services.audit.retention import log_erasures
    from services.audit.watching import retention as at_work
    from shared.database import Database

    with _opened() as (held, kept):
        database = Database(held.settings.retention_url())
        try:
            known = at_work(held, kept, database)
            done = known.due() if dry_run else known.run()
        finally:
            database.close()
        if not dry_run:
            kept.start()
            try:
                log_erasures(kept, held.database)
            finally:
                kept.stop()
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "deleted": [asdict(each) for each in done]}, indent=2))
        return
    for each in done:
        click.echo(f"{each.log}: {each.what} of {each.count} entries, by rule {each.rule}")
    click.echo(f"{sum(each.count for each in done)} {'due' if dry_run else 'deleted'}")


@log.command(name="change-key")
@click.option("--overlap-days", type=click.IntRange(1, 366), default=90, show_default=True, help="Both keys sign.")
@click.confirmation_option(prompt="Partners and witnesses have to learn the new key before the overlap ends. Go on?")
def change_key(*, overlap_days: int) -> None:
    """Make a new signing key. The audit service takes it with its next start; the change is an entry of the log."""
    from services.command.keys import change_log_key

    settings = Settings.from_environment()
    until = settings.clock().today() + timedelta(days=overlap_days)
    click.echo(f"{change_log_key(settings, until)} signs from the next start on, beside the old key until {until}")


@log.command(name="declare-break")
@_agency
@click.option("--reason", required=True, help="A word such as restored_from_backup; it stands in the new log.")
@click.confirmation_option(prompt="The log goes on under a new name, and everybody will see the break. Go on?")
def declare_break(*, agency: str, reason: str) -> None:
    """Go on under a new origin after the database fell behind the kept head, as after a restored backup."""
    with _opened() as (_, kept):
        click.echo(kept.declare_break(agency, reason))


__all__ = ["log", "search"]
