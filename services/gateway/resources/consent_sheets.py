"""Sheets of consents: one purpose, explained and signed once, with a yes or a no for each recipient and category."""

import uuid
from datetime import date

from services.gateway.operations import Desk, Resource
from services.gateway.resources.consent_forms import (
    ConsentView,
    Form,
    Giver,
    Information,
    Proof,
    UseLimit,
    require_own_voice,
)
from services.gateway.vocabulary import require_categories, require_purpose
from shared.domain import value

sheets = Resource("consent sheets", "Many yes and no at once, each with an id of its own.")


@value
class NewCell:
    """A yes or a no for one recipient and one category."""

    recipient: str
    category: str
    yes: bool
    consent_id: str | None = None


@value
class NewSheet:
    """One purpose, explained and signed once; each cell becomes a consent or a refusal with an id of its own."""

    person_id: str
    purpose: str
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    cells: tuple[NewCell, ...]
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None


@value
class Cell:
    consent_id: str
    recipient: str
    category: str
    yes: bool


@value
class Sheet:
    person_id: str
    purpose: str
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    cells: tuple[Cell, ...]
    valid_from: date | None
    valid_until: date | None
    use: UseLimit | None
    representation_id: str | None
    giver_id: str | None
    proof: Proof | None


@value
class SheetView:
    items: tuple[ConsentView, ...]


@sheets.changes("POST", "/consents/sheets", "consent.record_sheet")
def record_sheet(desk: Desk, new: NewSheet) -> SheetView:
    """Record a sheet: a yes or no for each recipient and category, all of them or none."""
    desk.asker.require_own(new.person_id, "person.unknown")
    require_own_voice(desk, new.given_by, "/given_by")
    require_purpose(new.purpose, "/purpose")
    for place, cell in enumerate(new.cells):
        require_categories((cell.category,), f"/cells/{place}")
    cells = tuple(
        Cell(
            consent_id=desk.new_id(cell.consent_id or _cell_id(desk, place), f"cells/{place}/consent_id"),
            recipient=cell.recipient,
            category=cell.category,
            yes=cell.yes,
        )
        for place, cell in enumerate(new.cells)
    )
    sheet = Sheet(
        person_id=new.person_id,
        purpose=new.purpose,
        form=new.form,
        given_by=new.given_by,
        information=new.information,
        voluntary=new.voluntary,
        cells=cells,
        valid_from=new.valid_from,
        valid_until=new.valid_until,
        use=new.use,
        representation_id=new.representation_id,
        giver_id=new.giver_id,
        proof=new.proof,
    )
    return desk.ask("consent", "record_sheet", sheet, SheetView)


def _cell_id(desk: Desk, place: int) -> str:
    """Derived from the request, so that the same sheet again means the same consents."""
    return str(uuid.uuid5(uuid.UUID(desk.command_id), f"cell {place}"))
