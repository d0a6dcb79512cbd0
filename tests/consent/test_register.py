"""What the register of the persons' will answers: to the person, and to the audit service as evidence."""

from datetime import date

import pytest

from services.consent.domain.consent import (
    AcceptOffer,
    GiveConsent,
    OfferConsent,
    PauseConsent,
    RefuseConsent,
    ResumeConsent,
)
from services.consent.domain.objection import (
    DecideObjection,
    ObjectToProcessing,
    RaiseObjection,
    RecordObjectionNotice,
    TakeBackObjection,
)
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseForm, WithdrawRelease
from services.consent.domain.terms import Answer, Form, Giver, Offer
from services.consent.queries import (
    ConsentList,
    ConsentQuestion,
    ConsentsQuestion,
    ConsentView,
    Evidence,
    EvidenceQuestion,
    ObjectionQuestion,
    ObjectionView,
    ReleaseQuestion,
    ReleaseView,
    Standing,
    StandingQuestion,
)
from shared.domain import Receipt
from shared.errors import Invalid, NotFound, Refused
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import INFORMED, REFERRAL, Workplace, fresh, terms_of

COACHING = "coaching_content"


def evidence(at: Workplace, person_id: str, partner_id: str, *categories: str, purpose: str = REFERRAL) -> Evidence:
    question = EvidenceQuestion(
        person_id=person_id, partner_id=partner_id, purpose=purpose, categories=categories or (COACHING,)
    )
    return at.ask("consent", "evidence", question, Evidence)


def status(at: Workplace, consent_id: str) -> str:
    return at.ask("consent", "consent", ConsentQuestion(consent_id=consent_id), ConsentView).status.value


def test_a_consent_just_given_is_shown_with_its_status(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING)
    assert status(jobcenter, consent_id) == "given"


def test_a_consent_that_nobody_recorded_is_not_found(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound):
        status(jobcenter, "nowhere")


def test_the_consents_of_a_person_are_those_of_that_person(jobcenter: Workplace) -> None:
    mine = {jobcenter.consent("p-1", "drv", COACHING), jobcenter.refusal("p-1", "kk", COACHING)}
    jobcenter.consent("p-2", "drv", COACHING)
    found = jobcenter.ask("consent", "consents", ConsentsQuestion(person_id="p-1"), ConsentList)
    assert {item.consent_id for item in found.items} == mine


def test_another_agency_sees_nothing_of_it(platform: LocalPlatform, jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING)
    other = Workplace.of(platform)
    with pytest.raises(NotFound):
        status(other, consent_id)
    assert other.ask("consent", "consents", ConsentsQuestion(person_id="p-1"), ConsentList).items == ()
    assert evidence(other, "p-1", "drv").consents == ()


def test_the_same_command_twice_gives_the_same_receipt(jobcenter: Workplace) -> None:
    wanted = GiveConsent(consent_id=fresh("consent"), terms=terms_of("p-1", "drv", COACHING))
    receipts = [jobcenter.ask("consent", "give_consent", wanted, Receipt, command_id="once") for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert receipts[0].version == 1


def test_another_command_for_the_same_consent_is_refused(jobcenter: Workplace) -> None:
    wanted = GiveConsent(consent_id=fresh("consent"), terms=terms_of("p-1", "drv", COACHING))
    jobcenter.ask("consent", "give_consent", wanted, Receipt)
    with pytest.raises(Refused) as refused:
        jobcenter.ask("consent", "give_consent", wanted, Receipt)
    assert refused.value.code == "consent.already_recorded"


def test_a_consent_that_ends_before_it_begins_leaves_nothing_behind(jobcenter: Workplace) -> None:
    wanted = GiveConsent(
        consent_id=fresh("consent"), terms=terms_of("p-1", "drv", COACHING, valid_until=date(2026, 3, 1))
    )
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("consent", "give_consent", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/terms/valid_until"]
    with pytest.raises(NotFound):
        status(jobcenter, wanted.consent_id)


@pytest.mark.parametrize("said", ["give_consent", "refuse_consent"])
def test_nobody_says_yes_or_no_to_a_word_that_the_law_does_not_know(jobcenter: Workplace, said: str) -> None:
    terms = terms_of("p-1", "drv", COACHING, "horoscope", purpose="curiosity")
    kind = GiveConsent if said == "give_consent" else RefuseConsent
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("consent", said, kind(consent_id=fresh("consent"), terms=terms), Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/terms/categories/1", "/terms/purpose"]


def test_a_withdrawal_shows_at_once_and_twice_is_harmless(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING)
    first, second = jobcenter.withdraw(consent_id), jobcenter.withdraw(consent_id)
    assert (first.version, second.version) == (2, 2)
    assert status(jobcenter, consent_id) == "withdrawn"


def test_withdrawing_what_was_never_given_is_accepted_recorded_and_harmless(jobcenter: Workplace) -> None:
    consent_id = fresh("consent")
    assert [jobcenter.withdraw(consent_id).version for _ in range(2)] == [1, 1]
    wanted = GiveConsent(consent_id=consent_id, terms=terms_of("p-1", "drv", COACHING))
    assert jobcenter.ask("consent", "give_consent", wanted, Receipt).version == 2
    assert status(jobcenter, consent_id) == "given"


def test_evidence_shows_the_consent_that_names_the_partner(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING, valid_until=date(2026, 9, 30))
    (found,) = evidence(jobcenter, "p-1", "drv").consents
    assert (found.consent_id, found.status.value, found.valid_until) == (consent_id, "given", date(2026, 9, 30))
    assert (found.informed, found.voluntary, found.categories) == (True, True, (COACHING,))


def test_a_consent_for_another_partner_is_no_evidence(jobcenter: Workplace) -> None:
    jobcenter.consent("p-1", "kk", COACHING)
    assert evidence(jobcenter, "p-1", "drv").consents == ()


def test_a_no_to_one_partner_does_not_bind_another(jobcenter: Workplace) -> None:
    jobcenter.refusal("p-1", "kk", COACHING)
    assert evidence(jobcenter, "p-1", "drv").refused == ()
    assert evidence(jobcenter, "p-1", "kk").refused == (COACHING,)


def test_refused_and_withdrawn_categories_are_told_each_by_itself(jobcenter: Workplace) -> None:
    jobcenter.refusal("p-1", "drv", COACHING)
    jobcenter.withdraw(jobcenter.consent("p-1", "drv", "benefit_data"))
    jobcenter.consent("p-1", "drv", "contact_log")
    asked = (COACHING, "benefit_data", "contact_log", "master_data")
    assert evidence(jobcenter, "p-1", "drv", *asked).refused == (COACHING, "benefit_data")


def test_a_no_for_one_purpose_is_not_a_no_for_another(jobcenter: Workplace) -> None:
    jobcenter.refusal("p-1", "drv", COACHING, purpose="case_conference")
    assert evidence(jobcenter, "p-1", "drv").refused == ()


def test_what_was_withdrawn_and_given_anew_is_no_longer_refused(jobcenter: Workplace) -> None:
    jobcenter.withdraw(jobcenter.consent("p-1", "drv", COACHING))
    assert evidence(jobcenter, "p-1", "drv").refused == (COACHING,)
    jobcenter.consent("p-1", "drv", COACHING)
    told = evidence(jobcenter, "p-1", "drv")
    assert told.refused == ()
    assert [consent.status.value for consent in told.consents] == ["given"]


def test_the_last_word_counts_also_within_one_day(jobcenter: Workplace) -> None:
    said = []
    for word in (jobcenter.refusal, jobcenter.consent, jobcenter.refusal, jobcenter.consent):
        word("p-1", "drv", COACHING)
        said.append(evidence(jobcenter, "p-1", "drv").refused)
    assert said == [(COACHING,), (), (COACHING,), ()]


def test_a_refusal_is_as_old_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = FixedClock()
    with local_platform(tmp_path_factory.mktemp("days"), clock=clock) as platform:
        jobcenter = Workplace.of(platform)
        refused = jobcenter.refusal("p-1", "drv", COACHING)
        clock.move(days=3)
        told = jobcenter.ask("consent", "consent", ConsentQuestion(consent_id=refused), ConsentView)
    assert (told.status.value, told.refused_on) == ("refused", date(2026, 3, 2))


def test_a_pause_is_a_no_as_long_as_it_lasts_and_no_evidence(jobcenter: Workplace) -> None:
    consent_id = jobcenter.consent("p-1", "drv", COACHING)
    jobcenter.ask("consent", "pause_consent", PauseConsent(consent_id=consent_id), Receipt)
    told = evidence(jobcenter, "p-1", "drv")
    assert (told.consents, told.refused) == ((), (COACHING,))
    jobcenter.ask("consent", "resume_consent", ResumeConsent(consent_id=consent_id), Receipt)
    told = evidence(jobcenter, "p-1", "drv")
    assert ([found.consent_id for found in told.consents], told.refused) == ([consent_id], ())


def test_what_a_person_is_asked_is_listed_until_it_is_answered(jobcenter: Workplace) -> None:
    offer = Offer(
        person_id="p-1",
        recipient="drv",
        purpose=REFERRAL,
        categories=(COACHING,),
        information=INFORMED,
        answer_by=date(2026, 3, 9),
    )
    consent_id = fresh("consent")
    jobcenter.ask("consent", "offer_consent", OfferConsent(consent_id=consent_id, offer=offer), Receipt)
    found = jobcenter.ask("consent", "consents", ConsentsQuestion(person_id="p-1"), ConsentList)
    assert ([each.consent_id for each in found.offers], found.items) == ([consent_id], ())
    answer = Answer(form=Form.ELECTRONIC, given_by=(Giver.DATA_SUBJECT,), voluntary=True)
    jobcenter.ask("consent", "accept_offer", AcceptOffer(consent_id=consent_id, answer=answer), Receipt)
    found = jobcenter.ask("consent", "consents", ConsentsQuestion(person_id="p-1"), ConsentList)
    assert ([each.consent_id for each in found.items], found.offers) == ([consent_id], ())


def test_an_objection_to_the_processing_restricts_until_it_is_decided_otherwise(jobcenter: Workplace) -> None:
    person_id, objection_id = fresh("person"), fresh("objection")
    said = ObjectToProcessing(objection_id=objection_id, person_id=person_id, reasons="Gewalt", recipient="drv")
    jobcenter.ask("consent", "object_to_processing", said, Receipt)
    assert evidence(jobcenter, person_id, "drv").restricted
    assert not evidence(jobcenter, person_id, "kk").restricted
    decided = DecideObjection(
        objection_id=objection_id, person_id=person_id, uphold=False, reasons="abgewogen", norm="§ 84 Abs. 5 SGB X"
    )
    jobcenter.ask("consent", "decide_objection", decided, Receipt)
    assert not evidence(jobcenter, person_id, "drv").restricted
    view = jobcenter.ask("consent", "objection", ObjectionQuestion(person_id=person_id), ObjectionView)
    assert [(each.state.value, each.norm) for each in view.processing] == [("rejected", "§ 84 Abs. 5 SGB X")]


def test_objection_and_notice_are_evidence_until_the_objection_is_taken_back(jobcenter: Workplace) -> None:
    person_id = fresh("person")
    seen = []
    for method, command in (
        ("record_objection_notice", RecordObjectionNotice(person_id=person_id)),
        ("raise_objection", RaiseObjection(person_id=person_id)),
        ("take_back_objection", TakeBackObjection(person_id=person_id)),
    ):
        jobcenter.ask("consent", method, command, Receipt)
        told = evidence(jobcenter, person_id, "drv")
        seen.append((told.objection_notice_given, told.objected))
    assert seen == [(True, False), (True, True), (True, False)]


def test_a_release_is_evidence_with_the_professional_it_names(jobcenter: Workplace) -> None:
    release_id, person_id = fresh("release"), fresh("person")
    wanted = GiveRelease(
        release_id=release_id,
        person_id=person_id,
        professional="Dr. Beispiel",
        recipient="drv",
        categories=("medical_report_76",),
        form=ReleaseForm.WRITTEN,
    )
    jobcenter.ask("consent", "give_release", wanted, Receipt)
    (told,) = evidence(jobcenter, person_id, "drv").releases
    assert (told.release_id, told.professional, told.withdrawn_on) == (release_id, "Dr. Beispiel", None)
    assert evidence(jobcenter, person_id, "kk").releases == ()
    jobcenter.ask("consent", "withdraw_release", WithdrawRelease(release_id=release_id), Receipt)
    (told,) = evidence(jobcenter, person_id, "drv").releases
    assert told.withdrawn_on == date(2026, 3, 2)
    assert not jobcenter.ask("consent", "release", ReleaseQuestion(release_id=release_id), ReleaseView).stands


def test_a_release_for_an_unknown_category_is_refused_by_its_place(jobcenter: Workplace) -> None:
    wanted = GiveRelease(
        release_id=fresh("release"),
        person_id="p-1",
        professional="Dr. Beispiel",
        recipient="drv",
        categories=("horoscope",),
        form=ReleaseForm.WRITTEN,
    )
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("consent", "give_release", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/categories/0"]


def test_standing_names_what_no_longer_stands_or_never_did(jobcenter: Workplace) -> None:
    good, gone = jobcenter.consent("p-1", "drv", COACHING), jobcenter.consent("p-1", "drv", COACHING)
    jobcenter.withdraw(gone)
    question = StandingQuestion(ids=(good, gone, "never"))
    assert jobcenter.ask("consent", "standing", question, Standing).fallen == (gone, "never")


def test_the_status_is_that_of_the_legal_day_on_which_it_is_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = FixedClock()
    with local_platform(tmp_path_factory.mktemp("days"), clock=clock) as platform:
        jobcenter = Workplace.of(platform)
        first, last = date(2026, 3, 3), date(2026, 3, 4)
        consent_id = jobcenter.consent("p-1", "drv", COACHING, valid_from=first, valid_until=last)
        seen = []
        for _ in range(4):
            seen.append(status(jobcenter, consent_id))
            clock.move(days=1)
    assert seen == ["not_yet", "given", "given", "expired"]
