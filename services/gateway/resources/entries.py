"""Entries (Akteneinträge, Befunde): social data of one category, with where it came from.

Health data goes to the health service, everything else into the case file; the category decides.
"""

from services.gateway.operations import Desk, Resource
from services.gateway.vocabulary import require_category
from shared.domain import Personal, value
from shared.law import health_categories

entries = Resource("entries", "Data of one category as the agency holds it, and where it came from.")


@value
class NewEntry:
    person_id: str
    category: str
    content: str
    origin: str = "person"
    entry_id: str | None = None


@value
class RecordEntry:
    entry_id: str
    person_id: str
    category: str
    content: Personal[str]
    origin: str


@value
class RecordFinding:
    finding_id: str
    person_id: str
    category: str
    content: Personal[str]
    origin: str


@value
class EntryReceipt:
    """That the entry stands; its content is read by disclosing it, not here."""

    entry_id: str
    category: str
    kept_by: str


@entries.changes("POST", "/entries", "cases.record_entry", personal=("content",))
def record_entry(desk: Desk, new: NewEntry) -> EntryReceipt:
    """Record an entry of the case file, or a finding when its category is one of health data."""
    require_category(new.category, "/category")
    entry_id = desk.new_id(new.entry_id, "entry_id")
    about = {"person_id": new.person_id, "category": new.category, "content": new.content, "origin": new.origin}
    if new.category in health_categories():
        desk.tell("health", "record_finding", RecordFinding(finding_id=entry_id, **about))
        kept_by = "health"
    else:
        desk.tell("cases", "record_entry", RecordEntry(entry_id=entry_id, **about))
        kept_by = "cases"
    return EntryReceipt(entry_id=entry_id, category=new.category, kept_by=kept_by)
