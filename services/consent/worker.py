"""What data protection does by itself: fill its register, tell others what the person decided, watch the calendar."""

from threading import Event

from services.consent.handlers import pass_days
from services.consent.inbound import HANDLERS
from services.consent.outbound import outbound
from services.consent.projections import REGISTER
from shared.eventstore import catch_up
from shared.runtime import ServiceContext, Work

LOOK_SECONDS = 30.0


def watch_the_calendar(context: ServiceContext, stop: Event) -> None:
    """Write down, under its own date, that an offer lapsed, a consent expired, or recipients have to have erased.

    Nobody's answer waits for it: how a consent stands follows from its dates.
    """
    while not stop.is_set():
        catch_up(context.store, REGISTER)
        pass_days(context.store, context.database, context.clock.today())
        stop.wait(LOOK_SECONDS)


WORK = Work(projections=(REGISTER,), outbound=outbound, inbound=HANDLERS, loops=(watch_the_calendar,))
