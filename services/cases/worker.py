"""What case management does by itself: fill its read models, tell others, listen."""

from services.cases.inbound import HANDLERS
from services.cases.outbound import outbound
from services.cases.projections import FILES
from shared.runtime import Work

WORK = Work(projections=(FILES,), outbound=outbound, inbound=HANDLERS)
