"""Reading (Protokolleinsicht): somebody looked at what the log says, and why. § 67c Abs. 5 SGB X, § 78a SGB X.

The log is kept to be checked, and for nothing else. So each look is itself an entry, and whoever looked, and the
reason, can be read later by those who check. Like a ruling, a reading is fixed together with its entry before the entry
is written.
"""

from dataclasses import dataclass

from shared.domain import Event, Json, Personal, event


@event(version=1)
class LogRead(Event):
    """`person_id` is the person whose entries were read; where the reading was about nobody in particular, or about a
    person who was erased, the reader. `way` is how: search, export, receipt and the like. `entry` is the log entry to
    be, and `openings` the keys of its commitments.
    """

    person_id: str
    by: str
    role: str
    way: str
    entry: str
    reason: Personal[str]
    openings: Personal[Json]


@dataclass(frozen=True)
class Reading:
    read: LogRead | None = None

    def note(self, fresh: LogRead) -> list[LogRead]:
        """The first one stands; the same reading again changes nothing."""
        return [] if self.read else [fresh]

    def apply(self, event: LogRead) -> "Reading":
        return Reading(read=event)
