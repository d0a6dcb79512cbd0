"""What this service asks of others, with just the fields that it sends and reads."""

from dataclasses import dataclass, field, fields
from datetime import date, datetime

from services.exchange.domain.agency import Kind
from services.exchange.domain.disclosure import CategoryRuling, Entry, Extent, GlassBroken, Ruling
from services.exchange.obligations import Identity
from shared.domain import Erased, Json, Personal, known, value
from shared.errors import NotFound
from shared.identity import Caller
from shared.runtime import Asking


@value
class ContentQuestion:
    person_id: str
    categories: tuple[str, ...]


@value
class CaseContentQuestion:
    person_id: str
    categories: tuple[str, ...]
    case_id: str | None


@value
class CategoryContent:
    person_id: str
    category: str
    content: Personal[Json]


@value
class ContentAnswer:
    items: tuple[CategoryContent, ...]


@value
class PersonQuestion:
    person_id: str


@value
class PersonKnown:
    """What the agency knows the person by: the birth date for the age that the law asks for, and all of it to see that
    what should be pseudonymous names nobody.
    """

    person_id: str
    name: Personal[str]
    birth_date: Personal[date]
    contact: Personal[str | None]
    version: int

    @property
    def identity(self) -> Identity:
        return Identity(known(self.name, None), known(self.birth_date, None), known(self.contact, None))

    def age(self, today: date) -> int | None:
        """In full years on the legal day; None when the birth date was erased."""
        born = self.birth_date
        if isinstance(born, Erased):
            return None
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


@value
class AuthorizeDisclosure:
    """`commitments` binds the content of each category held, by `content.<category>`, to the log entry."""

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
    facts: Personal[Json] = field(default_factory=dict)
    facts_by_category: Personal[Json] = field(default_factory=dict)
    commitments: dict[str, str] = field(default_factory=dict)
    reasons: Personal[str] = ""
    decided_by: str = ""
    undertaking_given: bool = False
    unable: tuple[str, ...] = ()


@value
class Authorized:
    """The ruling as it is answered; the recipient has to erase by `erase_by`, if there is an end."""

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

    @property
    def ruling(self) -> Ruling:
        return Ruling(**{each.name: getattr(self, each.name) for each in fields(Ruling)})


@value
class LogBreakGlass:
    disclosure_id: str
    ends_at: datetime
    review_by: date | None


@value
class RetractDisclosure:
    disclosure_id: str
    reason: str


@value
class StandingQuestion:
    ids: tuple[str, ...]


@value
class Standing:
    fallen: tuple[str, ...]


@dataclass(frozen=True)
class Asks:
    """The questions of this service on behalf of `caller`."""

    calls: Asking
    caller: Caller

    def content(self, person_id: str, categories: tuple[str, ...], case_id: str | None) -> dict[str, Json]:
        """What the agency holds, by category; categories of which it holds nothing are absent."""
        of_cases = CaseContentQuestion(person_id=person_id, categories=categories, case_id=case_id)
        of_health = ContentQuestion(person_id=person_id, categories=categories)
        answers = (
            self.calls.ask("cases", "content", of_cases, ContentAnswer, caller=self.caller),
            self.calls.ask("health", "content", of_health, ContentAnswer, caller=self.caller),
        )
        held = {item.category: known(item.content, {}) for answer in answers for item in answer.items}
        return {category: content for category, content in held.items() if content}

    def person(self, person_id: str) -> PersonKnown:
        """Raises `NotFound` naming the field when the agency does not know the person."""
        try:
            question = PersonQuestion(person_id=person_id)
            return self.calls.ask("cases", "person", question, PersonKnown, caller=self.caller)
        except NotFound as error:
            fault = ("/person_id", "this agency knows no such person", "register the person first")
            raise NotFound(error.code, fault[1], fault[2], [fault]) from None

    def authorize(self, question: AuthorizeDisclosure) -> Authorized:
        """The audit service's ruling, already standing in its log. Without it nothing leaves."""
        return self.calls.ask("audit", "authorize", question, Authorized, caller=self.caller)

    def log_break_glass(self, disclosure_id: str, glass: GlassBroken) -> None:
        """An entry of its own that an emergency is used; the same one however often it is asked for."""
        question = LogBreakGlass(disclosure_id=disclosure_id, ends_at=glass.ends_at, review_by=glass.review_by)
        self.calls.ask("audit", "log_break_glass", question, Entry, caller=self.caller)

    def log_retraction(self, disclosure_id: str, reason: str) -> Entry:
        """The retraction's own entry in the log; the same one however often it is asked for."""
        question = RetractDisclosure(disclosure_id=disclosure_id, reason=reason)
        return self.calls.ask("audit", "log_retraction", question, Entry, caller=self.caller)

    def fallen(self, declarations: tuple[str, ...]) -> frozenset[str]:
        """Those of the consents and releases that no longer stand at this moment."""
        if not declarations:
            return frozenset()
        question = StandingQuestion(ids=declarations)
        answer = self.calls.ask("consent", "standing", question, Standing, caller=self.caller)
        return frozenset(answer.fallen)
