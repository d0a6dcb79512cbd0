"""Who looked at a person's file: one row per person, day, looker and kind of file. For the person's ledger (Art. 15).

The same table in each service that keeps files. Not events: a look changes nothing, and the rows go with the person.
They say that somebody looked and never what they saw.
"""

from datetime import datetime
from typing import Protocol

from sqlalchemy import Boolean, Column, Connection, Integer, MetaData, String, Table, delete, select, text

from shared.clock import Clock, legal_day, timestamp
from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import value
from shared.identity import Caller

GATEWAY, CITIZEN = "gateway", "citizen"
LONGEST_PAGE = 500

metadata = MetaData()

file_view = Table(
    "file_view",
    metadata,
    Column("agency", String, primary_key=True),
    Column("person_id", String, primary_key=True),
    Column("day", String, primary_key=True),
    Column("looked_by", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("last_at", String, nullable=False),
    Column("times", Integer, nullable=False),
    Column("automatic", Boolean, nullable=False),
)


class Context(Protocol):
    """What is needed of a service here."""

    @property
    def database(self) -> Database: ...
    @property
    def keys(self) -> PersonKeys: ...
    @property
    def clock(self) -> Clock: ...


@value
class LooksQuestion:
    """What stands before the mark `before` (empty: everything), newest first. `limit` 1 to 500."""

    person_id: str
    before: str = ""
    limit: int = 50


@value
class Look:
    """Somebody of the agency looked at `what`, `times` on that day, the last time `at`.

    `automatic`: a program asked by itself, and no person is named.
    """

    mark: str
    at: str
    what: str
    times: int
    looked_by: str
    automatic: bool = False


@value
class LookPage:
    items: tuple[Look, ...]


def note_look(context: Context, caller: Caller, person_id: str, what: str, *, automatic: bool) -> None:
    """Note that `caller` looked at what a token such as `person`, `case` or `assessment` names.

    Staff and programs that look are noted; services that ask are not looks, the person's own are none either, and of
    somebody erased there is nothing to see.
    """
    by_people = caller.service == GATEWAY and caller.role != CITIZEN
    if by_people and context.keys.is_living(caller.agency, person_id):
        with context.database.write() as tx:
            _count(tx, caller, person_id, what, context.clock.now(), automatic=automatic)


def forget(tx: Connection, agency: str, person_id: str) -> None:
    """Nothing says any more that somebody looked at files of this person."""
    tx.execute(delete(file_view).where(file_view.c.agency == agency, file_view.c.person_id == person_id))


def looks(tx: Connection, agency: str, asked: LooksQuestion) -> LookPage:
    """The newest looks, newest first, each with the mark that sorts it among entries of all services."""
    mark = (file_view.c.last_at + " look:" + file_view.c.what + ":" + file_view.c.looked_by).label("mark")
    found = select(file_view, mark).where(file_view.c.agency == agency, file_view.c.person_id == asked.person_id)
    if asked.before:
        found = found.where(mark < asked.before)
    rows = tx.execute(found.order_by(mark.desc()).limit(min(max(asked.limit, 1), LONGEST_PAGE))).mappings()
    return LookPage(
        items=tuple(
            Look(
                mark=row["mark"],
                at=row["last_at"],
                what=row["what"],
                times=row["times"],
                looked_by=row["looked_by"],
                automatic=row["automatic"],
            )
            for row in rows
        )
    )


def _count(tx: Connection, caller: Caller, person_id: str, what: str, now: datetime, *, automatic: bool) -> None:
    statement = text(
        "insert into file_view (agency, person_id, day, looked_by, what, last_at, times, automatic)"
        " values (:agency, :person, :day, :by, :what, :at, 1, :automatic)"
        " on conflict (agency, person_id, day, looked_by, what)"
        " do update set times = file_view.times + 1, last_at = excluded.last_at, automatic = excluded.automatic"
    )
    values = {
        "agency": caller.agency,
        "person": person_id,
        "day": legal_day(now).isoformat(),
        "by": caller.actor,
        "what": what,
        "at": timestamp(now),
        "automatic": automatic,
    }
    tx.execute(statement, values)
