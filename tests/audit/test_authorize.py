"""Authorizing a disclosure: decided by the rules and the register, written into the log, answered with a receipt."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.audit.domain.ruling import Extent
from services.audit.evidence import audit_log
from services.audit.handlers import Office
from services.audit.obligations import PERFORMED
from services.audit.queries import Answer, AuthorizeDisclosure, Kind, ReceiptQuestion, ReceiptView, RetractDisclosure
from services.consent.domain.objection import RaiseObjection, RecordObjectionNotice, TakeBackObjection
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseForm, WithdrawRelease
from shared.audit import commitment, verify_receipt
from shared.clock import timestamp
from shared.domain import Json, Receipt
from shared.errors import Invalid, NotFound
from shared.identity import Caller
from shared.policy import present_law
from tests.support.clock import NOON, FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import NAME, STATED, STATUTORY_TASK, Workplace, fresh

JOBCENTER, INSURER = Kind(body="jobcenter", domain="sgb_ii"), Kind(body="pension_insurer", domain="sgb_vi")
PROVIDER, DOCTORS = Kind(body="measure_provider", domain="provider"), Kind(body="ba_medical_service", domain="sgb_iii")
ADULT: Json = {**STATED, "age": 36}
CARRIED, CONSENT_ONLY, OPINION = "benefit_data", "coaching_content", "expert_opinion_76_2"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


@pytest.fixture
def jobcenter(platform: LocalPlatform) -> Workplace:
    return Workplace.of(platform)


def question(*categories: str, **changed: Any) -> AuthorizeDisclosure:
    usual: dict[str, Any] = {
        "disclosure_id": fresh("disclosure"),
        "person_id": fresh("person"),
        "case_id": "case-geheim",
        "sender": JOBCENTER,
        "partner_id": "drv",
        "recipient": INSURER,
        "held": categories,
        "purpose": STATUTORY_TASK,
        "basis": None,
        "extent": Extent.ALL,
        "facts": ADULT,
        "commitments": {f"content.{name}": commitment(bytes(32), {"text": name}) for name in categories},
        "reasons": f"wegen {NAME}",
    }
    return AuthorizeDisclosure(categories=categories, **(usual | changed))


def opinion(**changed: Any) -> AuthorizeDisclosure:
    """An assessment for a social benefit, for the medical service that is commissioned with the next one."""
    usual: dict[str, Any] = {
        "recipient": DOCTORS,
        "purpose": "medical_assessment_request",
        "facts": {**ADULT, "expertise_commissioned": True},
    }
    return question(OPINION, **(usual | changed))


def authorize(at: Workplace, asked: AuthorizeDisclosure) -> Answer:
    found: Answer = at.platform.calls.ask("audit", "authorize", asked, Answer, caller=exchange(at))
    return found


def exchange(at: Workplace) -> Caller:
    return Caller(service="exchange", actor="tester", role="case_worker", agency=at.agency, command_id=fresh("command"))


def leaf_of(answer: Answer) -> Json:
    leaf: Json = json.loads(answer.leaf)
    return leaf


def rules(answer: Answer) -> set[str]:
    return {rule for item in answer.categories for rule in item.rules}


def test_a_permit_is_an_intent_with_norms_rule_set_and_the_categories_that_leave(jobcenter: Workplace) -> None:
    asked = question(CARRIED, "master_data")
    answer = authorize(jobcenter, asked)
    leaf = leaf_of(answer)
    assert (leaf["kind"], leaf["decision"], leaf["purpose"]) == ("intent", "permit", STATUTORY_TASK)
    assert leaf["categories"] == sorted(asked.categories)
    assert (leaf["sender"], leaf["recipient"]) == (jobcenter.agency, "drv")
    assert "§ 69 Abs. 1 Nr. 1 SGB X" in leaf["norms"]
    assert leaf["rule_set"] == answer.rule_set == present_law().hash
    assert set(leaf["commitments"]) == {
        "case",
        "content.benefit_data",
        "content.master_data",
        "facts",
        "person",
        "reasons",
    }
    assert leaf["time"] == timestamp(NOON)
    assert answer.day == "2026-03-02"


def test_a_denial_is_logged_with_what_was_asked_and_why_not(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, question(CONSENT_ONLY))
    leaf = leaf_of(answer)
    assert (answer.sent, leaf["kind"], leaf["decision"]) == ((), "denial", "deny")
    assert leaf["categories"] == [CONSENT_ONLY]
    assert "§ 67b Abs. 1 Satz 1 SGB X" in leaf["norms"]
    assert leaf["rule_set"] == present_law().hash
    assert f"content.{CONSENT_ONLY}" not in leaf["commitments"]


def test_permitted_and_not_held_is_logged_as_having_looked(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, question(CARRIED, held=()))
    leaf = leaf_of(answer)
    assert (answer.sent, leaf["kind"], leaf["decision"]) == ((), "looked", "deny")
    assert [item.permitted for item in answer.categories] == [True]


def test_of_part_of_it_only_that_part_stands_in_the_entry(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, question(CARRIED, CONSENT_ONLY, extent=Extent.PERMITTED))
    leaf = leaf_of(answer)
    assert (answer.sent, leaf["categories"]) == ((CARRIED,), [CARRIED])
    assert f"content.{CONSENT_ONLY}" not in leaf["commitments"]
    assert "§ 67b Abs. 1 Satz 1 SGB X" not in leaf["norms"]


def test_the_answer_carries_a_receipt_that_the_log_signed(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, question(CARRIED))
    verified = verify_receipt(answer.receipt, answer.leaf.encode(), jobcenter.log_key(answer.receipt))
    assert (verified.origin, verified.index) == (answer.origin, answer.index)
    assert answer.origin == f"handschlag.example/{jobcenter.agency}/2026"


def test_asked_twice_it_is_the_same_entry_to_the_byte(jobcenter: Workplace) -> None:
    asked = question(CARRIED)
    first, second = authorize(jobcenter, asked), authorize(jobcenter, asked)
    assert (first.index, first.leaf, first.origin, first.sent) == (
        second.index,
        second.leaf,
        second.origin,
        second.sent,
    )
    assert len(jobcenter.leaves()) == 1


def test_the_first_ruling_stands_whatever_the_register_says_later(jobcenter: Workplace) -> None:
    asked = opinion()
    first = authorize(jobcenter, asked)
    jobcenter.ask("consent", "record_objection_notice", RecordObjectionNotice(person_id=asked.person_id), Receipt)
    assert authorize(jobcenter, asked).leaf == first.leaf
    assert authorize(jobcenter, replace(asked, disclosure_id=fresh("disclosure"))).sent == (OPINION,)


def test_an_objection_blocks_an_expert_opinion_from_the_day_it_is_raised(jobcenter: Workplace) -> None:
    person_id, seen = fresh("person"), []
    for method, command in (
        ("record_objection_notice", RecordObjectionNotice(person_id=person_id)),
        ("raise_objection", RaiseObjection(person_id=person_id)),
        ("take_back_objection", TakeBackObjection(person_id=person_id)),
    ):
        jobcenter.ask("consent", method, command, Receipt)
        answer = authorize(jobcenter, opinion(person_id=person_id))
        seen.append((leaf_of(answer)["kind"], "sgb10-76-2-objection" in rules(answer)))
    assert seen == [("intent", False), ("denial", True), ("intent", False)]


def test_without_notice_of_the_right_to_object_an_expert_opinion_stays(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, opinion())
    assert answer.sent == ()
    assert "sgb10-76-2-notice" in rules(answer)


def test_a_doctors_report_travels_only_while_a_release_stands(jobcenter: Workplace) -> None:
    person_id, release_id = fresh("person"), fresh("release")

    def asked() -> AuthorizeDisclosure:
        report = opinion(person_id=person_id)
        return replace(report, categories=("medical_report_76",), held=("medical_report_76",), commitments={})

    wanted = GiveRelease(
        release_id=release_id,
        person_id=person_id,
        professional="Dr. Beispiel",
        recipient="drv",
        categories=("medical_report_76",),
        form=ReleaseForm.WRITTEN,
    )
    seen = [bool(authorize(jobcenter, asked()).sent)]
    jobcenter.ask("consent", "give_release", wanted, Receipt)
    seen.append(bool(authorize(jobcenter, asked()).sent))
    jobcenter.ask("consent", "withdraw_release", WithdrawRelease(release_id=release_id), Receipt)
    seen.append(bool(authorize(jobcenter, asked()).sent))
    assert seen == [False, True, False]


@pytest.mark.parametrize(
    ("terms", "permitted"),
    [
        ({}, True),
        ({"valid_from": date(2026, 3, 3)}, False),
        ({"valid_until": date(2026, 3, 2)}, True),
        ({"voluntary": False}, False),
        ({"purpose": "case_conference"}, False),
        ({"recipient": "somebody else"}, False),
        ({"categories": ("contact_log",)}, False),
    ],
    ids=["given", "not yet", "last day", "not voluntary", "other purpose", "other recipient", "other category"],
)
def test_a_consent_carries_exactly_what_it_says(
    jobcenter: Workplace, terms: dict[str, Any], *, permitted: bool
) -> None:
    person_id = fresh("person")
    recipient, categories = terms.pop("recipient", "drv"), terms.pop("categories", (CONSENT_ONLY,))
    consent_id = jobcenter.consent(person_id, recipient, *categories, **terms)
    answer = authorize(jobcenter, question(CONSENT_ONLY, person_id=person_id, recipient=PROVIDER, purpose="referral"))
    assert bool(answer.sent) is permitted
    assert answer.consents == ((consent_id,) if permitted else ())


def test_a_withdrawn_consent_carries_nothing(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.withdraw(jobcenter.consent(person_id, "drv", CONSENT_ONLY))
    answer = authorize(jobcenter, question(CONSENT_ONLY, person_id=person_id, recipient=PROVIDER, purpose="referral"))
    assert (answer.sent, answer.consents) == ((), ())


def test_a_refusal_carries_nothing_however_complete_its_terms(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.refusal(person_id, "drv", CONSENT_ONLY)
    answer = authorize(jobcenter, question(CONSENT_ONLY, person_id=person_id, recipient=PROVIDER, purpose="referral"))
    assert (answer.sent, answer.consents) == ((), ())


def test_whoever_was_told_that_all_hangs_on_consent_is_taken_at_that_word(jobcenter: Workplace) -> None:
    told = {**ADULT, "basis_communicated_was_consent_only": True}
    person_id = fresh("person")
    jobcenter.refusal(person_id, "drv", CARRIED, purpose=STATUTORY_TASK)
    answer = authorize(jobcenter, question(CARRIED, "master_data", person_id=person_id, facts=told))
    assert {item.category: item.permitted for item in answer.categories} == {CARRIED: False, "master_data": True}


def test_whoever_says_yes_and_no_on_one_day_is_taken_at_the_last_word(jobcenter: Workplace) -> None:
    told = {**ADULT, "basis_communicated_was_consent_only": True}
    person_id, seen = fresh("person"), []
    for said in (jobcenter.consent, jobcenter.refusal, jobcenter.consent):
        said(person_id, "drv", CONSENT_ONLY)
        asked = question(CONSENT_ONLY, person_id=person_id, recipient=PROVIDER, purpose="referral", facts=told)
        seen.append(bool(authorize(jobcenter, asked).sent))
    assert seen == [True, False, True]


@pytest.mark.parametrize("fact", ["objection_76_2", "consents", "objection_notice_given"])
def test_what_the_register_knows_is_taken_from_nobody_else(jobcenter: Workplace, fact: str) -> None:
    asked = question(CARRIED, facts={**ADULT, fact: [] if fact == "consents" else True})
    with pytest.raises(Invalid) as refused:
        authorize(jobcenter, asked)
    assert [problem.pointer for problem in refused.value.problems] == [f"/facts/{fact}"]
    assert jobcenter.leaves() == []


def test_a_category_named_twice_is_still_one_entry(jobcenter: Workplace) -> None:
    answer = authorize(jobcenter, question(CONSENT_ONLY, CONSENT_ONLY))
    assert leaf_of(answer)["categories"] == [CONSENT_ONLY]


def office(at: Workplace) -> Office:
    context = at.platform.contexts["audit"]
    return Office(at.agency, context.store.agency(at.agency), audit_log(context), context.clock)


def test_an_outcome_names_its_intent_and_heard_twice_it_is_logged_once(jobcenter: Workplace) -> None:
    asked = question(CARRIED)
    intent = authorize(jobcenter, asked)
    for _ in range(2):
        office(jobcenter).record_outcome(asked.disclosure_id, "outcome", "handed_over", "message-1")
    office(jobcenter).record_outcome(asked.disclosure_id, "outcome", "matched", "message-2")
    _, *outcomes = jobcenter.leaves()
    assert [(leaf["kind"], leaf["result"]) for leaf in outcomes] == [("outcome", "handed_over"), ("outcome", "matched")]
    assert all(leaf["about"] == {"log": intent.origin, "index": intent.index} for leaf in outcomes)
    assert {(leaf["sender"], leaf["recipient"]) for leaf in outcomes} == {(jobcenter.agency, "drv")}


def test_the_outcome_of_what_was_never_ruled_on_is_no_entry(jobcenter: Workplace) -> None:
    assert office(jobcenter).record_outcome("never", "outcome", "matched", "message-1") is None
    assert jobcenter.leaves() == []


def retract(at: Workplace, disclosure_id: str) -> ReceiptView:
    asked = RetractDisclosure(disclosure_id=disclosure_id, reason="consent_withdrawn")
    found: ReceiptView = at.platform.calls.ask("audit", "log_retraction", asked, ReceiptView, caller=exchange(at))
    return found


def test_a_retraction_is_an_entry_of_its_own_that_names_the_intent_once(jobcenter: Workplace) -> None:
    asked = question(CARRIED)
    intent = authorize(jobcenter, asked)
    first, again = retract(jobcenter, asked.disclosure_id), retract(jobcenter, asked.disclosure_id)
    leaf = json.loads(first.leaf)
    assert (leaf["kind"], leaf["result"]) == ("retraction", "consent_withdrawn")
    assert leaf["about"] == {"log": intent.origin, "index": intent.index}
    assert (first.index, first.leaf) == (again.index, again.leaf)
    verified = verify_receipt(first.receipt, first.leaf.encode(), jobcenter.log_key(first.receipt))
    assert verified.index == first.index != intent.index


def test_what_was_never_ruled_on_is_not_retracted(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound):
        retract(jobcenter, "never")


def test_the_receipt_of_a_ruling_is_shown_to_the_agency_that_owns_the_log(
    platform: LocalPlatform, jobcenter: Workplace
) -> None:
    asked = question(CARRIED)
    answer = authorize(jobcenter, asked)
    wanted = ReceiptQuestion(disclosure_id=asked.disclosure_id)
    found = jobcenter.ask("audit", "receipt", wanted, ReceiptView, role="auditor")
    assert (found.index, found.leaf) == (answer.index, answer.leaf)
    with pytest.raises(NotFound):
        Workplace.of(platform).ask("audit", "receipt", wanted, ReceiptView, role="auditor")


def test_no_entry_tells_who_it_is_about_or_what_was_stated(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    consent_id = jobcenter.consent(person_id, "drv", CONSENT_ONLY)
    permitted = question(CARRIED, person_id=person_id, facts={**STATED, "age": 17})
    denied = question("cooperation_plan", "third_party_data", person_id=person_id)
    looked = question(CARRIED, person_id=person_id, held=())
    for asked in (permitted, denied, looked):
        authorize(jobcenter, asked)
    retract(jobcenter, permitted.disclosure_id)
    office(jobcenter).record_outcome(permitted.disclosure_id, "outcome", "matched", fresh("message"))
    leaves = jobcenter.leaves()
    assert [leaf["kind"] for leaf in leaves] == ["intent", "denial", "looked", "retraction", "outcome"]
    text = json.dumps(leaves, ensure_ascii=False)
    ids = (person_id, consent_id, "case-geheim", *(asked.disclosure_id for asked in (permitted, denied, looked)))
    for secret in (*ids, NAME, "necessary", "requested_by_private_recipient", "wegen", "1990-02-03"):
        assert secret not in text


def test_the_same_question_about_the_same_person_looks_different_every_time(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    leaves = [leaf_of(authorize(jobcenter, question(CARRIED, person_id=person_id))) for _ in range(2)]
    for name in ("person", "case", "facts", "reasons"):
        assert leaves[0]["commitments"][name] != leaves[1]["commitments"][name]
    assert leaves[0]["nonce"] != leaves[1]["nonce"]


def test_an_obligation_that_nobody_performs_here_turns_a_permit_into_a_denial(
    jobcenter: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authorize(jobcenter, question(CARRIED)).sent == (CARRIED,)
    monkeypatch.delitem(PERFORMED, "log_disclosure")
    answer = authorize(jobcenter, question(CARRIED))
    assert answer.sent == ()
    assert leaf_of(answer)["kind"] == "denial"


def test_every_obligation_said_to_be_performed_is_one_of_the_law() -> None:
    assert set(PERFORMED) <= set(present_law().obligations)


def test_whose_age_is_not_known_consents_to_nothing(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    jobcenter.consent(person_id, "drv", CONSENT_ONLY)
    asked = question(CONSENT_ONLY, person_id=person_id, recipient=PROVIDER, purpose="referral")
    assert authorize(jobcenter, replace(asked, facts=STATED)).sent == ()
    assert authorize(jobcenter, replace(asked, disclosure_id=fresh("disclosure"))).sent == (CONSENT_ONLY,)
