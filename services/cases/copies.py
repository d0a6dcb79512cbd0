"""What case management holds about a person, record by record: for the copy that Art. 15 Abs. 3 DSGVO gives them.

Third persons are kept out of it: a record of a category that did not open is not there at all, and a source is named by
its kind or, where it may be somebody who reported, not at all.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from services.cases.domain.case import Case
from services.cases.domain.file_entry import FileEntry
from services.cases.domain.person import Person
from services.cases.domain.rights_request import RightsRequest
from services.cases.projections import case_list, entries_of_person, rights_requests
from shared.domain import Erased, Json, Personal, known, value
from shared.eventstore import AgencyStore
from shared.law import source_shown

LONGEST_PAGE = 500
MASTER_DATA, CONTACT_DATA, MILESTONE = "master_data", "contact_data", "status_milestone"


@value
class CopyQuestion:
    """Records behind the key `after`, of the categories that opened; `only_own`: what the person said themselves."""

    person_id: str
    categories: tuple[str, ...]
    after: str = ""
    limit: int = 200
    only_own: bool = False


@value
class CopyPage:
    """`content` is `{"records": [...]}`; `total` counts all records of this service that belong to the copy."""

    person_id: str
    content: Personal[Json]
    next: str | None
    total: int


@value
class Held:
    category: str
    count: int
    last_on: date


@dataclass(frozen=True)
class Copies:
    """Copies from one agency's files."""

    store: AgencyStore

    def page(self, tx: Connection, asked: CopyQuestion) -> CopyPage:
        """One page of records in a fixed order; the same question gives the same page."""
        keys = self._keys(tx, asked)
        start = bisect_right(keys, asked.after) if asked.after else 0
        chosen = keys[start : start + min(max(asked.limit, 1), LONGEST_PAGE)]
        records = [record for key in chosen if (record := self._record(asked.person_id, key))]
        last = not chosen or chosen[-1] == keys[-1]
        return CopyPage(
            person_id=asked.person_id,
            content={"records": records},
            next=None if last else chosen[-1],
            total=len(keys),
        )

    def held(self, tx: Connection, person_id: str) -> list[Held]:
        """Which categories there are, how many records, and the day of the newest."""
        days: dict[str, list[date]] = {}
        person, _ = self.store.load(Person, person_id)
        if person.registered and person.registered.name:
            first = self.store.read(Person, person_id)[0].recorded_at.date()
            days[MASTER_DATA] = [first]
            if person.registered.contact:
                days[CONTACT_DATA] = [first]
        for key in self._cases(tx, person_id):
            opened = self.store.load(Case, key.partition(":")[2])[0].opened_on
            days.setdefault(MILESTONE, []).extend([opened] if opened else [])
        held = {name: Held(category=name, count=len(on), last_on=max(on)) for name, on in days.items() if on}
        for name, count, last_on in self._counted(tx, person_id):
            before = held.get(name, Held(category=name, count=0, last_on=last_on))
            held[name] = Held(category=name, count=count + before.count, last_on=max(last_on, before.last_on))
        return list(held.values())

    def _keys(self, tx: Connection, asked: CopyQuestion) -> list[str]:
        """Sorted keys `<place>-<kind>:<id>`, so that a page goes on where the last one ended."""
        opened = set(asked.categories)
        keys = [f"3-entry:{entry_id}" for entry_id, name in self._entries(tx, asked.person_id) if name in opened]
        if MASTER_DATA in opened:
            keys.append("1-person:")
        if asked.only_own:
            return sorted(key for key in keys if key == "1-person:" or self._is_own(key))
        if MILESTONE in opened:
            keys += self._cases(tx, asked.person_id)
        keys += [f"4-request:{request_id}" for request_id in self._requests(tx, asked.person_id)]
        return sorted(keys)

    def _is_own(self, key: str) -> bool:
        recorded = self.store.load(FileEntry, key.partition(":")[2])[0].recorded
        return recorded is not None and recorded.origin == "person"

    def _record(self, person_id: str, key: str) -> Json | None:
        place, _, record_id = key.partition(":")
        match place:
            case "1-person":
                return self._person(person_id)
            case "2-case":
                case, _ = self.store.load(Case, record_id)
                opened = case.opened_on.isoformat() if case.opened_on else None
                return {"kind": "case", "id": record_id, "category": MILESTONE, "open_since": opened}
            case "3-entry":
                return self._entry(record_id)
            case _:
                return self._request(record_id)

    def _person(self, person_id: str) -> Json | None:
        person, _ = self.store.load(Person, person_id)
        found = person.registered
        if found is None or isinstance(found.name, Erased):
            return None
        born, restricted = known(found.birth_date, None), person.restricted
        return {
            "kind": "person",
            "id": person_id,
            "category": MASTER_DATA,
            "name": found.name,
            "birth_date": born.isoformat() if born else None,
            "contact": known(found.contact, None),
            "restricted_since": restricted.on.isoformat() if restricted else None,
            "restricted_until": restricted.until.isoformat() if restricted and restricted.until else None,
            **_note(person.contested.note if person.contested else ""),
        }

    def _entry(self, entry_id: str) -> Json | None:
        entry, _ = self.store.load(FileEntry, entry_id)
        if not entry.recorded or not entry.recorded.content:
            return None
        return {
            "kind": "entry",
            "id": entry_id,
            "category": entry.recorded.category,
            "on": entry.recorded.on.isoformat(),
            "source": source_shown(entry.recorded.origin),
            "text": entry.recorded.content,
            **_note(entry.contested.note if entry.contested else ""),
        }

    def _request(self, request_id: str) -> Json | None:
        request, _ = self.store.load(RightsRequest, request_id)
        if not request.requested or isinstance(request.requested.wish, Erased):
            return None
        answered = request.answered
        return {
            "kind": "rights_request",
            "id": request_id,
            "right": request.requested.right.value,
            "received_on": request.requested.received_on.isoformat(),
            "due_on": request.due_on.isoformat(),
            "text": request.requested.wish,
            "outcome": answered.outcome.value if answered else None,
            "answered_on": answered.on.isoformat() if answered else None,
        }

    def _counted(self, tx: Connection, person_id: str) -> Iterable[tuple[str, int, date]]:
        table = entries_of_person
        found = select(table.c.category, func.count(), func.max(table.c.on)).group_by(table.c.category)
        rows = tx.execute(found.where(table.c.agency == self.store.name, table.c.person_id == person_id))
        return [(name, count, date.fromisoformat(last_on)) for name, count, last_on in rows]

    def _entries(self, tx: Connection, person_id: str) -> Iterable[tuple[str, str]]:
        table = entries_of_person
        here = (table.c.agency == self.store.name) & (table.c.person_id == person_id)
        return [
            (row.entry_id, row.category) for row in tx.execute(select(table.c.entry_id, table.c.category).where(here))
        ]

    def _cases(self, tx: Connection, person_id: str) -> list[str]:
        here = (case_list.c.agency == self.store.name) & (case_list.c.person_id == person_id)
        return [f"2-case:{case_id}" for case_id in tx.execute(select(case_list.c.case_id).where(here)).scalars()]

    def _requests(self, tx: Connection, person_id: str) -> list[str]:
        table = rights_requests
        here = (table.c.agency == self.store.name) & (table.c.person_id == person_id)
        return list(tx.execute(select(table.c.request_id).where(here)).scalars())


def _note(note: str | Erased) -> Json:
    """What is contested goes with its note (§ 84 Abs. 2 SGB X)."""
    return {"contested": note} if note else {}
