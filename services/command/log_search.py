"""`handschlag log search`: entries by person or by what they say, as a table, JSON, CSV, or FHIR AuditEvent."""

import csv
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress

from services.command.audit_event import Logged, audit_event
from services.command.log import log
from services.command.reading import explained, reading_room
from shared.canonical import canonical

if TYPE_CHECKING:
    from services.audit.search import FoundEntry, FoundPage, Search

DAY = click.DateTime(["%Y-%m-%d"])
AT_ONCE = 500
COLUMNS = (
    "time",
    "kind",
    "decision",
    "result",
    "sender",
    "recipient",
    "purpose",
    "categories",
    "norms",
    "obligations",
    "rule_set",
    "consents",
    "about",
    "log",
    "index",
    "leaf_hash",
)
SHOWN = ("time", "kind", "decision", "result", "recipient", "purpose", "categories", "norms")
FORMATS = ("table", "csv", "jsonl", "fhir")


@log.command()
@click.option("--person", "person_id", help="Id of the person.")
@click.option("--recipient", help="Who received, or would have.")
@click.option("--purpose", help="As in /v1/vocabulary.")
@click.option("--category", help="Kind of data, as in /v1/vocabulary.")
@click.option("--decision", type=click.Choice(["permit", "deny"]), help="How it was ruled.")
@click.option("--norm", help="As it was cited, or a section: '§ 67d SGB X'.")
@click.option("--consent", "consent_id", help="Id of a consent that the ruling rests on.")
@click.option("--kind", help="Kind of entry: intent, denial, outcome, log_read …")
@click.option("--from", "first_day", type=DAY, help="First day.")
@click.option("--to", "last_day", type=DAY, help="Last day; it counts.")
@explained
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Of all found.")
@click.option("--json", "as_json", is_flag=True, help="One page as a JSON object: items, next, unseen.")
@click.option("--after", default="", help="With --json: the next of the page before; needs --search-id.")
@click.option("--search-id", help="With --json: go on with this search, which is logged already.")
@click.option("--limit", type=click.IntRange(1, AT_ONCE), default=50, show_default=True, help="With --json.")
@click.option(
    "-o", "--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="Default: standard output."
)
def search(
    *,
    agency: str,
    by: str,
    reason: str,
    form: str,
    as_json: bool,
    after: str,
    search_id: str | None,
    limit: int,
    output: TextIO,
    **wanted: Any,
) -> None:
    """Search the log; the search itself is logged first. What cannot be found is counted on standard error."""
    from services.audit.reading_room import SearchLog, SearchQuestion
    from services.audit.search import Search, Wanted

    said: dict[str, Any] = {name: _plain(each) for name, each in wanted.items()}
    asked = Wanted(**said)
    with reading_room(agency, by) as (room, looker):
        chosen = search_id or str(uuid.uuid4())
        if search_id is None:
            room.search(SearchLog(search_id=chosen, wanted=asked, reason=reason), looker)

        def page(behind: str, most: int) -> "FoundPage":
            return room.found(SearchQuestion(search_id=chosen, after=behind, limit=most), looker)

        if as_json:
            click.echo(json.dumps(_page(page(after, limit), chosen), ensure_ascii=False), file=output)
            return
        writer = _Writer(output, form, Search(agency, room.database), asked.person_id)
        _tell(writer.write(page), writer.left_out)


class _Writer:
    """Writes what is found, page by page, in one of the forms; `left_out` counts what has no form."""

    def __init__(self, out: TextIO, form: str, entries: "Search", person: str | None) -> None:
        self._out = out
        self._form = form
        self._entries = entries
        self._person = person
        self.left_out = 0

    def write(self, page: Callable[[str, int], "FoundPage"]) -> "FoundPage":
        """The last page, which says what could not be seen."""
        after, done = "", 0
        self._write_line(self._head())
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task("Suche", total=None)
            while True:
                found = page(after, AT_ONCE)
                for item in found.items:
                    self._write_line(self._line(item))
                done += len(found.items)
                progress.update(task, completed=done)
                if found.next is None:
                    return found
                after = found.next

    def _write_line(self, line: str) -> None:
        if line:
            self._out.write(f"{line}\n")

    def _head(self) -> str:
        return {"csv": _csv(COLUMNS), "table": "  ".join(SHOWN)}.get(self._form, "")

    def _line(self, item: "FoundEntry") -> str:
        if self._form == "fhir":
            event = audit_event(_logged(item), self._intent(item), self._person)
            self.left_out += event is None
            return json.dumps(event, ensure_ascii=False) if event else ""
        row = _row(item)
        if self._form == "jsonl":
            return canonical(row).decode()
        flat = {name: "; ".join(text) if isinstance(text, list) else str(text or "") for name, text in row.items()}
        if self._form == "csv":
            return _csv(flat[name] for name in COLUMNS)
        return "  ".join(flat[name] or "–" for name in SHOWN)

    def _intent(self, item: "FoundEntry") -> Logged | None:
        about = _logged(item).leaf.about
        intent = self._entries.at(about.log, about.index) if about else None
        return _logged(intent) if intent else None


def _logged(item: "FoundEntry") -> Logged:
    return Logged(item.origin, item.leaf.encode(), item.consents)


def _row(item: "FoundEntry") -> dict[str, Any]:
    said = json.loads(item.leaf)
    about = said["about"] and f"{said['about']['log']}#{said['about']['index']}"
    own = {"about": about, "consents": list(item.consents), "log": item.origin, "index": item.index}
    known = {**said, **own, "leaf_hash": _logged(item).id}
    return {name: known[name] for name in COLUMNS}


def _page(found: "FoundPage", search_id: str) -> dict[str, Any]:
    unseen = {"deleted": found.unseen.deleted, "dropped": found.unseen.dropped, "not_yet": found.unseen.not_yet}
    items: Iterator[dict[str, Any]] = map(_row, found.items)
    return {"search_id": search_id, "items": list(items), "next": found.next, "unseen": unseen}


def _tell(last: "FoundPage", left_out: int) -> None:
    unseen = last.unseen
    told = [
        (unseen.deleted, "entries were deleted at the end of their retention and cannot be found"),
        (unseen.dropped, "entries are in years that were dropped"),
        (unseen.not_yet, "entries cannot be searched yet; try again in a minute"),
        (left_out, "entries have no pattern of AuditEvent and are left out"),
    ]
    for number, text in told:
        if number:
            click.echo(f"{number} {text}", err=True)
    click.echo("not seen: entries about persons who were erased, when searched by person", err=True)


def _csv(values: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def _plain(given: object) -> object:
    return given.date() if isinstance(given, datetime) else given


__all__ = ["search"]
