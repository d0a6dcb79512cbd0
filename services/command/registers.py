"""`handschlag registers`: what an agency processes, what went wrong, and the impact assessment as far as it goes.

Read from the databases of this installation, for the data-protection officer at a terminal; over HTTP the same stands
at /v1/registers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import click

from services.audit.ledger import AffectedQuestion, PersonsInLog
from services.cases.domain.breach import Breach
from services.cases.projections import RIGHTS
from services.cases.rights_views import BreachesQuestion, Rights
from services.exchange.projections import DIRECTORY
from services.exchange.queries import Exchange, PartnersQuestion
from shared import registers as of_installation
from shared.config import Settings
from shared.domain import Json
from shared.eventstore import catch_up
from shared.registers import Controller, Recipient
from shared.runtime import ServiceContext, context
from shared.schema import dump

LABELS = {
    "processing": "Verzeichnis der Verarbeitungstätigkeiten (Art. 30 DSGVO)",
    "breaches": "Verzeichnis der Datenpannen (Art. 33 Abs. 5 DSGVO)",
    "impact": "Datenschutz-Folgenabschätzung (Art. 35 DSGVO), Vorlage mit den Angaben dieser Installation",
}
_agency = click.option("--agency", required=True, help="Whose register.")
_html = click.option("--html", is_flag=True, help="A page to print instead of JSON.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON, which is also the default.")
_output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output."
)


@click.group()
def registers() -> None:
    """Registers of processing (Art. 30), breaches (Art. 33) and impact (Art. 35 GDPR)."""


@registers.command()
@_agency
@_json
@_html
@_output
def processing(*, agency: str, as_json: bool, html: bool, output: Path | None) -> None:
    """What is processed for which purpose, by which norms, for whom, and how long it is kept."""
    del as_json
    settings = Settings.from_environment()
    content = of_installation.processing(*_parties(settings, agency), settings.clock().today())
    _write("processing", content, output, html=html)


@registers.command()
@_agency
@_json
@_html
@_output
def impact(*, agency: str, as_json: bool, html: bool, output: Path | None) -> None:
    """The impact assessment, filled from this installation; what people have to add is listed as open."""
    del as_json
    settings = Settings.from_environment()
    parties = _parties(settings, agency)
    content = of_installation.impact(*parties, settings.clock().today(), of_installation.described(settings))
    _write("impact", content, output, html=html)


@registers.command()
@_agency
@_json
@_html
@_output
@click.pass_context
def breaches(ctx: click.Context, *, agency: str, as_json: bool, html: bool, output: Path | None) -> None:
    """All breaches with who has to be told by when. Exit code 1 while somebody is overdue."""
    del as_json
    settings = Settings.from_environment()
    found = list(_breaches(settings, agency))
    _write("breaches", {"as_of": settings.clock().now().isoformat(), "breaches": found}, output, html=html)
    late = any(notice["overdue"] for each in found for notice in each["notices"])
    ctx.exit(1 if late else 0)


def _parties(settings: Settings, agency: str) -> tuple[Controller, list[Recipient]]:
    with _context("exchange", settings) as held:
        catch_up(held.store, DIRECTORY)
        exchange = Exchange(held.store.agency(agency))
        known = exchange.agency(agency)
        found: list[Recipient] = []
        after: str | None = ""
        while after is not None:
            with held.database.read() as tx:
                page = exchange.partners(tx, PartnersQuestion(after=after, limit=500))
            found += [Recipient(each.partner_id, each.name, each.body) for each in page.items]
            after = page.next
    return Controller(agency, known.name, known.kind.body), found


def _breaches(settings: Settings, agency: str) -> Iterator[Json]:
    with _context("cases", settings) as cases, _context("audit", settings) as audit:
        catch_up(cases.store, RIGHTS)
        store = cases.store.agency(agency)
        reader, log = Rights(store, cases.clock.now()), PersonsInLog(agency, audit.database)
        with cases.database.read() as tx:
            items = reader.breaches(tx, BreachesQuestion(limit=500)).items
        for item in items:
            recorded = store.load(Breach, item.breach_id)[0].described()
            question = AffectedQuestion(
                since=recorded.began_at,
                until=recorded.ended_at,
                partner_id=recorded.partner_id,
                categories=recorded.categories,
            )
            yield dump(reader.breach(item.breach_id, log.affected(question).persons))


@contextmanager
def _context(service: str, settings: Settings) -> Iterator[ServiceContext]:
    held = context(service, settings)
    try:
        yield held
    finally:
        held.close()


def _write(name: str, content: Json, output: Path | None, *, html: bool) -> None:
    text = as_page(LABELS[name], content) if html else json.dumps(content, ensure_ascii=False, indent=2)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", "utf-8")


WORDS = {True: "ja", False: "nein"}
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "dl{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:.25rem 1rem}dt{font-weight:700}"
    "dd{margin:0;overflow-wrap:anywhere}section{border-top:1px solid #888;margin-top:1rem}"
    ".open{background:#fff1c2}@media(max-width:40rem){dl{grid-template-columns:1fr}}"
)


def as_page(title: str, content: Any) -> str:
    """A document of objects, lists and texts as one HTML page; what is empty is marked as to be filled in."""
    return (
        f'<!doctype html><html lang="de"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{_shown(content)}</body></html>"
    )


def _shown(content: Any) -> str:
    if isinstance(content, dict):
        rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{_shown(each)}</dd>" for name, each in content.items())
        return f"<dl>{rows}</dl>"
    if isinstance(content, (list, tuple)):
        if all(not isinstance(each, (dict, list, tuple)) for each in content):
            return escape("; ".join(map(str, content))) or "keine"
        return "".join(f"<section>{_shown(each)}</section>" for each in content)
    if content in ("", None):
        return '<span class="open">einzutragen</span>'
    return escape(WORDS.get(content, "") if isinstance(content, bool) else str(content))
