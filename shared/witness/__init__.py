"""Witnesses of transparency logs: somebody else who remembers the newest head and cosigns only what continues it.

Nobody can recompute from a log that its history was rewritten and signed again, that its end was cut off, or that
others were shown another tree of the same size; whoever holds an older head can. The formats and the statuses are
those of c2sp.org/tlog-witness, tlog-cosignature and tlog-policy, so that any witness serves any log.

Needs nothing of the platform: no database server, no broker, no settings.
"""

from shared.witness.policy import Group, KnownWitness, Policy, Witnessed
from shared.witness.store import Contradiction, Seen, WitnessStore
from shared.witness.witness import OtherSize, Witness

__all__ = [
    "Contradiction",
    "Group",
    "KnownWitness",
    "OtherSize",
    "Policy",
    "Seen",
    "Witness",
    "WitnessStore",
    "Witnessed",
]
