"""The audit log (Protokoll), § 78a SGB X, Art. 5 Abs. 2 and Art. 30 DSGVO: what it is made of and what it
never does.

An agency has one log a year. The first entry of each names the last checkpoint of the one before, so that the
years hang together; once a year is open, the older log takes no more entries. A log is named by its origin,
`<prefix>/<agency>/<year>`; after a break, which only an operator declares, `<year>` becomes `<year>-2` and so
on.

The log signs nothing that contradicts what it signed before. So the newest signed head is also kept outside
the database, and a database that has less, or other things, than that head does not sign: it is an old copy.
"""

import re
from dataclasses import dataclass
from datetime import date

from shared.errors import Invalid, Refused

_AGENCY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ORIGIN = re.compile(r"(?P<prefix>.+)/(?P<agency>[^/]+)/(?P<year>\d{4})(-(?P<part>[1-9]\d*))?")

YEAR_OPENED = "year_opened"
ORIGIN_RESTARTED = "origin_restarted"
INTENT = "intent"
OUTCOME = "outcome"
BREAK_GLASS = "break_glass"
REVIEWED = "reviewed"
CONFIRMED = "confirmed"
FINISHING = (OUTCOME, "retraction")
UNFINISHED = (CONFIRMED, REVIEWED, "notice_acknowledged")
"""Outcomes after which it is still open whether anything left."""


@dataclass(frozen=True, order=True)
class LogName:
    """Which log: later ones are greater."""

    agency: str
    year: int
    part: int = 1

    def __post_init__(self) -> None:
        if not _AGENCY.fullmatch(self.agency):
            raise Invalid("log.agency", "an agency is named by letters, digits, dots and dashes")

    def origin(self, prefix: str) -> str:
        part = f"-{self.part}" if self.part > 1 else ""
        return f"{prefix}/{self.agency}/{self.year}{part}"

    @staticmethod
    def parse(origin: str) -> "LogName":
        match = _ORIGIN.fullmatch(origin)
        if not match:
            raise Invalid("log.origin", "an origin ends with agency and year")
        return LogName(match["agency"], int(match["year"]), int(match["part"] or 1))

    def for_day(self, today: date) -> "LogName":
        """The log that takes the entries of that day. Time never runs back into a closed year."""
        return self if today.year <= self.year else LogName(self.agency, today.year)

    def after_break(self, today: date) -> "LogName":
        return LogName(self.agency, max(self.year, today.year), self.part + 1 if today.year <= self.year else 1)


def may_be_signed(size: int, kept_size: int, *, same_root: bool) -> None:
    """Raises `Refused` unless a tree of `size` goes on from the kept head."""
    if size < kept_size:
        raise Refused(
            "log.database_behind",
            f"the database ends at {size}, a head was signed at {kept_size}",
            "restore a newer copy, or declare the break with a new origin",
        )
    if not same_root:
        raise Refused(
            "log.database_differs",
            f"the first {kept_size} entries are not those that were signed",
            "restore the copy that was signed, or declare the break with a new origin",
        )
