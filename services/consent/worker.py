"""What data protection does by itself: fill its register and tell others what the person decided."""

from services.consent.inbound import HANDLERS
from services.consent.outbound import outbound
from services.consent.projections import REGISTER
from shared.runtime import Work

WORK = Work(projections=(REGISTER,), outbound=outbound, inbound=HANDLERS)
