"""The sweeper: intents without an outcome are finished by asking partner exchange what became of them, or reported.

An intent says that something may have left. Its outcome comes as a message, and a message can be lost with the process
that should have told it. What the exchange knows is logged under the id of that message, so that one which comes late
is the same entry. What the exchange has begun and not ended, or does not know, becomes a finding with its index.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.audit.asks import Asks, Whereabouts
from services.audit.domain.log import UNFINISHED
from services.audit.findings import SWEEP, Findings
from services.audit.handlers import Office
from services.audit.sequencer import Entry, Finding
from shared.audit import Reference
from shared.database import Database

LATE = timedelta(minutes=15)
AT_ONCE = 200
OPEN, UNKNOWN = "log.intent_without_outcome", "log.intent_unknown"
_RULING = re.compile(r"disclosure-(?P<id>.+):ruling")


@dataclass(frozen=True)
class Swept:
    """How many old intents were `open`; `finished` now; `waiting` for a partner or a person; `reported`."""

    open: int = 0
    finished: int = 0
    waiting: int = 0
    reported: int = 0


@dataclass(frozen=True)
class Sweeper:
    """Sweeps one agency's log."""

    office: Office
    asks: Asks
    database: Database

    def sweep(self) -> Swept:
        """Raises `Unavailable` when the exchange is away or the log cannot sign; what was finished stays finished."""
        now = self.office.clock.now()
        intents = self.office.log.open_intents(self.office.agency, now - LATE)
        finished, waiting, reported = 0, 0, list[Finding]()
        for start in range(0, len(intents), AT_ONCE):
            part = intents[start : start + AT_ONCE]
            for intent, found in self._found(part):
                if found and any(list(self._finish(found))):
                    finished += 1
                elif found and found.waits:
                    waiting += 1
                else:
                    known = found is not None and found.state != "unknown"
                    reported.append(Finding(intent.origin, OPEN if known else UNKNOWN, intent.idx))
        with self.database.write() as tx:
            Findings(self.office.agency).replace(tx, SWEEP, reported, now, count=len(intents))
        return Swept(len(intents), finished, waiting, len(reported))

    def _found(self, intents: Sequence[Entry]) -> Iterator[tuple[Entry, Whereabouts | None]]:
        """Each intent with what the exchange knows of its disclosure."""
        ids = [disclosure_of(self.office, Reference(each.origin, each.idx)) for each in intents]
        asked = tuple(dict.fromkeys(each for each in ids if each))
        answers = {each.disclosure_id: each for each in self.asks.whereabouts(asked)} if asked else {}
        for intent, disclosure_id in zip(intents, ids, strict=True):
            yield intent, answers.get(disclosure_id or "")

    def _finish(self, found: Whereabouts) -> Iterator[bool]:
        """Log what the exchange knows; whether any of it ends the matter."""
        for each in found.outcomes:
            self.office.record_outcome(found.disclosure_id, "outcome", each.result, each.message_id, reason=each.reason)
            yield each.result not in UNFINISHED


def disclosure_of(office: Office, intent: Reference | None) -> str | None:
    """Whose ruling an intent is; None for one that was not logged by a ruling."""
    key = office.log.key_of(office.agency, intent.log, intent.index) if intent else None
    match = _RULING.fullmatch(key or "")
    return match["id"] if match else None
