"""The end of a person's files: known beforehand, and carried out when nothing is left to keep and nothing is going on.

Needed for as long as `contracts/law/retention.yaml` says (part `files`); afterwards the data are erased by the same
operation as on request (Art. 17 Abs. 1 Buchst. a DSGVO). What health holds and which disclosures are under way is asked
of the others; when they are away, nothing is erased.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Connection, Select, Table, select

from services.cases.asks import Asks, Held
from services.cases.copies import Copies
from services.cases.domain.case import Case
from services.cases.domain.deadline import months_later
from services.cases.domain.erasure import Erasure
from services.cases.domain.person import Person
from services.cases.erasing import NO_LONGER_NEEDED, Eraser, Order
from services.cases.projections import ACTIVITY, FILES, RIGHTS, erasures, rights_requests
from services.cases.queries import Files
from services.cases.retention import end, rest
from shared import telemetry
from shared.domain import value
from shared.errors import HandschlagError, Unavailable
from shared.eventstore import AgencyStore, catch_up
from shared.runtime import ServiceContext

REASON, BY = "no_longer_needed", "retention"
ERASURES = UUID("0f6a3d0e-61d5-5a62-9c2b-6a3f6a8f1c07")
SHORTER_MONTHS = timedelta(days=3)
"""By so much a term in months may end earlier than the number of its first day says (§ 188 Abs. 3 BGB)."""


class Waits(StrEnum):
    """What stands against an erasure although all periods have ended."""

    OPEN_CASE = "open_case"
    SAFETY_CHECK = "safety_check"
    RIGHTS_REQUEST = "rights_request"
    ERASURE = "erasure"
    DISCLOSURE = "disclosure"
    RESTRICTION = "restriction"
    PERIOD_UNVERIFIED = "period_unverified"


@value
class Outlook:
    """Whose files end `on` which day, and what they wait for. Without `waits_for` they go on that day by themselves."""

    person_id: str
    on: date
    waits_for: tuple[Waits, ...]


@dataclass(frozen=True)
class Keeper:
    """Looks after the ends of one agency's files."""

    context: ServiceContext
    agency: str
    asks: Asks

    def outlook(self, until: date) -> Iterator[Outlook]:
        """Everybody whose periods end by the day `until`, as things stand now, in the order of their ids."""
        for person_id in self._candidates(until):
            found, _ = self._look_at(person_id)
            if found and found.on <= until:
                yield found

    def erase_what_is_over(self) -> int:
        """Order the erasure of everybody whose day has come and who waits for nothing; how many.

        Each is looked at again right before. Interrupted or repeated it goes on with who is left. Raises `Unavailable`
        when somebody who has to be asked is away; what was ordered before stays ordered.
        """
        done = 0
        for person_id in self._candidates(self.context.clock.today()):
            try:
                done += self._erase(person_id)
            except Unavailable:
                raise
            except HandschlagError as error:
                telemetry.logger("cases").warning("an erasure waits", **telemetry.describe(error))
        return done

    def _erase(self, person_id: str) -> bool:
        found, held = self._look_at(person_id)
        now, erasure_id = self.context.clock.now(), str(uuid5(ERASURES, f"{self.agency}\n{person_id}"))
        is_over = found and not found.waits_for and found.on <= self.context.clock.today()
        if not is_over or self._store.load(Erasure, erasure_id)[0].ordered:
            return False
        order = Order(erasure_id, person_id, REASON, BY, held, norms=NO_LONGER_NEEDED)
        eraser = Eraser(self._store, self.context.database, self.context.keys)
        eraser.order(order, known=True, command_id=f"{erasure_id}:order", now=now)
        return True

    def _candidates(self, until: date) -> list[str]:
        """Nobody's files end earlier than the shortest period after the last day on which anything happened."""
        since = months_later(until, -rest().months) + SHORTER_MONTHS
        catch_up(self.context.store, ACTIVITY.projection)
        table = ACTIVITY.table
        with self.context.database.read() as tx:
            own = tx.scalars(self._mine(table, table.c.last_on < since.isoformat())).all()
        return sorted({*own, *self.asks.quiet_in_health(since)})

    def _look_at(self, person_id: str) -> tuple[Outlook | None, list[Held]]:
        """The others are asked first, so that what this service knows is as new as it can be. Nobody where nothing is
        held about such a person.
        """
        in_health, discloses = self.asks.held_in_health(person_id), self.asks.discloses(person_id)
        for projection in (FILES, RIGHTS, ACTIVITY.projection):
            catch_up(self.context.store, projection)
        with self.context.database.read() as tx:
            own = Copies(self._store).held(tx, person_id)
            cases = [self._store.load(Case, found)[0] for found in Files(self._store).cases_of_person(tx, person_id)]
            waits = [*_of_cases(cases), *self._of_rights(tx, person_id)]
            last_on = tx.scalar(self._mine(ACTIVITY.table, ACTIVITY.table.c.person_id == person_id, "last_on"))
        held = [Held(category=each.category, count=each.count, last_on=each.last_on) for each in own]
        held += in_health.items
        if not held:
            return None, held
        happened = [day for day in (last_on and date.fromisoformat(last_on), in_health.recorded_on) if day]
        restricted = self._store.load(Person, person_id)[0].restricted
        closed = [case.closed_on for case in cases if case.closed_on]
        files = end(_newest(held), max(closed, default=None), max(happened, default=date.min))
        waits += [Waits.DISCLOSURE] if discloses else []
        waits += [Waits.RESTRICTION] if restricted and restricted.until is None else []
        waits += [] if files.verified else [Waits.PERIOD_UNVERIFIED]
        on = max(files.on, restricted.until) if restricted and restricted.until else files.on
        return Outlook(person_id=person_id, on=on, waits_for=tuple(waits)), held

    def _of_rights(self, tx: Connection, person_id: str) -> Iterator[Waits]:
        for table, wait in ((rights_requests, Waits.RIGHTS_REQUEST), (erasures, Waits.ERASURE)):
            if tx.execute(self._mine(table, (table.c.person_id == person_id) & table.c.open).limit(1)).first():
                yield wait

    def _mine(self, table: Table, which: ColumnElement[bool], column: str = "person_id") -> Select[tuple[Any]]:
        return select(table.c[column]).where(table.c.agency == self.agency, which)

    @property
    def _store(self) -> AgencyStore:
        return self.context.store.agency(self.agency)


def agencies(context: ServiceContext) -> list[str]:
    """The agencies about whose persons case management knows anything."""
    catch_up(context.store, ACTIVITY.projection)
    agency = ACTIVITY.table.c.agency
    with context.database.read() as tx:
        return list(tx.scalars(select(agency).distinct().order_by(agency)))


def _newest(held: list[Held]) -> dict[str, date]:
    """The day of the newest record of each category, wherever it is held."""
    return {each.category: each.last_on for each in sorted(held, key=lambda each: each.last_on)}


def _of_cases(cases: list[Case]) -> Iterator[Waits]:
    if any(case.opened_on and not case.closed_on for case in cases):
        yield Waits.OPEN_CASE
    if any(case.safety_checks_due for case in cases):
        yield Waits.SAFETY_CHECK
