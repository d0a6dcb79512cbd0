"""What is asked and answered about persons' rights, erasures and breaches."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, select

from services.cases.deadlines import breach_notices
from services.cases.domain.breach import Breach, Notice, Risk, Told
from services.cases.domain.erasure import Erasure
from services.cases.domain.rights_request import Outcome, Representative, Right, RightsRequest, Stage
from services.cases.projections import breaches, erasures, rights_requests
from shared.clock import legal_day
from shared.domain import Command, Json, Personal, command, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore

CITIZEN = "citizen"


@command
class AnswerRight(Command):
    """How a request ends. What was examined is stated here by the named person who answers: for an access identity,
    exceptions and the interests of third persons (not stated: nothing opens), for an erasure whether the data were
    unlawful, for a rectification what is right (`corrected`: of a person `name`, `birth_date`, `contact`; otherwise
    `content`; `record` where the request names none). `until` ends a restriction, `by` is who answers for it.
    """

    request_id: str
    person_id: str
    outcome: Outcome
    by: str
    reasons: Personal[str] = ""
    record: str = ""
    identity_verified: bool = False
    access_exception_83: bool | None = None
    third_party_interests_override: bool | None = None
    representation_covers: bool | None = None
    via_doctor: bool = False
    unlawful: bool = False
    until: date | None = None
    corrected: Personal[Json | None] = None


@value
class RightQuestion:
    request_id: str


@value
class Reminder:
    stage: Stage
    on: date


@value
class AnswerView:
    """`opened` and `closed` are categories; which stay closed is told to the agency's own staff only."""

    person_id: str
    outcome: Outcome
    reasons: Personal[str]
    norms: tuple[str, ...]
    by: str
    on: date
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    via_doctor: bool
    until: date | None
    erasure_id: str
    log: str
    index: int


@value
class RightView:
    """`overdue` is asked of the clock."""

    request_id: str
    person_id: str
    right: Right
    wish: Personal[str]
    record: str
    received_on: date
    due_on: date
    norm: str
    owner: str
    overdue: bool
    extended_on: date | None
    extension_reasons: Personal[str | None]
    representative_id: str | None
    representative: Representative
    reminders: tuple[Reminder, ...]
    answer: AnswerView | None
    version: int


@value
class RightsQuestion:
    """Requests after the id `after`; of one person, of one owner, only open ones. `limit` 1 to 500."""

    person_id: str | None = None
    owner: str | None = None
    only_open: bool = False
    after: str = ""
    limit: int = 50


@value
class RightItem:
    request_id: str
    person_id: str
    right: Right
    owner: str
    due_on: date
    open: bool
    overdue: bool


@value
class RightPage:
    items: tuple[RightItem, ...]
    next: str | None


@value
class ErasureQuestion:
    erasure_id: str


@value
class Confirmation:
    service: str
    at: datetime


@value
class ErasureView:
    """Complete when nobody is `waiting` any more."""

    erasure_id: str
    person_id: str
    reason: str
    by: str
    norms: tuple[str, ...]
    ordered_at: datetime
    confirmed: tuple[Confirmation, ...]
    waiting: tuple[str, ...]
    completed_at: datetime | None
    version: int


@value
class BreachQuestion:
    breach_id: str


@value
class NoticeView:
    """`due_at` is null where the law says only: without delay."""

    breach_id: str
    to: str
    norm: str
    voluntary: bool
    due_at: datetime | None
    given_at: datetime | None
    overdue: bool
    reason_for_delay: Told


@value
class BreachView:
    """`affected` counts the persons of whom the log says that data went out in that time."""

    breach_id: str
    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: Told
    consequences: Told
    measures: Told
    partner_id: str
    categories: tuple[str, ...]
    by: str
    notices: tuple[NoticeView, ...]
    affected: int
    affected_persons: tuple[str, ...]
    version: int


@value
class BreachesQuestion:
    after: str = ""
    limit: int = 50


@value
class BreachItem:
    breach_id: str
    aware_at: datetime


@value
class BreachPage:
    items: tuple[BreachItem, ...]
    next: str | None


@dataclass(frozen=True)
class Rights:
    """Reads one agency's requests, erasures and breaches as of `now`."""

    store: AgencyStore
    now: datetime

    @property
    def today(self) -> date:
        return legal_day(self.now)

    def right(self, request_id: str, role: str) -> RightView:
        request, version = self.store.load(RightsRequest, request_id)
        asked = request.known()
        return RightView(
            request_id=request_id,
            person_id=asked.person_id,
            right=asked.right,
            wish=asked.wish,
            record=asked.record,
            received_on=asked.received_on,
            due_on=request.due_on,
            norm=asked.norm,
            owner=request.owner,
            overdue=not request.answered and self.today > request.due_on,
            extended_on=request.extended.on if request.extended else None,
            extension_reasons=request.extended.reasons if request.extended else None,
            representative_id=asked.representative_id,
            representative=asked.representative,
            reminders=tuple(Reminder(stage=stage, on=on) for stage, on in request.reminded if role != CITIZEN),
            answer=_answer(request, role),
            version=version,
        )

    def rights(self, tx: Connection, asked: RightsQuestion) -> RightPage:
        limit, table = min(max(asked.limit, 1), 500), rights_requests
        found = select(table).where(table.c.agency == self.store.name, table.c.request_id > asked.after)
        if asked.person_id is not None:
            found = found.where(table.c.person_id == asked.person_id)
        if asked.owner is not None:
            found = found.where(table.c.owner == asked.owner)
        if asked.only_open:
            found = found.where(table.c.open)
        rows = tx.execute(found.order_by(table.c.request_id).limit(limit + 1)).all()
        items = tuple(
            RightItem(
                request_id=row.request_id,
                person_id=row.person_id,
                right=Right(row.right),
                owner=row.owner,
                due_on=date.fromisoformat(row.due_on),
                open=row.open,
                overdue=row.open and row.due_on < self.today.isoformat(),
            )
            for row in rows[:limit]
        )
        return RightPage(items=items, next=items[-1].request_id if len(rows) > limit else None)

    def erasure(self, erasure_id: str) -> ErasureView:
        erasure, version = self.store.load(Erasure, erasure_id)
        if not erasure.ordered:
            raise NotFound("erasure.unknown")
        ordered = erasure.ordered
        return ErasureView(
            erasure_id=erasure_id,
            person_id=ordered.person_id,
            reason=ordered.reason,
            by=ordered.by,
            norms=ordered.norms,
            ordered_at=ordered.at,
            confirmed=tuple(Confirmation(service=name, at=at) for name, at in erasure.confirmed.items()),
            waiting=erasure.waiting,
            completed_at=erasure.completed_at,
            version=version,
        )

    def breach(self, breach_id: str, affected: tuple[str, ...]) -> BreachView:
        breach, version = self.store.load(Breach, breach_id)
        recorded = breach.described()
        owed = breach_notices(legal_day(recorded.aware_at))
        return BreachView(
            breach_id=breach_id,
            aware_at=recorded.aware_at,
            began_at=recorded.began_at,
            ended_at=recorded.ended_at,
            risk=recorded.risk,
            nature=recorded.nature,
            consequences=recorded.consequences,
            measures=recorded.measures,
            partner_id=recorded.partner_id,
            categories=recorded.categories,
            by=recorded.by,
            notices=tuple(self._notice(breach_id, breach, each) for each in owed if each.owed(recorded.risk)),
            affected=len(affected),
            affected_persons=affected,
            version=version,
        )

    def breaches(self, tx: Connection, asked: BreachesQuestion) -> BreachPage:
        limit, table = min(max(asked.limit, 1), 500), breaches
        found = select(table).where(table.c.agency == self.store.name, table.c.breach_id > asked.after)
        rows = tx.execute(found.order_by(table.c.breach_id).limit(limit + 1)).all()
        items = tuple(
            BreachItem(breach_id=row.breach_id, aware_at=datetime.fromisoformat(row.aware_at)) for row in rows[:limit]
        )
        return BreachPage(items=items, next=items[-1].breach_id if len(rows) > limit else None)

    def _notice(self, breach_id: str, breach: Breach, owed: Notice) -> NoticeView:
        given, aware_at = breach.given.get(owed.to), breach.described().aware_at
        due_at = None if owed.within is None else aware_at + owed.within
        return NoticeView(
            breach_id=breach_id,
            to=owed.to,
            norm=owed.norm,
            voluntary=owed.voluntary,
            due_at=due_at,
            given_at=given.at if given else None,
            overdue=given is None and due_at is not None and self.now > due_at,
            reason_for_delay=given.reason_for_delay if given else "",
        )


def open_requests(tx: Connection, until: date) -> list[tuple[str, str]]:
    """Agency and id of all open requests whose last day is `until` or earlier."""
    table = rights_requests
    found = select(table.c.agency, table.c.request_id).where(table.c.open, table.c.due_on <= until.isoformat())
    return [(row.agency, row.request_id) for row in tx.execute(found)]


def open_erasures(tx: Connection, agency: str) -> list[str]:
    """Ids of the erasures that wait for somebody's confirmation."""
    found = select(erasures.c.erasure_id).where(erasures.c.agency == agency, erasures.c.open)
    return list(tx.execute(found.order_by(erasures.c.erasure_id)).scalars())


def _answer(request: RightsRequest, role: str) -> AnswerView | None:
    answered = request.answered
    if answered is None:
        return None
    return AnswerView(
        person_id=answered.person_id,
        outcome=answered.outcome,
        reasons=answered.reasons,
        norms=answered.norms,
        by=answered.by if role != CITIZEN else "",
        on=answered.on,
        opened=answered.opened,
        closed=answered.closed if role != CITIZEN else (),
        via_doctor=answered.via_doctor,
        until=answered.until,
        erasure_id=answered.erasure_id,
        log=answered.log,
        index=answered.index,
    )
