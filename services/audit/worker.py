"""What the audit service does by itself: keep the log going and searchable, ask its witnesses, hear of outcomes."""

from services.audit.evidence import sequence
from services.audit.inbound import HANDLERS, log_own_hashes
from services.audit.outbound import outbound
from services.audit.projections import CONSENT_RULINGS
from services.audit.search import keep_terms
from services.audit.watching import watch
from services.audit.witnessing import ask_witnesses
from shared.runtime import Work

WORK = Work(
    projections=(CONSENT_RULINGS,),
    outbound=outbound,
    inbound=HANDLERS,
    loops=(sequence, ask_witnesses, keep_terms, watch),
    hashes=log_own_hashes,
)
