"""What health does by itself: fill its read models and tell case management of a concern."""

from services.health.inbound import HANDLERS
from services.health.outbound import outbound
from services.health.projections import FILES, NEWEST
from shared.runtime import Work

WORK = Work(projections=(FILES, NEWEST.projection), outbound=outbound, inbound=HANDLERS)
