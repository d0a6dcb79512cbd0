"""What case management does by itself: fill its read models, tell others, listen, and remind of terms that run out."""

from datetime import timedelta

from services.cases.inbound import HANDLERS
from services.cases.outbound import outbound
from services.cases.projections import FILES, RIGHTS
from services.cases.rights import remind
from services.cases.rights_views import open_requests
from shared.eventstore import catch_up
from shared.runtime import ServiceContext, Work, timer

REMIND_EVERY = 60.0
FURTHEST = timedelta(days=31)
"""No reminder comes earlier than this before the last day."""


def remind_owners(context: ServiceContext) -> None:
    """Every open request whose last day is near gets its reminder, once for each stage."""
    catch_up(context.store, RIGHTS)
    today = context.clock.today()
    with context.database.read() as tx:
        due = open_requests(tx, today + FURTHEST)
    for agency, request_id in due:
        remind(context.store.agency(agency), request_id, today)


WORK = Work(
    projections=(FILES, RIGHTS),
    outbound=outbound,
    inbound=HANDLERS,
    loops=(timer(REMIND_EVERY, remind_owners),),
)
