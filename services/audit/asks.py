"""What this service asks of others: what the register of the persons' will knows."""

from dataclasses import dataclass
from datetime import date

from shared.domain import Personal, value
from shared.identity import Caller
from shared.runtime import Asking


@value
class EvidenceQuestion:
    person_id: str
    partner_id: str
    purpose: str
    categories: tuple[str, ...]


@value
class ConsentEvidence:
    consent_id: str
    status: str
    given_on: date
    valid_until: date | None
    withdrawn_on: date | None
    form: str
    given_by: tuple[str, ...]
    categories: tuple[str, ...]
    purpose: str
    informed: bool
    voluntary: bool


@value
class ReleaseEvidence:
    release_id: str
    person_id: str
    professional: Personal[str]
    given_on: date
    valid_until: date | None
    withdrawn_on: date | None
    form: str
    categories: tuple[str, ...]


@value
class Evidence:
    consents: tuple[ConsentEvidence, ...]
    releases: tuple[ReleaseEvidence, ...]
    objection_notice_given: bool
    objected: bool
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Asks:
    """The questions of this service on behalf of `caller`."""

    calls: Asking
    caller: Caller

    def evidence(self, question: EvidenceQuestion) -> Evidence:
        return self.calls.ask("consent", "evidence", question, Evidence, caller=self.caller)
