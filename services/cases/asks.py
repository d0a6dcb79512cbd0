"""What this service asks of others, with just the fields that it sends and reads: for the rights of persons, and to
find out whose files are not needed any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import partial

from shared.domain import Json, Personal, Receipt, value
from shared.identity import Caller
from shared.runtime import Asking, by_itself

DATA_SUBJECT = "data_subject"
ACCESS = "data_subject_access"


class Extent(StrEnum):
    PERMITTED = "permitted"


@value
class Kind:
    body: str
    domain: str


@value
class AgencyQuestion:
    agency_id: str


@value
class Agency:
    agency_id: str
    name: str
    kind: Kind
    version: int


@value
class AuthorizeAccess:
    """A disclosure to the person concerned, or to who speaks for them, ruled on and logged like any other."""

    disclosure_id: str
    person_id: str
    case_id: str | None
    sender: Kind
    partner_id: str
    recipient: Kind
    categories: tuple[str, ...]
    held: tuple[str, ...]
    purpose: str
    basis: str | None
    extent: Extent
    facts: Personal[Json]
    reasons: Personal[str]
    decided_by: str


@value
class CategoryRuling:
    category: str
    permitted: bool
    norms: tuple[str, ...]
    rules: tuple[str, ...]
    missing: tuple[tuple[str, ...], ...]
    obligations: tuple[str, ...]


@value
class Authorized:
    sent: tuple[str, ...]
    categories: tuple[CategoryRuling, ...]
    obligations: tuple[str, ...]
    rule_set: str
    day: str
    origin: str
    index: int
    leaf: str
    receipt: str
    consents: tuple[str, ...]
    explanation: str
    erase_by: date | None = None


@value
class HeldQuestion:
    person_id: str


@value
class Held:
    """One category of which records are held, and the day of the newest."""

    category: str
    count: int
    last_on: date


@value
class HeldAnswer:
    """`recorded_on` is the last day on which health recorded anything about the person."""

    items: tuple[Held, ...]
    recorded_on: date | None = None


@value
class QuietQuestion:
    since: date
    after: str


@value
class QuietPage:
    persons: tuple[str, ...]
    next: str | None


@value
class UnderWayQuestion:
    person_id: str


@value
class UnderWay:
    disclosure_ids: tuple[str, ...]


@value
class CorrectRecord:
    """`content` takes the place of what was wrong; without one `note` goes with what cannot be settled."""

    record: str
    person_id: str
    request_id: str
    content: Personal[str | None]
    note: Personal[str | None]


@value
class RaiseObjection:
    person_id: str


@value
class AffectedQuestion:
    since: datetime
    until: datetime
    partner_id: str
    categories: tuple[str, ...]


@value
class Affected:
    persons: tuple[str, ...]
    entries: int


@dataclass(frozen=True)
class Asks:
    """The questions of this service on behalf of `caller`."""

    calls: Asking
    caller: Caller

    def kind(self) -> Kind:
        """Which body the agency is."""
        question = AgencyQuestion(agency_id=self.caller.agency)
        return self.calls.ask("exchange", "agency", question, Agency, caller=self.caller).kind

    def authorize(self, question: AuthorizeAccess) -> Authorized:
        """The ruling on an access, standing in the log already."""
        return self.calls.ask("audit", "authorize", question, Authorized, caller=self.caller, timeout=15.0)

    def held_in_health(self, person_id: str) -> HeldAnswer:
        """What health holds by category, and when it last recorded anything."""
        question = HeldQuestion(person_id=person_id)
        return self.calls.ask("health", "held", question, HeldAnswer, caller=self.caller)

    def quiet_in_health(self, since: date) -> Iterator[str]:
        """Everybody about whom health recorded nothing since that day."""
        after: str | None = ""
        while after is not None:
            question = QuietQuestion(since=since, after=after)
            page = self.calls.ask("health", "quiet", question, QuietPage, caller=self.caller, timeout=15.0)
            yield from page.persons
            after = page.next

    def discloses(self, person_id: str) -> bool:
        """Whether a disclosure of the person's data is under way."""
        question = UnderWayQuestion(person_id=person_id)
        return bool(self.calls.ask("exchange", "under_way", question, UnderWay, caller=self.caller).disclosure_ids)

    def correct_in_health(self, correction: CorrectRecord) -> None:
        self.calls.ask("health", "correct_record", correction, Receipt, caller=self.caller)

    def raise_objection(self, person_id: str) -> None:
        command = RaiseObjection(person_id=person_id)
        self.calls.ask("consent", "raise_objection", command, Receipt, caller=self.caller)

    def affected(self, question: AffectedQuestion) -> Affected:
        """Whose data the log says went where in that time."""
        return self.calls.ask("audit", "affected", question, Affected, caller=self.caller, timeout=15.0)


on_behalf_of = partial(by_itself, "cases")
