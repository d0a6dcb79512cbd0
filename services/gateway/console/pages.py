"""The pages themselves. Reads and changes go through the same operations as the interface does."""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from services.gateway.auth import CITIZEN, Asker, Tokens
from services.gateway.console import law
from services.gateway.console.own_rights import add_own_rights
from services.gateway.console.reading import partner_names, view
from services.gateway.console.sign_in import Elsewhere, Here, SignIn, require_same_form
from services.gateway.console.withdrawals import add_withdrawals, may_see_withdrawals
from services.gateway.development_provider import DevelopmentProvider
from services.gateway.front_door import FrontDoor
from services.gateway.problems import by_slug, problem_types
from services.gateway.resources.consent_receipts import STATUSES
from shared.clock import LEGAL_ZONE, Clock
from shared.config import Settings
from shared.domain import Json
from shared.policy import present_law

STATES = {
    "requested": "angefragt",
    "denied": "nicht weitergegeben",
    "not_held": "nicht weitergegeben",
    "permitted": "wird weitergegeben",
    "stopped": "gestoppt",
    "handed_over": "weitergegeben",
    "acknowledged": "weitergegeben und bestätigt",
    "retracted": "zurückgerufen",
    "retraction_acknowledged": "zurückgerufen und bestätigt",
}
OWN_WORDS = {
    "anfragen/<consent_id>/ja": "consent.accept_offer",
    "anfragen/<consent_id>/nein": "consent.decline_offer",
    "einwilligungen/<consent_id>/pause": "consent.pause_consent",
    "einwilligungen/<consent_id>/weiter": "consent.resume_consent",
    "einwilligungen/<consent_id>/widerruf": "consent.withdraw_consent",
}
"""What a citizen says by a button on their own page."""

_TOGETHER = re.compile(r"(§§?|Art\.|Abs\.|Satz|Nr\.|Buchst\.|SGB) ")
ROLE_NAMES = {
    "citizen": "Bürgerin oder Bürger",
    "case_worker": "Fallmanagement",
    "partner_system": "Partnersystem",
    "auditor": "Prüfung",
    "operator": "Betrieb",
}


def blueprint(
    settings: Settings, front: FrontDoor, tokens: Tokens, provider: DevelopmentProvider | None, clock: Clock
) -> Blueprint:
    """The pages of this application."""
    pages = Blueprint("console", __name__)
    pages.add_app_template_filter(_day, "day")
    pages.add_app_template_filter(_iso_day, "iso_day")
    pages.add_app_template_filter(_moment, "moment")
    pages.add_app_template_filter(_category, "category")
    pages.add_app_template_filter(_purpose, "purpose")
    pages.add_app_template_filter(_norms, "norms")
    pages.after_request(_kept_nowhere)

    def sign_in() -> SignIn:
        base = provider.issuer if provider else request.host_url.rstrip("/")
        where = Here(provider) if provider else Elsewhere(settings.issuer)
        return SignIn(settings, tokens, where, clock, base)

    _add_public_pages(pages, sign_in)
    _add_sign_in(pages, sign_in, urlsplit(provider.issuer).netloc if provider else None)
    _add_own_data(pages, sign_in, front)
    add_own_rights(pages, sign_in, front)
    add_withdrawals(pages, sign_in, front, clock)
    pages.register_blueprint(law.blueprint(clock, lambda: sign_in().asker(session), front))
    return pages


def _add_public_pages(pages: Blueprint, sign_in: Callable[[], SignIn]) -> None:
    @pages.app_context_processor
    def everywhere() -> Json:
        asker = sign_in().asker(session)
        return {
            "demo": current_app.config["DEMO"],
            "role_name": ROLE_NAMES[asker.role] if asker else "",
            "csrf": session.get("csrf", ""),
            "sees_withdrawals": may_see_withdrawals(asker),
        }

    @pages.get("/")
    def start() -> str:
        return render_template("start.html")

    @pages.get("/problems/<slug>")
    def problem(slug: str) -> str:
        code = by_slug(slug)
        if code is None:
            abort(404)
        return render_template("problem.html", code=code, problem=problem_types()[code])


def _add_sign_in(pages: Blueprint, sign_in: Callable[[], SignIn], own_host: str | None) -> None:
    @pages.get("/anmelden")
    def begin() -> AnyResponse:
        if own_host and request.host != own_host:
            return redirect(f"{request.scheme}://{own_host}/anmelden")
        return redirect(sign_in().begin(session))

    @pages.get("/anmelden/antwort")
    def finish() -> AnyResponse:
        sign_in().finish(session, request.args.get("state", ""), request.args.get("code", ""))
        return redirect("/meine-daten", code=303)

    @pages.post("/abmelden")
    def leave() -> AnyResponse:
        require_same_form(session, request.form.get("csrf", ""))
        session.clear()
        return redirect("/", code=303)


def _add_own_data(pages: Blueprint, sign_in: Callable[[], SignIn], front: FrontDoor) -> None:
    @pages.get("/meine-daten")
    def my_data() -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden")
        return render_template("my_data.html", **_own(front, asker))

    @pages.get("/meine-daten/einwilligungen/<consent_id>/beleg")
    def my_receipt(consent_id: str) -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden")
        as_page = front.operations["consent.receipt"].forms["text/html"]
        return as_page(view(front, asker, "consent.receipt", {"consent_id": consent_id}))

    def say(consent_id: str, operation: str) -> AnyResponse:
        """One button, one step: no question back, no reason asked."""
        asker = sign_in().asker(session)
        if asker is None:
            return redirect("/anmelden", code=303)
        require_same_form(session, request.form.get("csrf", ""))
        front.handle(front.operations[operation], asker, {"consent_id": consent_id})
        withdrawn = operation == "consent.withdraw_consent"
        return redirect(url_for(".my_withdrawal", consent_id=consent_id) if withdrawn else "/meine-daten", code=303)

    for path, operation in OWN_WORDS.items():
        pages.add_url_rule(
            f"/meine-daten/{path}",
            operation.replace(".", "_"),
            say,
            defaults={"operation": operation},
            methods=["POST"],
        )


def error_page(told: Json) -> Response:
    """The page for a browser that met a problem."""
    problem = problem_types()[told["code"]]
    return make_response(render_template("error.html", told=told, problem=problem), told["status"])


def _own(front: FrontDoor, asker: Asker) -> Json:
    if asker.role != CITIZEN:
        return {"citizen": False}
    shown = {
        name: view(front, asker, operation, {})
        for name, operation in (("consents", "consent.consents"), ("disclosures", "exchange.disclosures"))
    }
    return {"citizen": True, **shown, "names": partner_names(front, asker), "states": STATES, "statuses": STATUSES}


def _kept_nowhere(response: Response) -> Response:
    """A page that was left does not go on showing, or offering, what no longer stands."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _day(moment: date | datetime | None) -> str:
    if moment is None:
        return ""
    day = moment.astimezone(LEGAL_ZONE) if isinstance(moment, datetime) else moment
    return day.strftime("%d.%m.%Y")


def _iso_day(text: str | None) -> str:
    """A day or moment in ISO 8601, as people write days."""
    return date.fromisoformat(text[:10]).strftime("%d.%m.%Y") if text else ""


def _moment(moment: datetime | str) -> str:
    """A moment, also one in ISO 8601, as it was on the clocks in Germany."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return found.astimezone(LEGAL_ZONE).strftime("%d.%m.%Y %H:%M")


def _category(name: str) -> str:
    return present_law().vocabulary.categories.get(name, name)


def _norms(norms: Iterable[str]) -> str:
    """Citations that break at the end of a line only where a reader would."""
    return "; ".join(_TOGETHER.sub("\\1\N{NO-BREAK SPACE}", norm) for norm in norms)


def _purpose(name: str) -> str:
    return present_law().vocabulary.purposes.get(name, name)
