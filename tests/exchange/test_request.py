"""Requesting a disclosure: what is refused before anything is written, and the order that nothing may break."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import func, select

from services.audit.queries import Answer, AuthorizeDisclosure
from services.exchange import partner_queue
from services.exchange.domain.disclosure import Disclosure, Extent, RequestDisclosure, State
from services.exchange.queries import NOTHING_MORE, DisclosurePage, DisclosuresQuestion, DisclosureView
from shared.errors import HandschlagError, Invalid, NotFound, Refused, Unavailable
from shared.identity import Caller
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import NAME, REFERRAL, STATED, STATUTORY_TASK, PartnerDesk, Workplace, fresh, request_of

CARRIED = "benefit_data"
"""Travels between benefit carriers without consent, where it is necessary (§ 69 Abs. 1 Nr. 1 SGB X)."""

CONSENT_ONLY = "coaching_content"


@dataclass(frozen=True)
class Ready:
    """A person with a file and a pension insurer to whom something of it may go."""

    at: Workplace
    person_id: str
    partner: PartnerDesk

    def wanting(self, *categories: str, **changed: Any) -> RequestDisclosure:
        return request_of(self.person_id, self.partner, *(categories or (CARRIED,)), **changed)

    def written(self, disclosure_id: str) -> int:
        """How many events the disclosure has."""
        exchange = self.at.platform.contexts["exchange"]
        return len(exchange.store.agency(self.at.agency).read(Disclosure, disclosure_id))

    def rows(self, table: Any, disclosure_id: str) -> int:
        here = (table.c.agency == self.at.agency) & (table.c.disclosure_id == disclosure_id)
        with self.at.platform.contexts["exchange"].database.read() as tx:
            return int(tx.execute(select(func.count()).select_from(table).where(here)).scalar_one())

    def queued(self, disclosure_id: str) -> int:
        return self.rows(partner_queue.queue, disclosure_id)

    def drafts(self, disclosure_id: str) -> int:
        return self.rows(partner_queue.draft, disclosure_id)


@pytest.fixture
def ready(jobcenter: Workplace) -> Ready:
    person_id = jobcenter.person()
    for category in (CARRIED, CONSENT_ONLY):
        jobcenter.entry(person_id, category, f"Text zu {category}")
    return Ready(jobcenter, person_id, jobcenter.partner())


@contextmanager
def instead(platform: LocalPlatform, service: str, other: object) -> Iterator[None]:
    """Somebody else answers for a service; None: nobody does."""
    usual = platform.calls.services[service]
    if other is None:
        del platform.calls.services[service]
    else:
        platform.calls.services[service] = other
    try:
        yield
    finally:
        platform.calls.services[service] = usual


class Down:
    """The audit service, when its log cannot sign."""

    def authorize(self, question: AuthorizeDisclosure, caller: Caller) -> Answer:
        raise Unavailable("audit.unavailable")


class LosesTheAnswer:
    """The audit service that rules and logs, and whose answer never arrives."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def authorize(self, question: AuthorizeDisclosure, caller: Caller) -> Answer:
        self.usual.authorize(question, caller)
        raise Unavailable("audit.unavailable")


class RulesForAnother:
    """The audit service that answers with a genuine ruling, which stands in the log of another agency."""

    def __init__(self, usual: Any, agency: str) -> None:
        self.usual, self.agency = usual, agency

    def authorize(self, question: AuthorizeDisclosure, caller: Caller) -> Answer:
        answer: Answer = self.usual.authorize(question, replace(caller, agency=self.agency))
        return answer


class Tampers:
    """The audit service with an answer that somebody changed on the way."""

    def __init__(self, usual: Any, **changed: Any) -> None:
        self.usual, self.changed = usual, changed

    def authorize(self, question: AuthorizeDisclosure, caller: Caller) -> Answer:
        answer: Answer = self.usual.authorize(question, caller)
        made = {name: change(getattr(answer, name)) for name, change in self.changed.items()}
        return replace(answer, **made)


def test_a_lawful_request_is_logged_and_waits_sealed_for_the_partner(ready: Ready) -> None:
    wanted = ready.wanting(CARRIED, "master_data")
    found = ready.at.request(wanted)
    (leaf,) = ready.at.leaves()
    assert (found.state, leaf["kind"], leaf["decision"]) == (State.PERMITTED, "intent", "permit")
    assert (ready.queued(wanted.disclosure_id), ready.drafts(wanted.disclosure_id)) == (1, 0)


def test_the_document_tells_nothing_but_to_the_partner(ready: Ready) -> None:
    ready.at.request(ready.wanting(CARRIED, "master_data"))
    (document,) = ready.partner.documents()
    opened = ready.partner.opened(document)
    assert opened.content["master_data"] == {"name": NAME, "birth_date": "1990-02-03"}
    assert opened.content[CARRIED]["entries"][0]["text"] == f"Text zu {CARRIED}"  # type: ignore[index, call-overload]
    for secret in (NAME, f"Text zu {CARRIED}", ready.person_id, "1990-02-03"):
        assert secret not in json.dumps(document)


def test_a_request_sent_twice_is_one_disclosure_one_entry_and_one_document(ready: Ready) -> None:
    wanted = ready.wanting()
    first = ready.at.request(wanted)
    again = ready.at.request(wanted)
    by_another_command = ready.at.request(wanted, command_id=fresh("command"))
    assert first == again == by_another_command
    assert (len(ready.at.leaves()), ready.queued(wanted.disclosure_id)) == (1, 1)
    assert len(ready.partner.documents()) == 1


def test_a_denied_request_sent_twice_is_one_entry(ready: Ready) -> None:
    wanted = ready.wanting(CONSENT_ONLY)
    assert ready.at.request(wanted) == ready.at.request(wanted)
    assert [leaf["kind"] for leaf in ready.at.leaves()] == ["denial"]
    assert (ready.queued(wanted.disclosure_id), ready.drafts(wanted.disclosure_id)) == (0, 0)


@pytest.mark.parametrize("other_command", [True, False])
@pytest.mark.parametrize(
    "other",
    [{"categories": ("master_data",)}, {"purpose": "case_conference"}, {"extent": Extent.PERMITTED}],
)
def test_the_same_id_with_other_content_is_refused(ready: Ready, other: dict[str, Any], *, other_command: bool) -> None:
    wanted = ready.wanting()
    before = ready.at.request(wanted)
    with pytest.raises(Refused) as refused:
        ready.at.request(replace(wanted, **other), command_id=fresh("command") if other_command else "")
    assert refused.value.code == "disclosure.already_requested"
    assert ready.at.disclosure(wanted.disclosure_id) == before
    assert len(ready.at.leaves()) == 1


def test_other_content_under_the_same_id_is_refused_also_while_the_ruling_is_still_missing(ready: Ready) -> None:
    wanted = ready.wanting()
    with instead(ready.at.platform, "audit", None), pytest.raises(Unavailable):
        ready.at.request(wanted)
    with pytest.raises(Refused):
        ready.at.request(replace(wanted, categories=("master_data",)))
    assert ready.at.leaves() == []


FAULTY: list[tuple[dict[str, Any], list[str]]] = [
    ({"categories": (CARRIED, "horoscope")}, ["/categories/1"]),
    ({"categories": ()}, ["/categories"]),
    ({"purpose": "curiosity"}, ["/purpose"]),
    ({"basis": "§ 999 SGB X"}, ["/basis"]),
    ({"facts": {**STATED, "full_moon": True}}, ["/facts/full_moon"]),
    ({"facts": {"necessary": "yes"}}, ["/facts/necessary"]),
    ({"facts_by_category": {"horoscope": {}}}, ["/facts_by_category/horoscope"]),
    ({"facts_by_category": {CARRIED: {"full_moon": True}}}, [f"/facts_by_category/{CARRIED}/full_moon"]),
    ({"purpose": "curiosity", "categories": ("horoscope",)}, ["/categories/0", "/purpose"]),
    ({"facts": {"consents": []}}, ["/facts/consents"]),
    ({"facts": {"secrecy_releases": []}}, ["/facts/secrecy_releases"]),
    ({"facts": {"objection_76_2": False}}, ["/facts/objection_76_2"]),
    ({"facts": {"objection_notice_given": True}}, ["/facts/objection_notice_given"]),
    ({"facts": {"consent_refused_or_withdrawn": False}}, ["/facts/consent_refused_or_withdrawn"]),
    (
        {"facts_by_category": {CARRIED: {"objection_76_2": False}}},
        [f"/facts_by_category/{CARRIED}/objection_76_2"],
    ),
    ({"facts": {"consent_covers": True}}, ["/facts/consent_covers"]),
]


@pytest.mark.parametrize(("changed", "pointers"), FAULTY, ids=[pointers[0] for _, pointers in FAULTY])
def test_every_word_that_is_not_understood_or_not_the_requesters_is_named_and_nothing_is_written(
    ready: Ready, changed: dict[str, Any], pointers: list[str]
) -> None:
    wanted = replace(ready.wanting(), **changed)
    with pytest.raises(Invalid) as refused:
        ready.at.request(wanted)
    assert sorted(problem.pointer for problem in refused.value.problems) == pointers
    assert ready.written(wanted.disclosure_id) == 0
    assert (ready.drafts(wanted.disclosure_id), ready.at.leaves()) == (0, [])


@pytest.mark.parametrize(
    ("changed", "pointer"), [({"partner_id": "nobody"}, "/partner_id"), ({"person_id": "nobody"}, "/person_id")]
)
def test_an_unknown_partner_or_person_is_named_and_nothing_is_written(
    ready: Ready, changed: dict[str, str], pointer: str
) -> None:
    wanted = replace(ready.wanting(), **changed)  # type: ignore[arg-type]
    with pytest.raises(NotFound) as refused:
        ready.at.request(wanted)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]
    assert ready.written(wanted.disclosure_id) == 0


def test_a_category_named_twice_is_asked_for_once(ready: Ready) -> None:
    assert ready.at.request(ready.wanting(CARRIED, CARRIED)).state is State.PERMITTED
    assert ready.at.request(ready.wanting(CONSENT_ONLY, CONSENT_ONLY)).state is State.DENIED
    assert [leaf["categories"] for leaf in ready.at.leaves()] == [[CARRIED], [CONSENT_ONLY]]


@pytest.mark.parametrize("audit", [None, Down()], ids=["away", "cannot sign"])
def test_without_the_audit_service_nothing_leaves_and_the_draft_is_kept(ready: Ready, audit: object) -> None:
    wanted = ready.wanting()
    with instead(ready.at.platform, "audit", audit):
        for _ in range(2):
            with pytest.raises(Unavailable):
                ready.at.request(wanted)
        assert ready.partner.documents() == []
    assert (ready.queued(wanted.disclosure_id), ready.drafts(wanted.disclosure_id)) == (0, 1)
    assert ready.at.disclosure(wanted.disclosure_id).state is State.REQUESTED


def test_the_same_command_later_commits_to_the_very_same_content(ready: Ready) -> None:
    wanted = ready.wanting()
    usual = ready.at.platform.calls.services["audit"]
    with instead(ready.at.platform, "audit", LosesTheAnswer(usual)), pytest.raises(Unavailable):
        ready.at.request(wanted)
    (logged,) = ready.at.leaves()
    ready.at.entry(ready.person_id, CARRIED, "danach dazugekommen")
    found = ready.at.request(wanted)
    assert found.state is State.PERMITTED
    assert ready.at.leaves() == [logged]
    (document,) = ready.partner.documents()
    entries = ready.partner.opened(document).content[CARRIED]["entries"]  # type: ignore[index, call-overload]
    assert [entry["text"] for entry in entries] == [f"Text zu {CARRIED}"]  # type: ignore[index, union-attr, call-overload]


def test_after_an_outage_the_draft_put_aside_before_is_what_is_sent(ready: Ready) -> None:
    wanted = ready.wanting()
    with instead(ready.at.platform, "audit", None), pytest.raises(Unavailable):
        ready.at.request(wanted)
    ready.at.entry(ready.person_id, CARRIED, "danach dazugekommen")
    assert ready.at.request(wanted).state is State.PERMITTED
    (document,) = ready.partner.documents()
    assert "danach" not in str(ready.partner.opened(document).content)


def test_a_draft_lies_sealed_with_the_persons_key(ready: Ready) -> None:
    wanted = ready.wanting()
    with instead(ready.at.platform, "audit", None), pytest.raises(Unavailable):
        ready.at.request(wanted)
    with ready.at.platform.contexts["exchange"].database.read() as tx:
        sealed = partner_queue.kept_draft(tx, ready.at.agency, wanted.disclosure_id)
    assert sealed
    assert "Text zu" not in sealed


def without_its_last_line(receipt: str) -> str:
    return receipt.rstrip("\n").rsplit("\n", 1)[0] + "\n"


@pytest.mark.parametrize(
    "changed",
    [
        {"receipt": without_its_last_line},
        {"receipt": lambda _: ""},
        {"leaf": lambda leaf: leaf.replace('"permit"', '"permlt"')},
        {"leaf": lambda leaf: leaf.replace("recipient_statutory_task", "curiosity")},
        {"origin": lambda origin: origin.replace("/agency-", "/other-")},
        {"origin": lambda origin: f"elsewhere.{origin}"},
    ],
    ids=["unsigned", "empty", "other decision", "other purpose", "other agency", "other installation"],
)
def test_a_permit_whose_receipt_is_not_proven_leaves_nothing(ready: Ready, changed: dict[str, Any]) -> None:
    wanted = ready.wanting()
    usual = ready.at.platform.calls.services["audit"]
    with instead(ready.at.platform, "audit", Tampers(usual, **changed)), pytest.raises(Unavailable):
        ready.at.request(wanted)
    assert ready.queued(wanted.disclosure_id) == 0
    assert ready.at.disclosure(wanted.disclosure_id).state is State.REQUESTED
    assert ready.partner.documents() == []


def test_a_genuine_receipt_of_another_agencys_log_proves_nothing_here(ready: Ready) -> None:
    wanted, other = ready.wanting(), Workplace.of(ready.at.platform)
    elsewhere = RulesForAnother(ready.at.platform.calls.services["audit"], other.agency)
    with instead(ready.at.platform, "audit", elsewhere), pytest.raises(Unavailable) as refused:
        ready.at.request(wanted)
    assert refused.value.code == "audit.receipt_not_proven"
    assert ready.queued(wanted.disclosure_id) == 0


def test_a_permit_for_more_than_was_logged_leaves_nothing(ready: Ready) -> None:
    wanted = ready.wanting(CARRIED, CONSENT_ONLY, extent=Extent.PERMITTED)
    more = Tampers(ready.at.platform.calls.services["audit"], sent=lambda _: (CARRIED, CONSENT_ONLY))
    with instead(ready.at.platform, "audit", more), pytest.raises(HandschlagError):
        ready.at.request(wanted)
    assert ready.queued(wanted.disclosure_id) == 0


def test_of_all_or_nothing_one_category_held_back_is_nothing(ready: Ready) -> None:
    found = ready.at.request(ready.wanting(CARRIED, CONSENT_ONLY, extent=Extent.ALL))
    assert found.state is State.DENIED
    assert ready.partner.documents() == []
    (leaf,) = ready.at.leaves()
    assert (leaf["kind"], leaf["decision"]) == ("denial", "deny")


def test_of_what_is_permitted_the_rest_is_sent_and_only_that(ready: Ready) -> None:
    found = ready.at.request(ready.wanting(CARRIED, CONSENT_ONLY, extent=Extent.PERMITTED))
    assert found.state is State.PERMITTED
    assert found.ruling is not None
    assert found.ruling.sent == (CARRIED,)
    assert {item.category: item.permitted for item in found.ruling.categories} == {CARRIED: True, CONSENT_ONLY: False}
    (document,) = ready.partner.documents()
    assert set(ready.partner.opened(document).content) == {CARRIED}
    (leaf,) = ready.at.leaves()
    assert leaf["categories"] == [CARRIED]
    assert f"content.{CONSENT_ONLY}" not in leaf["commitments"]


def test_a_consent_given_beforehand_opens_what_the_law_alone_does_not(ready: Ready) -> None:
    provider = ready.at.partner("measure_provider", "provider")
    person = replace(ready, partner=provider)
    denied = ready.at.request(person.wanting(CONSENT_ONLY, purpose=REFERRAL))
    consent_id = ready.at.consent(ready.person_id, provider.partner_id, CONSENT_ONLY)
    permitted = ready.at.request(person.wanting(CONSENT_ONLY, purpose=REFERRAL))
    assert (denied.state, permitted.state) == (State.DENIED, State.PERMITTED)
    assert permitted.ruling is not None
    assert permitted.ruling.consents == (consent_id,)


def test_what_is_permitted_and_not_held_is_told_apart_by_those_who_may_know(ready: Ready) -> None:
    found = ready.at.request(ready.wanting(CARRIED, "cooperation_plan"))
    assert found.state is State.NOT_HELD
    (leaf,) = ready.at.leaves()
    assert (leaf["kind"], leaf["decision"]) == ("looked", "deny")
    assert ready.partner.documents() == []


@pytest.mark.parametrize("role", ["citizen", "partner_system", "operator"])
def test_to_everybody_else_not_held_and_denied_read_exactly_alike(ready: Ready, role: str) -> None:
    not_held, denied = ready.wanting("cooperation_plan"), ready.wanting(CONSENT_ONLY)
    ready.at.request(not_held)
    ready.at.request(denied)

    def reads(wanted: RequestDisclosure) -> DisclosureView:
        view = ready.at.disclosure(wanted.disclosure_id, role)
        return replace(view, disclosure_id="", categories=())

    assert reads(not_held) == reads(denied)
    assert (reads(denied).state, reads(denied).answer, reads(denied).ruling) == (State.DENIED, NOTHING_MORE, None)


def test_the_lists_of_a_citizen_are_as_reserved_as_the_single_view(ready: Ready) -> None:
    ready.at.request(ready.wanting("cooperation_plan"))
    question = DisclosuresQuestion(person_id=ready.person_id)
    found = ready.at.ask("exchange", "disclosures", question, DisclosurePage, role="citizen")
    assert [(item.state, item.answer, item.ruling) for item in found.items] == [(State.DENIED, NOTHING_MORE, None)]


def test_the_answer_to_a_citizens_own_request_is_as_reserved(ready: Ready) -> None:
    found = ready.at.request(ready.wanting("cooperation_plan"), role="citizen")
    assert (found.state, found.answer, found.ruling) == (State.DENIED, NOTHING_MORE, None)


def test_the_case_worker_reads_why_it_was_denied(ready: Ready) -> None:
    found = ready.at.request(ready.wanting(CONSENT_ONLY))
    assert found.ruling is not None
    assert "Coachinginhalte: nicht zulässig" in found.answer
    assert "§ 67b Abs. 1 Satz 1 SGB X" in found.ruling.categories[0].norms
    assert ["consent_covers"] in [list(missing) for missing in found.ruling.categories[0].missing]


def test_another_agency_finds_no_disclosure_here(ready: Ready) -> None:
    wanted = ready.wanting()
    ready.at.request(wanted)
    other = Workplace.of(ready.at.platform)
    with pytest.raises(NotFound):
        other.disclosure(wanted.disclosure_id)
    assert other.ask("exchange", "disclosures", DisclosuresQuestion(), DisclosurePage).items == ()
    assert other.leaves() == []


def test_the_age_is_computed_and_not_believed(ready: Ready) -> None:
    ready.at.platform.calls.asked.clear()
    ready.at.request(ready.wanting(facts={**STATED, "age": 3}))
    (asked,) = [question for _, method, question in ready.at.platform.calls.asked if method == "authorize"]
    assert isinstance(asked.facts, dict)  # type: ignore[attr-defined]
    assert asked.facts["age"] == 36  # type: ignore[attr-defined]


def test_an_agency_that_was_never_registered_requests_nothing(platform: LocalPlatform) -> None:
    nobody = Workplace(platform, fresh("agency"))
    partner, person_id = nobody.partner(), nobody.person()
    with pytest.raises(NotFound) as refused:
        nobody.request(request_of(person_id, partner, "master_data", purpose=STATUTORY_TASK))
    assert refused.value.code == "agency.unknown"
