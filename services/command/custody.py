"""`handschlag keys`: the wrapping keys of persons' keys, rotated monthly and destroyed when the backups have expired.

Why that matters: a backup of a service's database holds the keys of persons who were erased since, wrapped. It can be
read as long as the wrapping key of that time exists, and no longer.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import click

from services import SERVICES
from shared.config import Settings
from shared.crypto import Custody, FileCustody, PersonKeys
from shared.database import Database

PERIOD = timedelta(days=28)
BACKUP_WINDOW = timedelta(days=35)
"""No backup is kept longer than this; after it the wrapping keys of that time are destroyed."""


@dataclass(frozen=True)
class Rotated:
    """What was done for one service: `rewrapped` keys of persons, wrapping keys `destroyed` and still `waiting`."""

    service: str
    current: str
    begun: bool
    rewrapped: int
    destroyed: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Periods:
    """When each wrapping key began and ended, in a file beside the custody. No keys in it."""

    file: Path

    def read(self) -> dict[str, dict[str, str]]:
        if not self.file.exists():
            return {"began": {}, "ended": {}}
        found: dict[str, dict[str, str]] = json.loads(self.file.read_text("utf-8"))
        return found

    def write(self, known: dict[str, dict[str, str]]) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(known, indent=1), "utf-8")
        draft.replace(self.file)


def rotate(
    service: str, keys: PersonKeys, custody: Custody, periods: Periods, today: date, *, now: bool = False
) -> Rotated:
    """Begin a new period when the present one is a month old (or `now`), wrap all living keys anew, and destroy the
    wrapping keys that ended longer ago than backups are kept. Interrupted, the next call goes on where it was.
    """
    known, current = periods.read(), custody.info().current
    known["began"].setdefault(current, today.isoformat())
    begun = now or date.fromisoformat(known["began"][current]) + PERIOD <= today
    if begun:
        current = custody.rotate()
        known["began"][current] = today.isoformat()
    for held in custody.info().held:
        if held != current:
            known["ended"].setdefault(held, today.isoformat())
    periods.write(known)
    rewrapped = keys.rewrap()
    old = [name for name in custody.info().held if name != current]
    due = [name for name in old if date.fromisoformat(known["ended"][name]) + BACKUP_WINDOW < today]
    for name in due:
        custody.destroy(name)
    return Rotated(service, current, begun, rewrapped, tuple(due), tuple(name for name in old if name not in due))


@click.group()
def keys() -> None:
    """The wrapping keys of persons' keys."""


@keys.command(name="rotate")
@click.option("--now", is_flag=True, help="Also when the present period is not a month old.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def rotate_(*, now: bool, as_json: bool) -> None:
    """Begin a new period where it is time, and destroy what ended before the oldest backup. Run it daily."""
    settings = Settings.from_environment()
    today = settings.clock().today()
    done = []
    for service, opened, custody in _opened(settings):
        periods = Periods(settings.keys / f"{service}-periods.json")
        opened.note_erased()
        done.append(rotate(service, opened, custody, periods, today, now=now))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in done]))
        return
    for each in done:
        state = "new period" if each.begun else "present period goes on"
        click.echo(
            f"{each.service}: {state}, {each.rewrapped} keys wrapped anew, "
            f"{len(each.destroyed)} old wrapping keys destroyed, {len(each.waiting)} kept for backups"
        )


@keys.command(name="erase-again")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def erase_again(*, as_json: bool) -> None:
    """After a backup was restored: erase those again who were erased since it was made."""
    done = {service: opened.erase_again() for service, opened, _ in _opened(Settings.from_environment())}
    if as_json:
        click.echo(json.dumps(done))
        return
    for service, count in done.items():
        click.echo(f"{service}: {count} erased again")


def _opened(settings: Settings, services: Sequence[str] = SERVICES) -> Iterator[tuple[str, PersonKeys, Custody]]:
    for service in services:
        with _of_service(settings, service) as (opened, custody):
            yield service, opened, custody


@contextmanager
def _of_service(settings: Settings, service: str) -> Iterator[tuple[PersonKeys, Custody]]:
    database = Database(settings.database_url(service))
    custody = FileCustody(settings.keys / f"{service}-persons.json", production=settings.mode == "production")
    try:
        listed = settings.state / "erased" / f"{service}.jsonl"
        yield PersonKeys(database, custody, settings.clock(), listed), custody
    finally:
        database.close()
