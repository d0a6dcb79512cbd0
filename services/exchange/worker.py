"""What partner exchange does by itself: fill its directory, hand over what waits, tell the log, hear withdrawals,
follow up silence.
"""

from services.exchange.delivery import send_when_waiting
from services.exchange.inbound import HANDLERS
from services.exchange.ledger import LEDGER
from services.exchange.outbound import outbound
from services.exchange.projections import DIRECTORY, UNANSWERED
from services.exchange.silence import follow_up
from services.exchange.withdrawal import carry_out_when_noted
from shared.runtime import Work

WORK = Work(
    projections=(DIRECTORY, LEDGER, UNANSWERED),
    outbound=outbound,
    inbound=HANDLERS,
    loops=(send_when_waiting, carry_out_when_noted, follow_up),
)
