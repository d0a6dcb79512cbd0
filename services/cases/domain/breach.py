"""Breach (Datenpanne): personal data were lost, changed or seen by somebody who may not. Art. 33, 34 DSGVO.

Whatever becomes of it, it is written down (Art. 33 Abs. 5). The clock begins when the agency becomes aware, also when
that was learnt on a Friday night: hours are hours. Who has to be told depends on the risk and on the law of that day.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from shared.domain import Command, Erased, Event, Sealed, command, event, known
from shared.errors import Invalid, NotFound, Refused

Told = Annotated[str | Erased, Sealed("breach_id")]
"""Text about a breach, sealed with a key of its own."""


class Risk(StrEnum):
    UNLIKELY = "unlikely"
    LIKELY = "likely"
    HIGH = "high"


@dataclass(frozen=True)
class Notice:
    """Somebody to be told, by which norm, how soon after becoming aware; at once where there is no number."""

    to: str
    norm: str
    within: timedelta | None
    when: str = ""
    unless: str = ""
    voluntary: bool = False

    def owed(self, risk: Risk) -> bool:
        return self.unless != f"risk_{risk}" and self.when in ("", f"risk_{risk}")


@command
class RecordBreach(Command):
    """`began_at` to `ended_at` is when data lay open, towards `partner_id` or anybody, of `categories` or all.

    `nature`, `consequences` and `measures` are written without naming anybody (Art. 33 Abs. 3 DSGVO).
    """

    breach_id: str
    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: Told
    consequences: Told
    measures: Told
    partner_id: str = ""
    categories: tuple[str, ...] = ()


@command
class RecordNotice(Command):
    """Somebody was told. After the term the notice says why it is late (Art. 33 Abs. 1 Satz 2 DSGVO)."""

    breach_id: str
    to: str
    at: datetime
    reason_for_delay: Told = ""


@event(version=1)
class BreachRecorded(Event):
    breach_id: str
    aware_at: datetime
    began_at: datetime
    ended_at: datetime
    risk: Risk
    nature: Told
    consequences: Told
    measures: Told
    partner_id: str
    categories: tuple[str, ...]
    by: str


@event(version=1)
class BreachNoticeGiven(Event):
    breach_id: str
    to: str
    norm: str
    at: datetime
    reason_for_delay: Told
    by: str


BreachEvent = BreachRecorded | BreachNoticeGiven


@dataclass(frozen=True)
class Breach:
    recorded: BreachRecorded | None = None
    given: dict[str, BreachNoticeGiven] = field(default_factory=dict)

    def record(self, wanted: RecordBreach, by: str, now: datetime) -> list[BreachEvent]:
        if self.recorded:
            raise Refused("breach.already_recorded", "this id is taken", "choose a new breach id")
        faults = [
            (wanted.aware_at > now, ("/aware_at", "lies in the future", "say when the agency became aware")),
            (wanted.began_at > wanted.ended_at, ("/ended_at", "before the beginning", "give both in their order")),
            (not known(wanted.nature, "").strip(), ("/nature", "nothing is said", "say what happened, naming nobody")),
        ]
        found = [fault for wrong, fault in faults if wrong]
        if found:
            raise Invalid("breach.invalid", found[0][1], found[0][2], found)
        return [
            BreachRecorded(
                breach_id=wanted.breach_id,
                aware_at=wanted.aware_at,
                began_at=wanted.began_at,
                ended_at=wanted.ended_at,
                risk=wanted.risk,
                nature=wanted.nature,
                consequences=wanted.consequences,
                measures=wanted.measures,
                partner_id=wanted.partner_id,
                categories=wanted.categories,
                by=by,
            )
        ]

    def give_notice(self, wanted: RecordNotice, notices: tuple[Notice, ...], by: str) -> list[BreachEvent]:
        """Once to each. Late notices need a reason."""
        recorded = self.described()
        if wanted.to in self.given:
            return []
        found = next((each for each in notices if each.to == wanted.to), None)
        if found is None:
            fault = ("/to", "nobody who is told of breaches", f"one of {', '.join(each.to for each in notices)}")
            raise Invalid("breach.notice_invalid", fault[1], fault[2], [fault])
        late = found.within is not None and wanted.at > recorded.aware_at + found.within
        if late and not known(wanted.reason_for_delay, "").strip():
            fault = ("/reason_for_delay", "the term is over and no reason is given", "say why it is late")
            raise Invalid("breach.delay_unexplained", fault[1], fault[2], [fault])
        return [
            BreachNoticeGiven(
                breach_id=wanted.breach_id,
                to=wanted.to,
                norm=found.norm,
                at=wanted.at,
                reason_for_delay=wanted.reason_for_delay,
                by=by,
            )
        ]

    def described(self) -> BreachRecorded:
        """Raises `NotFound` when there is no such breach."""
        if not self.recorded:
            raise NotFound("breach.unknown")
        return self.recorded

    def apply(self, event: BreachEvent) -> "Breach":
        match event:
            case BreachRecorded():
                return Breach(recorded=event)
            case BreachNoticeGiven():
                return replace(self, given={**self.given, event.to: event})
