"""Lives of a consent, one a line (`situations.yaml`): what a request is answered, and what happens at delivery."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cases.domain.person import RegisterPerson
from services.consent.domain.consent import (
    AcceptOffer,
    DeclineOffer,
    GiveConsent,
    OfferConsent,
    PauseConsent,
    RefuseConsent,
    ResumeConsent,
    WithdrawConsent,
)
from services.consent.domain.objection import (
    DecideObjection,
    NoticeForm,
    ObjectToProcessing,
    RaiseObjection,
    RecordObjectionNotice,
    TakeBackObjection,
    TakeBackProcessingObjection,
)
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseForm, WithdrawRelease
from services.consent.domain.representation import (
    Act,
    EndRepresentation,
    RegisterRepresentation,
    RepresentationKind,
)
from services.consent.domain.terms import Answer, Form, Giver, Offer
from services.consent.domain.use_limit import Period, UseLimit
from services.consent.handlers import pass_days
from services.consent.projections import REGISTER
from services.consent.queries import Use, UseConsents, Used
from services.exchange.domain.disclosure import Disclosure, Extent, State
from shared.domain import Receipt
from shared.errors import HandschlagError
from shared.eventstore import catch_up
from shared.identity import Caller
from shared.law import health_categories
from tests.support.clock import NOON, FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import INFORMED, NAME, STATED, PartnerDesk, Workplace, fresh, request_of, terms_of

ROWS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "situations.yaml").read_text("utf-8"))
KINDS = {"provider": ("measure_provider", "provider"), "insurer": ("pension_insurer", "sgb_vi")}
Options = dict[str, str]


@pytest.fixture(scope="module")
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, clock: FixedClock) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("situations"), clock=clock) as running:
        yield running


@dataclass
class Story:
    """Plays the steps of one row. Day 0 is a Monday, 2 March 2026; every row is an agency of its own."""

    at: Workplace
    clock: FixedClock
    partners: dict[str, PartnerDesk] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    person_id: str = ""
    facts: dict[str, Any] = field(default_factory=lambda: dict(STATED))
    outcomes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    held: set[tuple[str, str]] = field(default_factory=set)

    def play(self, steps: str) -> None:
        for step in steps.split(";"):
            day, verb, *words = step.split()
            self.clock.moment = NOON + timedelta(days=int(day))
            options = {name: said or "yes" for name, _, said in (word.partition("=") for word in words)}
            act: Callable[[Options], None] = getattr(self, f"do_{verb.replace('-', '_')}")
            try:
                act(options)
            except HandschlagError as error:
                self.outcomes.append(error.code)

    def tell(self, method: str, command: object) -> None:
        self.at.ask("consent", method, command, Receipt)
        self.at.platform.deliver_messages()

    def do_person(self, options: Options) -> None:
        """`age` in full years; every other word is a fact, true unless it says no."""
        age = int(options.pop("age", "36"))
        born = date(self.clock.today().year - age, 1, 1)
        self.person_id = fresh("person")
        wanted = RegisterPerson(person_id=self.person_id, name=NAME, birth_date=born)
        self.at.ask("cases", "register_person", wanted, Receipt)
        self.facts |= {name: said != "no" for name, said in options.items()}

    def do_give(self, options: Options) -> None:
        consent_id = self._id(options)
        replaces = self.ids[options["replaces"]] if "replaces" in options else None
        terms = self._terms(options)
        self.tell("give_consent", GiveConsent(consent_id=consent_id, terms=terms, replaces=replaces))

    def do_refuse(self, options: Options) -> None:
        self.tell("refuse_consent", RefuseConsent(consent_id=self._id(options), terms=self._terms(options)))

    def do_offer(self, options: Options) -> None:
        terms = self._terms(options)
        offer = Offer(
            person_id=terms.person_id,
            recipient=terms.recipient,
            purpose=terms.purpose,
            categories=terms.categories,
            information=terms.information,
            answer_by=self._day(options.get("answer", "14")),
            valid_from=terms.valid_from,
            valid_until=terms.valid_until,
            use=terms.use,
        )
        self.tell("offer_consent", OfferConsent(consent_id=self._id(options), offer=offer))

    def do_accept(self, options: Options) -> None:
        self.tell("accept_offer", AcceptOffer(consent_id=self._known(options), answer=self._answer()))

    def do_decline(self, options: Options) -> None:
        self.tell("decline_offer", DeclineOffer(consent_id=self._known(options), answer=self._answer()))

    def do_withdraw(self, options: Options) -> None:
        self.tell("withdraw_consent", WithdrawConsent(consent_id=self._known(options)))

    def do_unheard_withdraw(self, options: Options) -> None:
        """Withdrawn, and nobody has heard the message yet: the check at the moment of delivery is all there is."""
        self.at.ask("consent", "withdraw_consent", WithdrawConsent(consent_id=self._known(options)), Receipt)

    def do_unheard_unrelease(self, options: Options) -> None:
        withdrawn = WithdrawRelease(release_id=self.ids[options.get("name", "s")])
        self.at.ask("consent", "withdraw_release", withdrawn, Receipt)

    def do_use(self, options: Options) -> None:
        """The first of the waiting requests takes the consent's use, and is out of this story."""
        del options
        used = UseConsents(uses=(Use(use_id=self.asked.pop(0), ids=(self.ids["a"],)),))
        caller = Caller(service="exchange", actor="exchange", role="service", agency=self.at.agency, command_id="use")
        told = self.at.platform.calls.ask("consent", "use_consents", used, Used, caller=caller)
        assert told.fallen == ()

    def do_pause(self, options: Options) -> None:
        self.tell("pause_consent", PauseConsent(consent_id=self._known(options)))

    def do_resume(self, options: Options) -> None:
        self.tell("resume_consent", ResumeConsent(consent_id=self._known(options)))

    def do_calendar(self, _options: Options) -> None:
        """What the calendar brings is written down; nothing may depend on it."""
        context = self.at.platform.contexts["consent"]
        catch_up(context.store, REGISTER)
        pass_days(context.store, context.database, self.clock.today())

    def do_represent(self, options: Options) -> None:
        self.ids[options.get("name", "r")] = fresh("representation")
        wanted = RegisterRepresentation(
            representation_id=self.ids[options.get("name", "r")],
            person_id=self._who(),
            kind=RepresentationKind(options.get("kind", "legal_guardian")),
            name="Erika Beispiel",
            acts=tuple(Act(act) for act in options.get("acts", "consent").split(",")),
            evidence="bescheinigung-1",
            purposes=tuple(options["purposes"].split(",")) if "purposes" in options else (),
            valid_until=self._day(options["until"]) if "until" in options else None,
        )
        self.tell("register_representation", wanted)

    def do_end(self, options: Options) -> None:
        ended = EndRepresentation(representation_id=self.ids[options.get("name", "r")])
        self.tell("end_representation", ended)

    def do_release(self, options: Options) -> None:
        self.ids[options.get("name", "s")] = fresh("release")
        wanted = GiveRelease(
            release_id=self.ids[options.get("name", "s")],
            person_id=self._who(),
            professional=options.get("professional", "Dr. Beispiel").replace("_", " "),
            recipient=self._partner(options.get("to", "provider")).partner_id,
            categories=(options.get("category", "medical_report_76"),),
            form=ReleaseForm(options.get("form", "written")),
            valid_until=self._day(options["until"]) if "until" in options else None,
        )
        self.tell("give_release", wanted)

    def do_unrelease(self, options: Options) -> None:
        self.tell("withdraw_release", WithdrawRelease(release_id=self.ids[options.get("name", "s")]))

    def do_notice(self, _options: Options) -> None:
        notice = RecordObjectionNotice(person_id=self._who(), form=NoticeForm.WRITTEN, text_version="1")
        self.tell("record_objection_notice", notice)

    def do_object(self, _options: Options) -> None:
        self.tell("raise_objection", RaiseObjection(person_id=self._who()))

    def do_unobject(self, _options: Options) -> None:
        self.tell("take_back_objection", TakeBackObjection(person_id=self._who()))

    def do_contest(self, options: Options) -> None:
        self.ids["c"] = fresh("objection")
        to = options.get("to")
        wanted = ObjectToProcessing(
            objection_id=self.ids["c"],
            person_id=self._who(),
            reasons="Schutz vor Gewalt",
            recipient=self._partner(to).partner_id if to else None,
            purpose=options.get("purpose"),
        )
        self.tell("object_to_processing", wanted)

    def do_decide(self, options: Options) -> None:
        said = DecideObjection(
            objection_id=self.ids["c"],
            person_id=self._who(),
            uphold=options.get("uphold") == "yes",
            reasons="abgewogen",
            norm=options.get("norm", "§_84_Abs._5_SGB_X").replace("_", " "),
        )
        self.tell("decide_objection", said)

    def do_uncontest(self, _options: Options) -> None:
        taken_back = TakeBackProcessingObjection(objection_id=self.ids["c"], person_id=self._who())
        self.tell("take_back_processing_objection", taken_back)

    def do_entry(self, options: Options) -> None:
        self.held.add((self._who(), options.get("category", "coaching_content")))
        self.at.entry(self._who(), options.get("category", "coaching_content"))

    def do_ask(self, options: Options) -> None:
        """Ask for a disclosure of what is held. The answer is `permitted`, `denied`, or the code of an error."""
        categories = options.get("category", "coaching_content").split(",")
        person_id = self._who()
        for category in categories:
            self._hold(person_id, category)
        made = self.at.request(
            request_of(
                person_id,
                self._partner(options.get("to", "provider")),
                *categories,
                purpose=options.get("purpose", "referral"),
                facts=self.facts,
                extent=Extent(options.get("extent", "all")),
                data_from=self._day(options["from"]) if "from" in options else None,
            )
        )
        self.asked.append(made.disclosure_id)
        sent = "+".join(made.ruling.sent) if made.ruling and len(categories) > 1 else ""
        self.outcomes.append(f"{made.state.value}{':' if sent else ''}{sent}")

    def do_fetch(self, options: Options) -> None:
        """The partner fetches everything once more."""
        self._partner(options.get("to", "provider")).documents()

    def do_deliver(self, options: Options) -> None:
        """The partner fetches. For each request since the last time, in order: `handed_over`, or why not."""
        self._partner(options.get("to", "provider")).documents()
        self.over, self.asked = self.asked, []
        self.do_show(options)

    def do_show(self, options: Options) -> None:
        """How the requests of the last delivery stand."""
        del options
        self.at.platform.deliver_messages()
        for disclosure_id in self.over:
            known, _ = (
                self.at.platform.contexts["exchange"].store.agency(self.at.agency).load(Disclosure, disclosure_id)
            )
            self.outcomes.append(known.reason if known.state is State.STOPPED else known.state.value)

    def _hold(self, person_id: str, category: str) -> None:
        if (person_id, category) in self.held:
            return
        self.held.add((person_id, category))
        if category in health_categories():
            self.at.finding(person_id, category)
        else:
            self.at.entry(person_id, category)

    def _who(self) -> str:
        if not self.person_id:
            self.do_person({})
        return self.person_id

    def _partner(self, kind: str) -> PartnerDesk:
        if kind not in self.partners:
            self.partners[kind] = self.at.partner(*KINDS[kind])
        return self.partners[kind]

    def _id(self, options: Options) -> str:
        return self.ids.setdefault(options.get("name", "a"), fresh("consent"))

    def _known(self, options: Options) -> str:
        return self.ids.get(options.get("name", "a"), fresh("nowhere"))

    def _day(self, offset: str) -> date:
        return NOON.date() + timedelta(days=int(offset))

    def _answer(self) -> Answer:
        return Answer(form=Form.ELECTRONIC, given_by=(Giver.DATA_SUBJECT,), voluntary=True)

    def _terms(self, options: Options) -> Any:
        limits: dict[str, Any] = {}
        if "times" in options:
            limits["times"] = int(options["times"])
        if "per" in options:
            limits["per"] = Period(options["per"])
        for option, name in (("datafrom", "data_from"), ("datauntil", "data_until")):
            if option in options:
                limits[name] = self._day(options[option])
        if "erase" in options:
            limits["erase_at"] = self._day(options["erase"])
        untold = {name: False for name in options.get("untold", "").split(",") if name}
        to = options.get("to", "provider")
        return terms_of(
            self._who(),
            to if to.startswith("@") or to == "any" else self._partner(to).partner_id,
            *options.get("category", "coaching_content").split(","),
            purpose=options.get("purpose", "referral"),
            form=Form(options.get("form", "written")),
            given_by=tuple(Giver(giver) for giver in options.get("by", "data_subject").split(",")),
            information=type(INFORMED)(**{**vars(INFORMED), **untold}),
            voluntary=options.get("voluntary") != "no",
            valid_from=self._day(options["from"]) if "from" in options else None,
            valid_until=self._day(options["until"]) if "until" in options else None,
            use=UseLimit(**limits) if limits else None,
            representation_id=self.ids.get(options["within"], "nowhere") if "within" in options else None,
        )


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_situation_ends_as_the_law_says(platform: LocalPlatform, clock: FixedClock, row: dict[str, Any]) -> None:
    story = Story(Workplace.of(platform), clock)
    story.play(row["story"])
    assert story.outcomes == row["then"], row["why"]


def test_there_are_at_least_150_situations_and_each_names_its_norm() -> None:
    assert len(ROWS) >= 150
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({row["story"] for row in ROWS}) == len(ROWS)
    assert all("§" in row["norm"] or "Art." in row["norm"] for row in ROWS)


def test_every_combination_of_pause_expiry_withdrawal_and_use_between_request_and_delivery_is_there() -> None:
    between = {frozenset(row["between"]) for row in ROWS if "between" in row}
    words = ("paused", "expired", "withdrawn", "used_up")
    assert between == {frozenset(w for bit, w in enumerate(words) if n >> bit & 1) for n in range(16)}
