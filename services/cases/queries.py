"""The questions that the files answer: persons, cases, and the content of a category for a disclosure."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from services.cases.domain.case import Case
from services.cases.domain.file_entry import FileEntry
from services.cases.domain.person import Person
from services.cases.projections import case_list, entries_of_person
from shared.domain import Json, Personal, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore


@value
class PersonQuestion:
    """`automatic`: a program asks by itself."""

    person_id: str
    automatic: bool = False


@value
class PersonView:
    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None]
    version: int
    restricted: bool = False


@value
class CaseQuestion:
    """`automatic`: a program asks by itself."""

    case_id: str
    automatic: bool = False


@value
class CaseView:
    case_id: str
    person_id: str
    main_companion: str
    opened_on: date
    handovers: int
    safety_checks_due: tuple[str, ...]
    version: int
    closed_on: date | None = None


@value
class CasesQuestion:
    """Cases after the case id `after`; of one person or one main companion when named. `limit` 1 to 500."""

    person_id: str | None = None
    main_companion: str | None = None
    after: str = ""
    limit: int = 50


@value
class CaseItem:
    case_id: str
    person_id: str
    main_companion: str


@value
class CasePage:
    items: tuple[CaseItem, ...]
    next: str | None


@value
class ContentQuestion:
    person_id: str
    categories: tuple[str, ...]
    case_id: str | None = None


@value
class CategoryContent:
    """What is held of one category; `content` is the JSON that would travel."""

    person_id: str
    category: str
    content: Personal[Json]


@value
class ContentAnswer:
    """Categories of which nothing is held are left out."""

    items: tuple[CategoryContent, ...]


@dataclass(frozen=True)
class Files:
    """Reads one agency's files."""

    store: AgencyStore

    def person(self, person_id: str, today: date) -> PersonView:
        person, version = self.store.load(Person, person_id)
        if not person.registered:
            raise NotFound("person.unknown")
        known = person.registered
        return PersonView(
            person_id=person_id,
            name=known.name,
            birth_date=known.birth_date,
            contact=known.contact,
            version=version,
            restricted=person.restricted_on(today),
        )

    def case(self, case_id: str) -> CaseView:
        case, version = self.store.load(Case, case_id)
        if not case.opened_on:
            raise NotFound("case.unknown")
        return CaseView(
            case_id=case_id,
            person_id=case.person_id,
            main_companion=case.main_companion,
            opened_on=case.opened_on,
            handovers=case.handovers,
            safety_checks_due=case.safety_checks_due,
            version=version,
            closed_on=case.closed_on,
        )

    def cases(self, tx: Connection, asked: CasesQuestion) -> CasePage:
        limit = min(max(asked.limit, 1), 500)
        found = select(case_list).where(case_list.c.agency == self.store.name, case_list.c.case_id > asked.after)
        if asked.person_id is not None:
            found = found.where(case_list.c.person_id == asked.person_id)
        if asked.main_companion is not None:
            found = found.where(case_list.c.main_companion == asked.main_companion)
        rows = tx.execute(found.order_by(case_list.c.case_id).limit(limit + 1)).all()
        items = tuple(
            CaseItem(case_id=row.case_id, person_id=row.person_id, main_companion=row.main_companion)
            for row in rows[:limit]
        )
        return CasePage(items=items, next=items[-1].case_id if len(rows) > limit else None)

    def cases_of_person(self, tx: Connection, person_id: str) -> list[str]:
        here = (case_list.c.agency == self.store.name) & (case_list.c.person_id == person_id)
        return list(tx.execute(select(case_list.c.case_id).where(here)).scalars())

    def content(self, tx: Connection, asked: ContentQuestion) -> ContentAnswer:
        """The content of each category asked for that is held about the person."""
        found = {category: self._held(tx, asked, category) for category in asked.categories}
        return ContentAnswer(
            items=tuple(
                CategoryContent(person_id=asked.person_id, category=category, content=content)
                for category, content in found.items()
                if content
            )
        )

    def _held(self, tx: Connection, asked: ContentQuestion, category: str) -> Json:
        content: Json = {}
        person, _ = self.store.load(Person, asked.person_id)
        if category == "master_data" and person.registered and person.registered.name:
            birth_date = person.registered.birth_date
            born = birth_date.isoformat() if isinstance(birth_date, date) else None
            content = {"name": person.registered.name, "birth_date": born}
        if category == "contact_data" and person.registered and person.registered.contact:
            content = {"contact": person.registered.contact}
        if category == "status_milestone" and asked.case_id:
            case, _ = self.store.load(Case, asked.case_id)
            if case.opened_on and case.person_id == asked.person_id:
                content = {"case_open_since": case.opened_on.isoformat()}
        if content and category in ("master_data", "contact_data") and person.contested and person.contested.note:
            content = {**content, "contested": person.contested.note}
        entries = self._entries(tx, asked.person_id, category)
        return {**content, "entries": entries} if entries else content

    def _entries(self, tx: Connection, person_id: str, category: str) -> list[Json]:
        table = entries_of_person
        rows = tx.execute(
            select(table.c.entry_id)
            .where(
                table.c.agency == self.store.name,
                table.c.person_id == person_id,
                table.c.category == category,
            )
            .order_by(table.c.entry_id)
        ).scalars()
        loaded = [self.store.load(FileEntry, entry_id)[0] for entry_id in rows]
        return [found for entry in loaded if (found := _entry_content(entry))]


def _entry_content(entry: FileEntry) -> Json:
    """What would travel of one entry; what is contested only with its note (§ 84 Abs. 2 Satz 2 SGB X)."""
    recorded, contested = entry.recorded, entry.contested
    if not recorded or not recorded.content:
        return {}
    content: Json = {"on": recorded.on.isoformat(), "origin": recorded.origin, "text": recorded.content}
    return {**content, "contested": contested.note} if contested and contested.note else content
