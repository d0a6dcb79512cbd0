"""The questions that health answers: one assessment, the content of a category for a disclosure, whose records are all
old.
"""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from services.health.domain.assessment import Assessment
from services.health.domain.finding import Finding
from services.health.projections import NEWEST, health_files
from shared.domain import Json, Personal, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore


@value
class AssessmentQuestion:
    """`automatic`: a program asks by itself."""

    assessment_id: str
    automatic: bool = False


@value
class AssessmentView:
    """`total` and `band` are null when an item was refused, not known or missing."""

    assessment_id: str
    person_id: str
    instrument: str
    instrument_version: str
    answers: Personal[dict[str, str]]
    total: Personal[int | None]
    band: Personal[str | None]
    safety_concern: Personal[bool]
    taken_on: date
    version: int


@value
class ContentQuestion:
    person_id: str
    categories: tuple[str, ...]


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


@value
class QuietQuestion:
    """Persons about whom nothing was recorded since the day `since`, after the id `after`. `limit` 1 to 500."""

    since: date
    after: str = ""
    limit: int = 500


@value
class QuietPage:
    """`next` is where the following page begins; without it this was the last."""

    persons: tuple[str, ...]
    next: str | None


@dataclass(frozen=True)
class HealthFiles:
    """Reads one agency's health files."""

    store: AgencyStore

    def assessment(self, assessment_id: str) -> AssessmentView:
        assessment, version = self.store.load(Assessment, assessment_id)
        known = assessment.recorded
        if not known:
            raise NotFound("assessment.unknown")
        return AssessmentView(
            assessment_id=assessment_id,
            person_id=known.person_id,
            instrument=known.instrument,
            instrument_version=known.instrument_version,
            answers=known.answers,
            total=known.total,
            band=known.band,
            safety_concern=assessment.safety_concern,
            taken_on=known.taken_on,
            version=version,
        )

    def content(self, tx: Connection, asked: ContentQuestion) -> ContentAnswer:
        """The content of each category asked for that is held about the person."""
        found = {category: self._held(tx, asked.person_id, category) for category in asked.categories}
        return ContentAnswer(
            items=tuple(
                CategoryContent(person_id=asked.person_id, category=category, content={"entries": entries})
                for category, entries in found.items()
                if entries
            )
        )

    def quiet(self, tx: Connection, asked: QuietQuestion) -> QuietPage:
        limit, table = min(max(asked.limit, 1), 500), NEWEST.table
        here = table.c.agency == self.store.name, table.c.person_id > asked.after
        found = select(table.c.person_id).where(*here, table.c.last_on < asked.since.isoformat())
        persons = tx.scalars(found.order_by(table.c.person_id).limit(limit + 1)).all()
        return QuietPage(persons=tuple(persons[:limit]), next=persons[limit - 1] if len(persons) > limit else None)

    def _held(self, tx: Connection, person_id: str, category: str) -> list[Json]:
        table = health_files
        rows = tx.execute(
            select(table.c.stream, table.c.id)
            .where(
                table.c.agency == self.store.name,
                table.c.person_id == person_id,
                table.c.category == category,
            )
            .order_by(table.c.stream)
        ).all()
        made = [
            self._assessment(row.id) if row.stream.startswith("assessment-") else self._finding(row.id) for row in rows
        ]
        return [entry for entry in made if entry]

    def _assessment(self, assessment_id: str) -> Json:
        assessment, _ = self.store.load(Assessment, assessment_id)
        recorded, contested = assessment.recorded, assessment.contested
        if not recorded or not recorded.answers:
            return {}
        return {
            "instrument": recorded.instrument,
            "instrument_version": recorded.instrument_version,
            "answers": recorded.answers,
            "total": recorded.total,
            "band": recorded.band,
            "on": recorded.taken_on.isoformat(),
            **({"contested": contested.note} if contested and contested.note else {}),
        }

    def _finding(self, finding_id: str) -> Json:
        finding, _ = self.store.load(Finding, finding_id)
        recorded, contested = finding.recorded, finding.contested
        if not recorded or not recorded.content:
            return {}
        content: Json = {"on": recorded.on.isoformat(), "origin": recorded.origin, "text": recorded.content}
        return {**content, "contested": contested.note} if contested and contested.note else content
