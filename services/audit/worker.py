"""What the audit service does by itself: keep the log going and hear what became of each disclosure."""

from services.audit.evidence import sequence
from services.audit.inbound import HANDLERS
from services.audit.outbound import outbound
from shared.runtime import Work

WORK = Work(outbound=outbound, inbound=HANDLERS, loops=(sequence,))
