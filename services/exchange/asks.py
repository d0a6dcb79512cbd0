"""What this service asks of others, with just the fields that it sends and reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime

from services.exchange.domain.agency import Kind
from services.exchange.domain.disclosure import CategoryRuling, Entry, Extent, GlassBroken, Ruling
from services.exchange.obligations import Identity
from shared.domain import Erased, Json, Personal, known, value
from shared.errors import NotFound
from shared.identity import Caller
from shared.runtime import Asking

USED_UP = "consent_used_up"


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
    restricted: bool = False

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
    restricted: bool = False
    days: dict[str, tuple[date, ...]] | None = field(default_factory=dict)


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
class RuledAgain:
    permitted: bool


@value
class LogBreakGlass:
    disclosure_id: str
    ends_at: datetime
    review_by: date | None


@value
class RetractDisclosures:
    disclosure_ids: tuple[str, ...]
    reason: str


@value
class Entries:
    receipts: tuple[Entry, ...]


@value
class NotifyRecipient:
    disclosure_id: str
    notice_id: str
    change: str


@value
class StandingQuestion:
    ids: tuple[str, ...]


@value
class Fallen:
    """`code`: `consent_` or `release_` and how it stands, such as `consent_paused`."""

    id: str
    code: str
    use_id: str


@value
class Standing:
    """`limited` are those whose uses are counted at delivery."""

    fallen: tuple[str, ...]
    codes: tuple[Fallen, ...] = ()
    limited: tuple[str, ...] = ()

    def code_of(self, ids: Sequence[str]) -> str | None:
        """Why something that rests on these may not leave; a used-up count is decided by `use`."""
        found = (each.code for each in self.codes if each.id in ids and each.code != USED_UP)
        return next(found, None)


@value
class Use:
    use_id: str
    ids: tuple[str, ...]


@value
class UseConsents:
    uses: tuple[Use, ...]


@value
class Used:
    fallen: tuple[Fallen, ...] = ()


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

    def still_permitted(self, question: AuthorizeDisclosure) -> bool:
        """Whether what was ruled on before would be let through by the law and the evidence of this moment."""
        return self.calls.ask("audit", "rule_again", question, RuledAgain, caller=self.caller).permitted

    def log_break_glass(self, disclosure_id: str, glass: GlassBroken) -> None:
        """An entry of its own that an emergency is used; the same one however often it is asked for."""
        question = LogBreakGlass(disclosure_id=disclosure_id, ends_at=glass.ends_at, review_by=glass.review_by)
        self.calls.ask("audit", "log_break_glass", question, Entry, caller=self.caller)

    def log_retractions(self, disclosure_ids: Sequence[str], reason: str) -> dict[str, Entry]:
        """Each retraction's own entry in the log; the same, with its first reason, however often it is asked for."""
        question = RetractDisclosures(disclosure_ids=tuple(disclosure_ids), reason=reason)
        answer = self.calls.ask("audit", "log_retractions", question, Entries, caller=self.caller)
        return dict(zip(question.disclosure_ids, answer.receipts, strict=True))

    def log_notice(self, disclosure_id: str, notice_id: str, change: str) -> Entry:
        """The notice's own entry in the log; the same one however often it is asked for."""
        question = NotifyRecipient(disclosure_id=disclosure_id, notice_id=notice_id, change=change)
        return self.calls.ask("audit", "log_notice", question, Entry, caller=self.caller)

    def standing(self, declarations: tuple[str, ...]) -> Standing:
        """Which of the consents and releases do not stand at this moment, and why; which are for a number of uses."""
        if not declarations:
            return Standing(fallen=())
        question = StandingQuestion(ids=declarations)
        return self.calls.ask("consent", "standing", question, Standing, caller=self.caller)

    def use(self, disclosure_id: str, declarations: tuple[str, ...]) -> str | None:
        """Count this delivery under what it rests on, once; the reason when it does not stand at this moment."""
        question = UseConsents(uses=(Use(use_id=disclosure_id, ids=declarations),))
        answer = self.calls.ask("consent", "use_consents", question, Used, caller=self.caller)
        return answer.fallen[0].code if answer.fallen else None
