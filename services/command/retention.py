"""`handschlag retention`: whose files come to their end, before they are erased by themselves.

Read from the databases of this installation, for the data-protection officer at a terminal; persons by their ids only.
"""

import json
from contextlib import ExitStack, closing
from datetime import timedelta

import click

from services.cases.asks import Asks, on_behalf_of
from services.cases.keeping import Keeper
from services.exchange.service import ExchangeService
from services.health.service import HealthService
from shared.config import Settings
from shared.runtime import LocalCalls, context, local
from shared.schema import dump

WORDS = {
    "open_case": "a case is open",
    "safety_check": "a safety check is due",
    "rights_request": "a request is not answered",
    "erasure": "an erasure is under way",
    "disclosure": "a disclosure is under way",
    "restriction": "processing is restricted without an end",
    "period_unverified": "the period is not verified, a person decides",
}


@click.group()
def retention() -> None:
    """How long files are kept (contracts/law/retention.yaml, part files)."""


@retention.command()
@click.option("--agency", required=True, help="Whose files.")
@click.option("--days", type=click.IntRange(0), default=90, show_default=True, help="How far to look ahead.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def due(*, agency: str, days: int, as_json: bool) -> None:
    """Whose files are erased when, and what they wait for; changes nothing.

    Without anything to wait for they go on that day by themselves.
    """
    settings = Settings.from_environment()
    until = settings.clock().today() + timedelta(days=days)
    with ExitStack() as held:
        cases, health, exchange = (
            held.enter_context(closing(context(name, settings))) for name in ("cases", "health", "exchange")
        )
        others = LocalCalls(health=local(HealthService, health), exchange=local(ExchangeService, exchange))
        keeper = Keeper(cases, agency, Asks(others, on_behalf_of(agency, "retention")))
        found = sorted(keeper.outlook(until), key=lambda each: (each.on, each.person_id))
    if as_json:
        answer = {"agency": agency, "until": until.isoformat(), "files": [dump(each) for each in found]}
        click.echo(json.dumps(answer, indent=2))
        return
    for each in found:
        why = ", ".join(WORDS[name] for name in each.waits_for)
        click.echo(f"{each.on}  {each.person_id}" + (f"  waits: {why}" if why else ""))
    click.echo(f"{len(found)} by {until}, {sum(bool(each.waits_for) for each in found)} of them wait")
