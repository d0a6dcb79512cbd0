"""Obligations that act: each required one has code, and what cannot be kept is not sent."""

import json
from datetime import date
from importlib import import_module
from typing import Any

import pytest

from services.audit.asks import Evidence
from services.audit.handlers import erase_by, performed
from services.audit.obligations import PERFORMED
from services.exchange.domain.agency import Kind
from services.exchange.domain.disclosure import RequestDisclosure, State
from services.exchange.domain.partner import CommitmentRecorded, MedicalKeyRegistered, Partner, RecordCommitment
from services.exchange.obligations import (
    ABILITIES,
    CONTENT,
    Identity,
    binding,
    counted_tables,
    fit_to_leave,
    key_for,
    limited_feedback,
    unable,
    without_identity,
)
from services.exchange.queries import DisclosureView, PartnerQuestion, PartnerView
from shared.domain import Json, Receipt
from shared.errors import Invalid, NotFound, Refused
from shared.law import notices
from shared.merkle import NotProven
from shared.notes import Malformed
from shared.policy import present_law
from tests.audit.test_authorize import question
from tests.exchange.test_partner import REGISTERED, WANTED, X25519, public
from tests.support.given import given
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import STATED, PartnerDesk, Workplace, fresh, request_of

TODAY = date(2026, 3, 2)
UTE = Identity("Ute Beispiel-Öz", date(1990, 2, 3), "0151 000417")
MEDICAL = MedicalKeyRegistered(encryption_key=public(X25519))
COMMITTED = CommitmentRecorded(on=TODAY, text_version="1")
NO_EVIDENCE = Evidence(consents=(), releases=(), objection_notice_given=False, objected=False, refused=())
COMMIT = RecordCommitment(partner_id="drv", on=TODAY, text_version="1")


def entries(*texts: str, on: str = "2026-03-02") -> Json:
    return {"entries": [{"on": on, "origin": "case", "text": text} for text in texts]}


def test_every_required_obligation_names_code_that_is_there() -> None:
    for id_, place in PERFORMED.items():
        module, _, path = place.partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        assert found.__doc__ or callable(found), id_
    required = {id_ for id_, duty in present_law().obligations.items() if duty.required}
    assert required == set(PERFORMED)


def test_what_the_code_table_says_is_where_the_law_says_it_is() -> None:
    duties = present_law().obligations
    for id_, place in PERFORMED.items():
        assert place.startswith(duties[id_].performed_by), id_


def test_every_notice_is_of_an_obligation_and_cites_its_norm() -> None:
    assert set(notices()) <= set(present_law().obligations)
    assert all(("§" in each.norm or "Art." in each.norm) and each.text_de for each in notices().values())
    assert set(ABILITIES) <= set(PERFORMED)
    assert set(CONTENT) <= set(present_law().vocabulary.categories)


def test_the_recipient_is_told_its_own_duties_in_words_and_the_senders_stay_at_home() -> None:
    told = binding(["minimise", "purpose_binding_78", "log_disclosure"])
    assert [(each["id"], each["norm"]) for each in told] == [("purpose_binding_78", "§ 78 Abs. 1 SGB X")]
    assert "geheim" in told[0]["text_de"]


@pytest.mark.parametrize(
    "text",
    [
        "Ute B. kam zweimal",
        "die Akte BEISPIEL",
        "Frau Öz wohnt allein",
        "geboren 1990-02-03",
        "geboren am 03.02.1990",
        "geb. 3. 2. 1990",
        "Tel. 0151000417",
        "Tel. 0151 00 04 17",
    ],
)
def test_what_names_the_person_is_not_pseudonymous(text: str) -> None:
    with pytest.raises(Refused) as refused:
        without_identity(entries("harmlos", text), UTE)
    assert refused.value.code == "disclosure.identified_payload"
    assert "Ute" not in refused.value.detail + refused.value.remedy


@pytest.mark.parametrize("text", ["Person A, 36 Jahre, wohnt allein", "ein gutes Beispielhaus", "am 13.02.1990"])
def test_what_names_nobody_travels_as_it_is(text: str) -> None:
    assert without_identity(entries(text), UTE) == entries(text)


def test_whom_the_agency_no_longer_knows_cannot_be_named() -> None:
    assert without_identity(entries("Ute"), Identity(None, None, None)) == entries("Ute")


def test_only_the_two_answers_of_a_feedback_travel() -> None:
    answers = {"confirmed": True, "active": False}
    old = entries('{"confirmed": false, "active": false}', on="2026-03-01")["entries"]
    held = {"entries": [*entries(json.dumps(answers))["entries"], *old]}
    assert limited_feedback(held, UTE) == answers


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("Es geht dem Kind gut",),
        ('{"confirmed": true}',),
        ('{"confirmed": true, "active": true, "note": "x"}',),
        ('{"confirmed": 1, "active": 0}',),
        ('{"confirmed": "yes", "active": true}',),
        ("[true, false]",),
        ('{"confirmed": true, "active": true}', '{"confirmed": false, "active": true}'),
    ],
)
def test_any_other_feedback_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        limited_feedback(entries(*texts), UTE)
    assert refused.value.code == "disclosure.feedback_not_limited"


@pytest.mark.parametrize("count", [0, 5, 4000])
def test_a_table_whose_counts_tell_nothing_of_one_person_travels(count: int) -> None:
    table = [{"group": "under 25", "count": count}]
    assert counted_tables(entries(json.dumps(table)), UTE) == {"tables": [table]}


@pytest.mark.parametrize("count", [1, 4])
def test_a_small_cell_is_refused(count: int) -> None:
    with pytest.raises(Refused) as refused:
        counted_tables(entries(json.dumps([{"group": "a", "count": 9}, {"group": "b", "count": count}])), UTE)
    assert refused.value.code == "disclosure.small_cell"


@pytest.mark.parametrize(
    "text",
    ["drei Personen", "[]", "{}", "3", '[{"count": 7.5}]', '[{"count": true}]', '[{"count": [7]}]', "[[]]", "[{}]"],
)
def test_what_is_no_table_is_not_anonymous(text: str) -> None:
    with pytest.raises(Refused) as refused:
        counted_tables(entries(text), UTE)
    assert refused.value.code == "disclosure.not_a_table"


def test_a_table_that_names_the_person_is_not_anonymous() -> None:
    with pytest.raises(Refused) as refused:
        counted_tables(entries('[{"group": "Ute", "count": 7}]'), UTE)
    assert refused.value.code == "disclosure.identified_payload"


def test_all_other_categories_travel_as_they_are_held() -> None:
    held = {"master_data": {"name": "Ute Beispiel-Öz"}}
    assert fit_to_leave(held, UTE) == held


def partner_of(*happened: Any, body: str = "measure_provider") -> Partner:
    partner = Partner(registered=PARTNERS[body])
    for event in happened:
        partner = partner.apply(event)
    return partner


PARTNERS = {
    body: type(REGISTERED)(**{**vars(REGISTERED), "kind": Kind(body=body, domain=domain)})
    for body, domain in (("measure_provider", "provider"), ("pension_insurer", "sgb_vi"))
}


@pytest.mark.parametrize(
    ("partner", "lacking"),
    [
        (partner_of(), ("commit_private_recipient_staff", "separate_medical_channel")),
        (partner_of(COMMITTED), ("separate_medical_channel",)),
        (partner_of(COMMITTED, MEDICAL), ()),
        (partner_of(MEDICAL, body="pension_insurer"), ()),
        (partner_of(body="pension_insurer"), ("separate_medical_channel",)),
    ],
)
def test_what_a_partner_lacks_cannot_be_kept_towards_it(partner: Partner, lacking: tuple[str, ...]) -> None:
    assert unable(partner) == lacking


def test_only_where_the_channel_is_separate_the_medical_service_has_the_key() -> None:
    partner = partner_of(MEDICAL)
    assert key_for(partner, ["separate_medical_channel"]) == MEDICAL.encryption_key
    assert key_for(partner, ["minimise"]) == REGISTERED.encryption_key


def test_a_commitment_is_recorded_once_and_a_new_text_replaces_it() -> None:
    committed = given(Partner(), REGISTERED).when(lambda p: p.commit(COMMIT, TODAY)).then(COMMITTED)
    committed.when(lambda p: p.commit(COMMIT, TODAY)).then()
    newer = RecordCommitment(partner_id="drv", on=TODAY, text_version="2")
    committed.when(lambda p: p.commit(newer, TODAY)).then(CommitmentRecorded(on=TODAY, text_version="2"))


def test_a_commitment_of_tomorrow_is_none() -> None:
    with pytest.raises(Invalid):
        Partner(registered=REGISTERED).commit(COMMIT, date(2026, 3, 1))


def test_a_medical_key_comes_with_the_registration_or_later_and_does_not_change() -> None:
    wanted = type(WANTED)(**{**vars(WANTED), "medical_encryption_key": MEDICAL.encryption_key})
    given(Partner()).when(lambda p: p.register(wanted)).then(REGISTERED, MEDICAL)
    later = given(Partner(), REGISTERED).when(lambda p: p.register(wanted)).then(MEDICAL)
    later.when(lambda p: p.register(wanted)).then()
    later.when(lambda p: p.register(WANTED)).then()
    other = type(WANTED)(**{**vars(WANTED), "medical_encryption_key": {**MEDICAL.encryption_key, "kid": "new"}})
    later.refused(lambda p: p.register(other), "partner.already_registered")


def test_what_the_sender_cannot_keep_counts_as_not_installed() -> None:
    asked = question("master_data", unable=("separate_medical_channel",))
    assert "separate_medical_channel" not in performed(asked, NO_EVIDENCE)
    assert "retention_end_date" not in performed(asked, NO_EVIDENCE)
    assert erase_by(NO_EVIDENCE, ()) is None


def wants(partner: PartnerDesk, category: str, content: str, **changed: Any) -> RequestDisclosure:
    person_id = partner.workplace.person()
    partner.workplace.entry(person_id, category, content)
    return request_of(person_id, partner, category, **changed)


def nothing_happened(at: Workplace, wanted: RequestDisclosure) -> bool:
    try:
        at.disclosure(wanted.disclosure_id)
    except NotFound:
        return at.leaves() == []
    return False


def test_an_identified_case_never_reaches_the_advisor(jobcenter: Workplace) -> None:
    advisor = jobcenter.partner("child_protection_advisor", "sgb_viii")
    asked = {"purpose": "child_protection_advice"}
    named = wants(advisor, "pseudonymised_case_data", "Ute braucht Hilfe", **asked)
    with pytest.raises(Refused) as refused:
        jobcenter.request(named)
    assert refused.value.code == "disclosure.identified_payload"
    assert nothing_happened(jobcenter, named)
    pseudonymous = wants(advisor, "pseudonymised_case_data", "Kind A, 7 Jahre", **asked)
    assert jobcenter.request(pseudonymous).state is State.PERMITTED


def test_the_reporter_gets_exactly_two_answers(platform: LocalPlatform) -> None:
    youth_office = Workplace.of(platform, "youth_office", "sgb_viii")
    reporter = youth_office.partner("jobcenter", "sgb_ii")
    facts = {**STATED, "recipient_was_reporter": True, "staff_is_kkg_person": True, "informed_beforehand": True}
    asked = {"purpose": "child_protection_feedback", "facts": facts}
    with pytest.raises(Refused):
        youth_office.request(wants(reporter, "child_protection_feedback", "Alles gut, wir waren da", **asked))
    limited = wants(reporter, "child_protection_feedback", '{"confirmed": true, "active": true}', **asked)
    assert youth_office.request(limited).state is State.PERMITTED
    (document,) = reporter.documents()
    content = reporter.opened(document).content["child_protection_feedback"]
    assert content == {"confirmed": True, "active": True}


def test_small_cells_never_leave(jobcenter: Workplace) -> None:
    partner = jobcenter.partner("evaluator", "research")
    asked = {"purpose": "planning_statistics", "facts": {**STATED, "reidentification_excluded": True}}
    with pytest.raises(Refused):
        jobcenter.request(wants(partner, "anonymous_data", '[{"count": 3}]', **asked))
    assert jobcenter.request(wants(partner, "anonymous_data", '[{"count": 30}]', **asked)).state is State.PERMITTED


MEASURE = {"purpose": "measure_assignment", "facts": {**STATED, "commissioned_for_task": True}}


def commit(partner: PartnerDesk) -> Receipt:
    signed = RecordCommitment(partner_id=partner.partner_id, on=TODAY, text_version="2026-1")
    return partner.workplace.ask("exchange", "record_commitment", signed, Receipt, role="operator")


def test_a_private_recipient_gets_nothing_before_its_staff_is_committed(jobcenter: Workplace) -> None:
    provider = jobcenter.partner("measure_provider", "provider")
    denied = jobcenter.request(wants(provider, "cooperation_plan", "Auszug", **MEASURE))
    assert denied.state is State.DENIED
    assert "Belehrung der Beschäftigten" in denied.answer
    assert commit(provider).version == commit(provider).version == 2
    assert jobcenter.request(wants(provider, "cooperation_plan", "Auszug", **MEASURE)).state is State.PERMITTED
    (document,) = provider.documents()
    assert "commit_private_recipient_staff" in [each["id"] for each in document["obligations"]]
    question_ = PartnerQuestion(partner_id=provider.partner_id)
    known = jobcenter.ask("exchange", "partner", question_, PartnerView, role="operator")
    assert (known.committed_on, known.commitment_text) == (TODAY, "2026-1")


def test_an_undertaking_is_looked_up_and_cannot_be_stated(jobcenter: Workplace) -> None:
    provider = jobcenter.partner("measure_provider", "provider")
    facts = {**MEASURE["facts"], "requested_by_private_recipient": True}  # type: ignore[dict-item]
    stated = {"purpose": "measure_assignment", "facts": {**facts, "undertaking_78_given": True}}
    with pytest.raises(Invalid) as refused:
        jobcenter.request(wants(provider, "cooperation_plan", "x", **stated))
    assert [problem.pointer for problem in refused.value.problems] == ["/facts/undertaking_78_given"]
    asked = {"purpose": "measure_assignment", "facts": facts}
    denied = jobcenter.request(wants(provider, "cooperation_plan", "x", **asked))
    assert denied.ruling
    assert ("undertaking_78_given",) in denied.ruling.categories[0].missing
    commit(provider)
    assert jobcenter.request(wants(provider, "cooperation_plan", "x", **asked)).state is State.PERMITTED


def test_a_commitment_of_an_unknown_partner_is_not_recorded(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound):
        commit(PartnerDesk(jobcenter, fresh("partner")))


def commission(partner: PartnerDesk) -> DisclosureView:
    facts = {**STATED, "expertise_commissioned": True}
    return partner.workplace.request(
        wants(partner, "status_milestone", "seit März", purpose="medical_assessment_request", facts=facts)
    )


def test_what_is_for_the_medical_service_is_sealed_to_its_own_key_or_stays(jobcenter: Workplace) -> None:
    without = jobcenter.partner("ba_medical_service", "sgb_iii")
    denied = commission(without)
    assert denied.state is State.DENIED
    assert "getrennter Kanal" in denied.answer
    doctors = jobcenter.partner("ba_medical_service", "sgb_iii", medical=True)
    assert commission(doctors).state is State.PERMITTED
    (document,) = doctors.documents()
    assert doctors.opened(document, by_the_medical_service=True).content
    with pytest.raises((NotProven, Malformed)):
        doctors.opened(document)


def test_the_recipient_learns_by_when_to_erase_what_rests_on_a_consent(jobcenter: Workplace) -> None:
    provider = jobcenter.partner("measure_provider", "provider")
    for valid_until, end in ((date(2026, 12, 31), "2026-12-31"), (None, None)):
        wanted = wants(provider, "coaching_content", "Ziel erreicht", purpose="referral")
        terms = {} if valid_until is None else {"valid_until": valid_until}
        jobcenter.consent(wanted.person_id, provider.partner_id, "coaching_content", **terms)
        assert jobcenter.request(wanted).state is State.PERMITTED
        assert jobcenter.request(wanted).state is State.PERMITTED
        document = provider.documents()[-1]
        assert document.get("erase_by") == end
