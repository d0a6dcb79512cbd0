"""What health holds about a person, record by record: for the copy that Art. 15 Abs. 3 DSGVO gives them."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from services.health.domain.assessment import Assessment
from services.health.domain.finding import Finding
from services.health.projections import NEWEST, health_files
from shared.domain import Erased, Json, Personal, value
from shared.eventstore import AgencyStore
from shared.law import source_shown

LONGEST_PAGE = 500
OWN_ANSWERS = "health_data"


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
class HeldQuestion:
    person_id: str


@value
class Held:
    """One category of which records are held, and the day of the newest."""

    category: str
    count: int
    last_on: date


@value
class HeldAnswer:
    """`recorded_on` is the last day on which anything was recorded or corrected, whatever day it is about."""

    items: tuple[Held, ...]
    recorded_on: date | None = None


@value
class CorrectRecord:
    """`record` is `finding:<id>` or `assessment:<id>`. `content` takes the place of what was wrong; without one `note`
    goes with what cannot be settled.
    """

    record: str
    person_id: str
    request_id: str
    content: Personal[str | None]
    note: Personal[str | None]


@dataclass(frozen=True)
class Copies:
    """Copies from one agency's health files."""

    store: AgencyStore

    def page(self, tx: Connection, asked: CopyQuestion) -> CopyPage:
        """One page of records in a fixed order; the same question gives the same page."""
        keys = self._keys(tx, asked)
        start = bisect_right(keys, asked.after) if asked.after else 0
        chosen = keys[start : start + min(max(asked.limit, 1), LONGEST_PAGE)]
        records = [record for key in chosen if (record := self._record(key))]
        last = not chosen or chosen[-1] == keys[-1]
        return CopyPage(
            person_id=asked.person_id,
            content={"records": records},
            next=None if last else chosen[-1],
            total=len(keys),
        )

    def held(self, tx: Connection, person_id: str) -> HeldAnswer:
        """Which categories there are, how many records, and the days of the newest."""
        table = NEWEST.table
        here = table.c.agency == self.store.name, table.c.person_id == person_id
        recorded_on = tx.scalar(select(table.c.last_on).where(*here))
        days: dict[str, list[date]] = {}
        for stream, category in self._rows(tx, person_id):
            on = self._day(stream)
            if on is not None:
                days.setdefault(category, []).append(on)
        return HeldAnswer(
            items=tuple(Held(category=name, count=len(on), last_on=max(on)) for name, on in sorted(days.items())),
            recorded_on=date.fromisoformat(recorded_on) if recorded_on else None,
        )

    def _keys(self, tx: Connection, asked: CopyQuestion) -> list[str]:
        opened = set(asked.categories)
        rows = [(stream, category) for stream, category in self._rows(tx, asked.person_id) if category in opened]
        return sorted(stream for stream, _ in rows if not asked.only_own or self._is_own(stream))

    def _is_own(self, stream: str) -> bool:
        kind, _, record_id = stream.partition("-")
        if kind == "assessment":
            return True
        recorded = self.store.load(Finding, record_id)[0].recorded
        return recorded is not None and recorded.origin == "person"

    def _day(self, stream: str) -> date | None:
        kind, _, record_id = stream.partition("-")
        if kind == "assessment":
            taken = self.store.load(Assessment, record_id)[0].recorded
            return taken.taken_on if taken and not isinstance(taken.answers, Erased) else None
        made = self.store.load(Finding, record_id)[0].recorded
        return made.on if made and made.content else None

    def _record(self, stream: str) -> Json | None:
        kind, _, record_id = stream.partition("-")
        return self._assessment(record_id) if kind == "assessment" else self._finding(record_id)

    def _assessment(self, assessment_id: str) -> Json | None:
        assessment, _ = self.store.load(Assessment, assessment_id)
        taken = assessment.recorded
        if not taken or isinstance(taken.answers, Erased):
            return None
        return {
            "kind": "assessment",
            "id": assessment_id,
            "category": OWN_ANSWERS,
            "on": taken.taken_on.isoformat(),
            "source": "person",
            "instrument": taken.instrument,
            "instrument_version": taken.instrument_version,
            "answers": taken.answers,
            "total": taken.total,
            "band": taken.band,
            **_note(assessment.contested.note if assessment.contested else ""),
        }

    def _finding(self, finding_id: str) -> Json | None:
        finding, _ = self.store.load(Finding, finding_id)
        made = finding.recorded
        if not made or not made.content:
            return None
        return {
            "kind": "finding",
            "id": finding_id,
            "category": made.category,
            "on": made.on.isoformat(),
            "source": source_shown(made.origin),
            "text": made.content,
            **_note(finding.contested.note if finding.contested else ""),
        }

    def _rows(self, tx: Connection, person_id: str) -> list[tuple[str, str]]:
        table = health_files
        here = (table.c.agency == self.store.name) & (table.c.person_id == person_id)
        return [(row.stream, row.category) for row in tx.execute(select(table.c.stream, table.c.category).where(here))]


def _note(note: str | Erased) -> Json:
    return {"contested": note} if note else {}
