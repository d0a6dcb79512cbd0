"""What a withdrawal set off, on pages: for staff whose acknowledgement is missing, for a person who was told of theirs.

No script runs here: a page says at which moment it was true, and a link loads it again.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from services.gateway.auth import GRANTS, Asker
from services.gateway.console.own_rights import STATES
from services.gateway.console.reading import citizen, view
from services.gateway.console.sign_in import SignIn
from services.gateway.front_door import FrontDoor
from services.gateway.resources.consent_receipts import STATUSES
from shared.clock import Clock
from shared.domain import Json
from shared.errors import NotFound

LIST = "exchange.missing_acknowledgements"
UNDER_WAY = {
    "permitted": "wird gerade gestoppt",
    "handed_over": "wird gerade zurückgerufen",
    "acknowledged": "wird gerade zurückgerufen",
}
"""How a disclosure stands in the moment after the withdrawal, until that has been carried out."""

SETTLED = ("stopped", "retraction_acknowledged")
OFFICER = {"data_protection_officer": "die Person für Datenschutz"}
BECAUSE = {
    "consent_withdrawn": "Einwilligung oder Schweigepflichtentbindung widerrufen",
    "erase_at_reached": "Tag erreicht, bis zu dem zu löschen ist",
    "release_withdrawn": "Schweigepflichtentbindung widerrufen",
    "release_expired": "Schweigepflichtentbindung abgelaufen",
} | {f"consent_{status}": f"Einwilligung {word}" for status, word in STATUSES.items() if status != "withdrawn"}


def may_see_withdrawals(asker: Asker | None) -> bool:
    """Whether the role reads over the interface what the staff pages show."""
    return asker is not None and asker.role in GRANTS[LIST]


def add_withdrawals(pages: Blueprint, sign_in: Callable[[], SignIn], front: FrontDoor, clock: Clock) -> None:
    """The staff pages `/widerrufe`, and the page of a person's own withdrawal."""

    @pages.get("/widerrufe")
    def withdrawals() -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden")
        asker.require(LIST)
        if wanted := request.args.get("nummer", "").strip():
            return redirect(url_for(".withdrawal", declaration_id=wanted[:100]))
        items = view(front, asker, LIST, {}).items
        only_late = request.args.get("nur") == "ueberfaellig"
        late = [each for each in items if each.late]
        return _page(
            "withdrawals.html",
            groups=_by_declaration(late if only_late else items),
            only_late=only_late,
            open=len(items),
            late=len(late),
            now=clock.now(),
        )

    @pages.get("/widerrufe/<declaration_id>")
    def withdrawal(declaration_id: str) -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden")
        asker.require(LIST)
        report = view(front, asker, "exchange.withdrawal_report", {"declaration_id": declaration_id})
        missing = [each for each in report.recipients if each.retracted_at and not each.acknowledged_at]
        persons = dict.fromkeys(each.person_id for each in report.recipients)
        return _page("withdrawal.html", report=report, missing=len(missing), persons=persons, now=clock.now())

    @pages.get("/meine-daten/einwilligungen/<consent_id>/widerruf")
    def my_withdrawal(consent_id: str) -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden")
        shown = _own(front, citizen(asker), consent_id)
        return _page("my_withdrawal.html", **shown, under_way=UNDER_WAY, settled=SETTLED, now=clock.now())


def _own(front: FrontDoor, asker: Asker, consent_id: str) -> Json:
    """The consent and what became of it; neither, where this person gave nothing under the id."""
    which = {"consent_id": consent_id}
    try:
        found = view(front, asker, "consent.consent", which)
        report = view(front, asker, "exchange.withdrawal", which)
    except NotFound as error:
        if error.code != "consent.unknown":
            raise
        return {"consent": None, "consent_id": consent_id}
    return {"consent": found, "report": report, "consent_id": consent_id}


def _by_declaration(items: Iterable[Any]) -> list[tuple[tuple[str, ...], list[Any]]]:
    """Retractions by what they rested on, in the order in which they come."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for each in items:
        found.setdefault(each.declarations, []).append(each)
    return list(found.items())


def _page(template: str, **shown: object) -> str:
    return render_template(template, states=STATES, statuses=STATUSES, because=BECAUSE, officer=OFFICER, **shown)
