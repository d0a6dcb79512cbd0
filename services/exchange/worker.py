"""What partner exchange does by itself: fill its directory, hand over what waits, tell the log, hear withdrawals."""

from services.exchange.delivery import send_when_waiting
from services.exchange.inbound import HANDLERS
from services.exchange.outbound import outbound
from services.exchange.projections import DIRECTORY
from shared.runtime import Work

WORK = Work(projections=(DIRECTORY,), outbound=outbound, inbound=HANDLERS, loops=(send_when_waiting,))
