"""What case management does by itself: fill its read models, tell others, listen, remind of terms that run out, and
erase files whose time is over.
"""

from datetime import timedelta
from threading import Event

from services.cases.asks import Asks, on_behalf_of
from services.cases.inbound import HANDLERS
from services.cases.keeping import Keeper, agencies
from services.cases.outbound import outbound
from services.cases.projections import ACTIVITY, FILES, RIGHTS
from services.cases.rights import remind
from services.cases.rights_views import open_requests
from shared import telemetry
from shared.errors import Unavailable
from shared.eventstore import catch_up
from shared.runtime import ServiceContext, Work, timer

REMIND_EVERY = 60.0
FURTHEST = timedelta(days=31)
"""No reminder comes earlier than this before the last day."""

ERASE_EVERY, TRY_AGAIN_AFTER = 3600.0, 5.0


def remind_owners(context: ServiceContext) -> None:
    """Every open request whose last day is near gets its reminder, once for each stage."""
    catch_up(context.store, RIGHTS)
    today = context.clock.today()
    with context.database.read() as tx:
        due = open_requests(tx, today + FURTHEST)
    for agency, request_id in due:
        remind(context.store.agency(agency), request_id, today)


def erase_what_is_over(context: ServiceContext) -> int:
    """Everybody whose files nobody has to keep any more is erased; how many orders were given now."""
    done = 0
    for agency in agencies(context):
        asks = Asks(context.calls, on_behalf_of(agency, "retention"))
        done += Keeper(context, agency, asks).erase_what_is_over()
    return done


def keep_no_longer(context: ServiceContext, stop: Event) -> None:
    """The loop: until `stop`. When a service that has to be asked is away, it asks again soon."""
    while not stop.is_set():
        pause = ERASE_EVERY
        try:
            erase_what_is_over(context)
        except Unavailable as error:
            telemetry.logger("cases").warning("the end of files waits", **telemetry.describe(error))
            pause = TRY_AGAIN_AFTER
        stop.wait(pause)


WORK = Work(
    projections=(FILES, RIGHTS, ACTIVITY.projection),
    outbound=outbound,
    inbound=HANDLERS,
    loops=(timer(REMIND_EVERY, remind_owners), keep_no_longer),
)
