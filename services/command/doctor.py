"""`handschlag doctor`: is this machine ready, and what is to be done if not. Looks only; makes and changes nothing.

Exit codes: 0 ready, 1 a fault found, 3 database or broker not reachable. Notes do not count as faults.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import click

from services import SERVICES
from services.command.keys import CALLERS
from shared.clock import LEGAL_ZONE
from shared.config import Settings
from shared.errors import HandschlagError, Invalid, Unavailable

OK, NOTE, FAULT, UNREACHABLE = "ok", "note", "fault", "unreachable"
MARKS = {OK: "✓", NOTE: "·", FAULT: "✗", UNREACHABLE: "✗"}
OLDEST_PYTHON = (3, 11)
WRITTEN_IN = datetime(2026, 1, 1, tzinfo=UTC)
DRIFT = timedelta(seconds=5)
PUBLIC = ("public.json", "log-public.json")

_WORDS = {
    "settings": ("Einstellungen", "Settings"),
    "python": ("Python", "Python"),
    "packages": ("Pakete", "Packages"),
    "state": ("Datenordner", "State folder"),
    "database": ("Datenbank", "Database"),
    "broker": ("Nachrichtenvermittlung", "Broker"),
    "clock": ("Uhr", "Clock"),
    "keys": ("Schlüssel", "Keys"),
    "witnesses": ("Zeugen des Protokolls", "Witnesses of the log"),
    "python_old": ("{found} ist zu alt", "{found} is too old"),
    "install_python": ("Python 3.11 oder neuer installieren", "install Python 3.11 or newer"),
    "packages_right": ("{count} in den festgelegten Versionen", "{count} in the versions that were fixed"),
    "packages_wrong": ("weichen ab: {names}", "differ: {names}"),
    "install_packages": ("make run oder make test installiert sie", "make run or make test installs them"),
    "not_installed": ("handschlag selbst ist nicht installiert", "handschlag itself is not installed"),
    "writable": ("{path} ist beschreibbar", "{path} can be written"),
    "not_writable": ("{path} ist nicht beschreibbar", "{path} cannot be written"),
    "give_rights": (
        "dem Benutzer des Dienstes geben oder mit HANDSCHLAG_STATE einen anderen Ordner nennen",
        "give it to the user of the service, or name another folder by HANDSCHLAG_STATE",
    ),
    "open_to_others": ("{path} ist für andere lesbar", "{path} can be read by others"),
    "close_folder": ("chmod 700 {path}", "chmod 700 {path}"),
    "close_file": ("chmod 600 {path}", "chmod 600 {path}"),
    "migrated": ("{service}: erreichbar und auf dem neuesten Stand", "{service}: reachable and up to date"),
    "not_migrated": ("{service}: nicht auf dem neuesten Stand", "{service}: not up to date"),
    "not_made": ("{service}: noch nicht angelegt", "{service}: not made yet"),
    "migrate": ("handschlag migrate", "handschlag migrate"),
    "first_start": ("der erste Start legt an, was fehlt", "the first start makes what is missing"),
    "database_away": ("{service}: nicht erreichbar", "{service}: not reachable"),
    "start_database": (
        "PostgreSQL starten, HANDSCHLAG_DATABASE prüfen, dann handschlag migrate",
        "start PostgreSQL, look at HANDSCHLAG_DATABASE, then handschlag migrate",
    ),
    "in_process": ("im selben Prozess, nichts zu erreichen", "inside the process, nothing to be reached"),
    "broker_answers": ("erreichbar, Anmeldung angenommen", "reachable, and it lets us in"),
    "broker_refuses": ("erreichbar, lehnt die Anmeldung aber ab", "reachable, but it does not let us in"),
    "check_rights": (
        "Benutzer, Kennwort und virtuellen Host in HANDSCHLAG_BROKER prüfen",
        "look at user, password and virtual host in HANDSCHLAG_BROKER",
    ),
    "broker_away": ("nicht erreichbar", "not reachable"),
    "start_broker": ("RabbitMQ starten oder HANDSCHLAG_BROKER prüfen", "start RabbitMQ, or look at HANDSCHLAG_BROKER"),
    "clock_right": ("{now}", "{now}"),
    "clock_early": ("geht vor Jahren: {now}", "is years behind: {now}"),
    "clock_behind_log": (
        "{service}: das letzte Ereignis liegt {seconds} s in der Zukunft",
        "{service}: the last event lies {seconds} s in the future",
    ),
    "clock_differs": (
        "{service}: die Datenbank weicht {seconds} s ab",
        "{service}: the clock of the database differs by {seconds} s",
    ),
    "set_clock": ("Uhr mit NTP stellen", "set the clock by NTP"),
    "keys_there": ("vollständig und nur für den Eigentümer lesbar", "complete, and for their owner only"),
    "keys_missing": ("es fehlen: {names}", "missing: {names}"),
    "make_keys": ("handschlag migrate", "handschlag migrate"),
    "no_witnesses": (
        "keine benannt; dass allen dasselbe gezeigt wird, zeigt dann niemand",
        "none named; then nobody shows that everybody is shown the same",
    ),
    "name_witnesses": (
        "mit HANDSCHLAG_WITNESSES eine Regel angeben (contracts/formats/witness.md)",
        "give a policy by HANDSCHLAG_WITNESSES (contracts/formats/witness.md)",
    ),
    "policy_wrong": ("{detail}", "{detail}"),
    "cosigned": (
        "{witness} hat den neuesten Stand von {log} mitgezeichnet",
        "{witness} has cosigned the newest head of {log}",
    ),
    "not_cosigned": (
        "{witness}: {cosigned} von {size} Einträgen in {log} mitgezeichnet{why}",
        "{witness}: cosigned {cosigned} of {size} entries in {log}{why}",
    ),
    "ask_witness": (
        "bei witness.other_tree, not_proven oder knows_more klären, wer recht hat; sonst wird wieder gefragt",
        "after witness.other_tree, not_proven or knows_more find out who is right; otherwise it is asked again",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What one look gave; `remedy` says what to do, in words for whom it concerns."""

    check: str
    state: str
    what: str
    remedy: str = ""
    values: tuple[tuple[str, str], ...] = ()

    def text(self, lang: str) -> str:
        return say(self.what, lang, self.values)

    def advice(self, lang: str) -> str:
        return say(self.remedy, lang, self.values) if self.remedy else ""


def say(word: str, lang: str, values: tuple[tuple[str, str], ...] = ()) -> str:
    """The German or English text of a word, or the word itself where it came from elsewhere."""
    if word not in _WORDS:
        return word
    german, english = _WORDS[word]
    return (english if lang == "en" else german).format(**dict(values))


def finding(check: str, state: str, what: str, remedy: str = "", **values: object) -> Finding:
    return Finding(check, state, what, remedy, tuple((key, str(value)) for key, value in values.items()))


def python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield finding("python", FAULT, "python_old", "install_python", found=found)
    else:
        yield finding("python", OK, found)


def packages() -> Iterator[Finding]:
    """Whether what is installed is what the project fixes; a difference is the first thing to suspect."""
    try:
        asked = [re.match(r"([\w.-]+)(?:\[[\w,]+\])?==([^;\s]+)", line) for line in requires("handschlag") or ()]
    except PackageNotFoundError:
        yield finding("packages", FAULT, "not_installed", "install_packages")
        return
    pinned = {match[1]: match[2] for match in asked if match}
    wrong = sorted(name for name, fixed in pinned.items() if installed(name) != fixed)
    if wrong:
        names = ", ".join(f"{name} {installed(name) or '–'} ≠ {pinned[name]}" for name in wrong)
        yield finding("packages", FAULT, "packages_wrong", "install_packages", names=names)
    else:
        yield finding("packages", OK, "packages_right", count=len(pinned))


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def state(settings: Settings) -> Iterator[Finding]:
    """The folder, or the nearest one above it in which it would be made."""
    path = settings.state.absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield finding("state", FAULT, "not_writable", "give_rights", path=there)
        return
    yield finding("state", OK, "writable", path=settings.state)
    if path == there and path.stat().st_mode & 0o077:
        yield finding("state", NOTE, "open_to_others", "close_folder", path=settings.state)


def databases(settings: Settings) -> Iterator[Finding]:
    for service in SERVICES:
        url = settings.database_url(service)
        if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
            yield finding("database", NOTE, "not_made", "first_start", service=service)
            continue
        try:
            yield from database(settings, service, url)
        except Unavailable:
            yield finding("database", UNREACHABLE, "database_away", "start_database", service=service)


def database(settings: Settings, service: str, url: str) -> Iterator[Finding]:
    """Reachable, at the newest revision, and of the same time as this machine."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from shared.database import Database
    from shared.migrate import configuration

    with closing(Database(url)) as place, place.read() as connection:
        wanted = set(ScriptDirectory.from_config(configuration(service)).get_heads())
        current = set(MigrationContext.configure(connection).get_current_heads())
        if current != wanted:
            yield finding("database", FAULT, "not_migrated", "migrate", service=service)
            return
        yield finding("database", OK, "migrated", service=service)
        yield from times(settings, service, connection)


def times(settings: Settings, service: str, connection: Any) -> Iterator[Finding]:
    """A clock that runs behind would give later facts an earlier time than facts that stand already."""
    if connection.dialect.name == "postgresql":
        there = connection.exec_driver_sql("select now()").scalar_one()
        if abs(there - datetime.now(UTC)) > DRIFT:
            apart = round(abs(there - datetime.now(UTC)).total_seconds())
            yield finding("clock", FAULT, "clock_differs", "set_clock", service=service, seconds=apart)
    newest = connection.exec_driver_sql("select max(recorded_at) from events").scalar_one()
    if newest is None:
        return
    moment = newest if isinstance(newest, datetime) else datetime.fromisoformat(str(newest))
    ahead = moment - settings.clock().now()
    if ahead > DRIFT:
        values = {"service": service, "seconds": round(ahead.total_seconds())}
        yield finding("clock", FAULT, "clock_behind_log", "set_clock", **values)


def broker(settings: Settings) -> Iterator[Finding]:
    if settings.embedded:
        yield finding("broker", OK, "in_process")
        return
    from amqp.exceptions import AMQPError
    from kombu import Connection

    line = Connection(settings.broker, connect_timeout=3)
    try:
        line.connect()
    except AMQPError:
        yield finding("broker", FAULT, "broker_refuses", "check_rights")
    except Exception:  # noqa: BLE001 - whatever keeps us from the broker, the answer is the same
        yield finding("broker", UNREACHABLE, "broker_away", "start_broker")
    else:
        yield finding("broker", OK, "broker_answers")
    finally:
        line.release()


def clock(settings: Settings) -> Iterator[Finding]:
    now = settings.clock().now()
    shown = now.astimezone(LEGAL_ZONE).isoformat(timespec="seconds")
    if now < WRITTEN_IN:
        yield finding("clock", FAULT, "clock_early", "set_clock", now=shown)
    else:
        yield finding("clock", OK, "clock_right", now=shown)


def keys(settings: Settings) -> Iterator[Finding]:
    """All there, and readable for their owner only."""
    wanted = [*(f"{name}.json" for name in (*CALLERS, "log")), *PUBLIC]
    missing = [name for name in wanted if not (settings.keys / name).exists()]
    demo_before_start = settings.mode == "demo" and len(missing) == len(wanted)
    if missing:
        names = ", ".join(missing)
        severity, remedy = (NOTE, "first_start") if demo_before_start else (FAULT, "make_keys")
        yield finding("keys", severity, "keys_missing", remedy, names=names)
    private = [path for path in sorted(settings.keys.glob("*")) if path.is_file() and path.name not in PUBLIC]
    exposed = [path for path in private if path.stat().st_mode & 0o077]
    for path in exposed:
        yield finding("keys", FAULT, "open_to_others", "close_file", path=path)
    if not missing and not exposed:
        yield finding("keys", OK, "keys_there")


def witnesses(settings: Settings) -> Iterator[Finding]:
    """How far each got with each log. For information: nothing waits for a witness, so none of this is a fault."""
    from services.audit.evidence import policy_of
    from services.audit.sequencer.cosignatures import standings
    from services.audit.sequencer.reading import heads
    from shared.database import Database

    if settings.witnesses is None:
        yield finding("witnesses", NOTE, "no_witnesses", "name_witnesses")
        return
    try:
        policy = policy_of(settings)
    except Invalid as error:
        yield finding("witnesses", FAULT, "policy_wrong", "name_witnesses", detail=error.detail)
        return
    url = settings.database_url("audit")
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return
    with closing(Database(url)) as place, place.read() as connection:
        for each in standings(connection, [head.log for head in heads(connection)], policy):
            values = {"witness": each.witness, "log": each.log, "cosigned": str(each.cosigned), "size": str(each.size)}
            why = f" ({each.code}, {each.since})" if each.code else ""
            if each.cosigned == each.size:
                yield finding("witnesses", OK, "cosigned", **values)
            else:
                yield finding("witnesses", NOTE, "not_cosigned", "ask_witness", **values, why=why)


def examine() -> list[Finding]:
    """Every look, in the order in which one would put things right."""
    found = [*python(), *packages()]
    try:
        settings = Settings.from_environment()
    except Invalid as error:
        problem = error.problems[0] if error.problems else None
        detail, remedy = (problem.detail, problem.remedy) if problem else (error.detail, error.remedy)
        variable = problem.pointer.strip("/") if problem else ""
        return [*found, finding("settings", FAULT, f"{variable} {detail}".strip(), remedy)]
    looks: list[Callable[[Settings], Iterator[Finding]]] = [state, keys, databases, broker, clock, witnesses]
    for look in looks:
        try:
            found += look(settings)
        except (HandschlagError, OSError) as error:
            found.append(finding(look.__name__, FAULT, getattr(error, "detail", "") or str(error)))
    return found


def exit_code(findings: list[Finding]) -> int:
    states = {each.state for each in findings}
    return 3 if UNREACHABLE in states else 1 if FAULT in states else 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Ein JSON-Objekt statt Text.")
@click.option("--lang", type=click.Choice(["de", "en"]), default="de", help="Sprache der Texte.")
def doctor(*, as_json: bool, lang: str) -> None:
    """Prüft, ob alles bereit ist, und sagt, was zu tun ist."""
    findings = examine()
    code = exit_code(findings)
    if as_json:
        checks = [
            {
                "check": each.check,
                "state": each.state,
                "detail": each.text(lang),
                "remedy": each.advice(lang),
                **{key: value for key, value in each.values if key == "service"},
            }
            for each in findings
        ]
        click.echo(json.dumps({"ready": code == 0, "checks": checks}, ensure_ascii=False))
    else:
        for each in findings:
            click.echo(f"{MARKS[each.state]} {say(each.check, lang)}: {each.text(lang)}")
            if each.state != OK and each.remedy:
                click.echo(f"  → {each.advice(lang)}")
    sys.exit(code)
