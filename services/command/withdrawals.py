"""`handschlag withdrawals`: whose acknowledgement of a retraction is missing, who is late, and who has to act.

Read from the database of this installation, for the data-protection officer at a terminal; over HTTP the same stands
at /v1/withdrawals.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import click

from services.exchange.projections import UNANSWERED
from services.exchange.queries import Exchange, RetractionView
from services.exchange.silence import due_at
from shared.clock import LEGAL_ZONE
from shared.config import Settings
from shared.eventstore import catch_up
from shared.runtime import context
from shared.schema import dump


@click.command()
@click.option("--agency", required=True, help="Whose retractions.")
@click.option("--overdue", is_flag=True, help="Only those past their term.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, as /v1/withdrawals does.")
def withdrawals(*, agency: str, overdue: bool, as_json: bool) -> None:
    """List the retractions that no partner has confirmed yet, the oldest first: told, reminded, escalated when.

    Ends with 0 also while somebody is late.
    """
    found = [each for each in _missing(Settings.from_environment(), agency) if each.late or not overdue]
    if as_json:
        click.echo(json.dumps({"items": [dump(each) for each in found]}, ensure_ascii=False, indent=2))
        return
    for each in found:
        click.echo("\n  ".join(_lines(each)))
    late = sum(each.late for each in found)
    click.echo(f"{len(found)} without confirmation, {late} of them overdue")


def _missing(settings: Settings, agency: str) -> tuple[RetractionView, ...]:
    with closing(context("exchange", settings)) as held:
        catch_up(held.store, UNANSWERED)
        exchange = Exchange(held.store.agency(agency))
        exchange.agency(agency)
        with held.database.read() as tx:
            return exchange.missing(tx, held.clock.now(), due_at).items


def _lines(found: RetractionView) -> Iterator[str]:
    yield f"{found.disclosure_id}  {found.partner_name} ({found.partner_id}){'  OVERDUE' if found.late else ''}"
    yield f"had {', '.join(found.categories)} for {found.purpose} since {_moment(found.handed_over_at)}"
    yield f"rested on {', '.join(found.declarations) or '-'}; use until {_moment(found.lawful_until)} stays lawful"
    yield f"told {_moment(found.told_at)}; to confirm by {_moment(found.due_at)}; reminded {_moment(found.reminded_at)}"
    if found.escalated_at:
        yield f"escalated {_moment(found.escalated_at)} to {found.escalated_to}"


def _moment(at: datetime | None) -> str:
    return at.astimezone(LEGAL_ZONE).strftime("%Y-%m-%d %H:%M") if at else "not yet"
