"""What this service asks of others: what the register of the persons' will knows."""

from dataclasses import dataclass, field
from datetime import date
from functools import partial

from shared.domain import Json, Personal, value
from shared.identity import Caller
from shared.runtime import Asking, by_itself


@value
class EvidenceQuestion:
    person_id: str
    partner_id: str
    purpose: str
    categories: tuple[str, ...]
    days: dict[str, tuple[date, ...]] | None = field(default_factory=dict)


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
    erase_at: date | None = None


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
    given_by: tuple[str, ...] = ("data_subject",)


@value
class Evidence:
    consents: tuple[ConsentEvidence, ...]
    releases: tuple[ReleaseEvidence, ...]
    objection_notice_given: bool
    objected: bool
    refused: tuple[str, ...]
    restricted: bool = False


@value
class WhereaboutsQuestion:
    disclosure_ids: tuple[str, ...]


@value
class OutcomeTold:
    message_id: str
    result: str
    reason: str


@value
class Whereabouts:
    """`waits`: a partner or a person has the next word."""

    disclosure_id: str
    state: str
    waits: bool
    outcomes: tuple[OutcomeTold, ...]


@value
class WhereaboutsAnswer:
    items: tuple[Whereabouts, ...]


@value
class AcknowledgementsQuestion:
    disclosure_ids: tuple[str, ...] = ()
    after: str = ""
    limit: int = 200


@value
class AcknowledgementTold:
    """A partner's signed word about the entry at `origin` and `index`."""

    disclosure_id: str
    partner_id: str
    origin: str
    index: int
    result: str
    signed: str
    signing_key: Json


@value
class AcknowledgementsPage:
    items: tuple[AcknowledgementTold, ...]
    next: str | None


@dataclass(frozen=True)
class Asks:
    """The questions of this service on behalf of `caller`."""

    calls: Asking
    caller: Caller

    def evidence(self, question: EvidenceQuestion) -> Evidence:
        return self.calls.ask("consent", "evidence", question, Evidence, caller=self.caller)

    def whereabouts(self, disclosure_ids: tuple[str, ...]) -> tuple[Whereabouts, ...]:
        """What the exchange knows of these disclosures."""
        question = WhereaboutsQuestion(disclosure_ids=disclosure_ids)
        return self.calls.ask("exchange", "whereabouts", question, WhereaboutsAnswer, caller=self.caller).items

    def acknowledgements(self, after: str) -> AcknowledgementsPage:
        """What partners signed, about the disclosures after the id `after`."""
        question = AcknowledgementsQuestion(after=after)
        return self.calls.ask("exchange", "acknowledgements", question, AcknowledgementsPage, caller=self.caller)

    def acknowledged(self, disclosure_ids: tuple[str, ...]) -> tuple[AcknowledgementTold, ...]:
        """What partners signed about these disclosures."""
        question = AcknowledgementsQuestion(disclosure_ids=disclosure_ids)
        answer = self.calls.ask("exchange", "acknowledgements", question, AcknowledgementsPage, caller=self.caller)
        return answer.items


on_behalf_of = partial(by_itself, "audit")
