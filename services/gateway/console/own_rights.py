"""A citizen's ledger, requests and copy, in German. Reads and changes go through the same operations as the interface.

The copy is told as it is read, page by page, so that also a file of ten years begins to appear at once and shows how
far it has come; for a program the same is there as JSON.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, session, stream_template
from werkzeug.wrappers import Response as AnyResponse

from services.gateway.auth import Asker
from services.gateway.console.reading import citizen, partner_names, view
from services.gateway.console.sign_in import SignIn, require_same_form
from services.gateway.front_door import FrontDoor
from services.gateway.resources.consent_receipts import STATUSES
from shared.domain import Json, known
from shared.policy import present_law
from shared.schema import dump

RIGHTS = {
    "access": "Auskunft und Kopie",
    "portability": "Meine Angaben als Datei",
    "rectification": "Berichtigung",
    "erasure": "Löschung",
    "restriction": "Einschränkung der Verarbeitung",
    "objection": "Widerspruch",
}
OUTCOMES = {
    "granted": "entsprochen",
    "partly_granted": "teilweise entsprochen",
    "restricted": "nicht gelöscht, aber gesperrt",
    "contested": "mit Hinweis versehen",
    "refused": "abgelehnt",
}
STATES = {
    "requested": "angefragt",
    "denied": "nicht weitergegeben",
    "permitted": "wird weitergegeben",
    "stopped": "gestoppt, nicht angekommen",
    "handed_over": "weitergegeben",
    "acknowledged": "weitergegeben und bestätigt",
    "retracted": "zurückgerufen",
    "retraction_acknowledged": "zurückgerufen und bestätigt",
}
NOTICES = {
    "rectified": "Empfänger über Berichtigung informiert",
    "contested": "Empfänger über den Hinweis informiert",
    "restricted": "Empfänger über die Sperre informiert",
    "erased": "Empfänger über die Löschung informiert",
}
LOOKS = {"person": "Ihre Stammdaten", "case": "Ihr Fall", "assessment": "Ihre Einschätzung"}
SOURCES = {"person": "Sie selbst", "agency": "die Stelle", "doctor": "Ärztin oder Arzt", "protected": "nicht genannt"}
KINDS = {
    "person": "Stammdaten",
    "case": "Fall",
    "entry": "Akteneintrag",
    "rights_request": "Antrag",
    "assessment": "Einschätzung",
    "finding": "Befund",
}
SIGN_IN = "/anmelden"
PAGE = 200


def add_own_rights(pages: Blueprint, sign_in: Callable[[], SignIn], front: FrontDoor) -> None:
    """The pages under `/meine-daten` about the ledger, requests and the copy."""
    pages.add_app_template_filter(_source, "source")

    @pages.get("/meine-daten/protokoll")
    def my_ledger() -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect(SIGN_IN)
        asked = {"before": request.args.get("vor", "")[:300]}
        found = view(front, citizen(asker), "exchange.ledger", asked)
        return render_template("my_ledger.html", ledger=found, states=STATES, notices=NOTICES, looks=LOOKS)

    @pages.get("/meine-daten/rechte")
    def my_rights() -> AnyResponse | str:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect(SIGN_IN)
        items = view(front, citizen(asker), "cases.rights", {"limit": 100}).items
        shown = [view(front, asker, "cases.right", {"request_id": each.request_id}) for each in items]
        newest = sorted(shown, key=lambda each: each.received_on, reverse=True)
        return render_template("my_rights.html", requests=newest, rights=RIGHTS, outcomes=OUTCOMES)

    @pages.post("/meine-daten/rechte")
    def make_request() -> AnyResponse:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect(SIGN_IN, code=303)
        require_same_form(session, request.form.get("csrf", ""))
        wanted = {name: request.form.get(name, "")[:5000] for name in ("right", "wish", "record")}
        front.handle(front.operations["cases.request_right"], citizen(asker), wanted)
        return redirect("/meine-daten/rechte", code=303)

    _add_copies(pages, sign_in, front)


def _add_copies(pages: Blueprint, sign_in: Callable[[], SignIn], front: FrontDoor) -> None:
    @pages.get("/meine-daten/auskunft/<request_id>")
    def my_copy(request_id: str) -> AnyResponse:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect(SIGN_IN)
        copy = Copy(front, citizen(asker), request_id)
        words = {"kinds": KINDS, "states": STATES, "rights": RIGHTS, "statuses": STATUSES}
        names = partner_names(front, asker)
        text = stream_template("my_copy.html", copy=copy, first=copy.page(""), names=names, **words)
        return Response(text, content_type="text/html; charset=utf-8")

    @pages.get("/meine-daten/auskunft/<request_id>.json")
    def my_copy_for_programs(request_id: str) -> AnyResponse:
        asker = sign_in().asker(session)
        if asker is None:
            return redirect(SIGN_IN)
        copy = Copy(front, citizen(asker), request_id)
        response = Response(copy.as_json(copy.page("")), content_type="application/json")
        response.headers["Content-Disposition"] = "attachment; filename=auskunft.json"
        return response


class Copy:
    """The copy that an answered request opens to whoever asks: about it, its records, recipients and consents."""

    def __init__(self, front: FrontDoor, asker: Asker, request_id: str) -> None:
        self._front = front
        self._asker = asker
        self.request_id = request_id
        self.request = self._ask("cases.right", {"request_id": request_id})

    def page(self, after: str) -> Any:
        """One page of records. Raises what the operation raises."""
        return self._ask("cases.copy", {"request_id": self.request_id, "after": after, "limit": PAGE})

    def pages(self, first: Any) -> Iterator[Any]:
        """All pages, beginning with the one that is there."""
        page = first
        yield page
        while page.next is not None:
            page = self.page(page.next)
            yield page

    def records(self, page: Any) -> list[Json]:
        """The records of one page."""
        found: list[Json] = known(page.content, {}).get("records", [])
        return found

    def recipients(self) -> Iterator[Json]:
        """What the ledger tells, newest first; a copy of what the person gave (Art. 20 DSGVO) has none."""
        before: str | None = ""
        while before is not None and self.request.right != "portability":
            page = self._ask("exchange.ledger", {"person_id": self.request.person_id, "before": before, "limit": PAGE})
            yield from (_plain(each) for each in page.items)
            before = page.next

    def consents(self) -> list[Json]:
        """What the person allowed, refused and took back."""
        if self.request.right == "portability":
            return []
        found = self._ask("consent.consents", {"person_id": self.request.person_id})
        return [_plain(each) for each in found.items]

    def about(self) -> Json:
        """What Art. 15 Abs. 1 and 2 DSGVO want told beside the data."""
        answer = self.request.answer
        return {
            "request_id": self.request_id,
            "right": str(self.request.right),
            "answered_on": answer.on.isoformat(),
            "norms": list(answer.norms),
            "rule_set": present_law().hash,
            "log": answer.log,
            "log_index": answer.index,
            "categories": {each: present_law().vocabulary.categories.get(each, each) for each in answer.opened},
            "complaint": "Art. 77 DSGVO, § 81 SGB X",
            "rights": ["Art. 16 DSGVO", "Art. 17 DSGVO", "Art. 18 DSGVO", "Art. 21 DSGVO"],
        }

    def as_json(self, first: Any) -> Iterator[str]:
        """The whole copy as one JSON object, told as it is read."""
        yield f'{{"about": {_text(self.about())}, "records": ['
        yield from _joined(record for page in self.pages(first) for record in self.records(page))
        yield '], "ledger": ['
        yield from _joined(self.recipients())
        yield '], "consents": ['
        yield from _joined(iter(self.consents()))
        yield "]}\n"

    def _ask(self, operation: str, asked: Json) -> Any:
        return view(self._front, self._asker, operation, asked)


def _joined(items: Iterator[Json]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + _text(item)


def _plain(item: Any) -> Json:
    return dump(item)


def _text(item: Json) -> str:
    return json.dumps(item, ensure_ascii=False)


def _source(origin: str) -> str:
    return SOURCES.get(origin) or present_law().vocabulary.bodies.get(origin, origin)
