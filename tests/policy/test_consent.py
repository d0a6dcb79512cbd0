from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.policy import ConsentRecord, ResearchApproval, SecrecyRelease, present_law
from shared.policy.consent import (
    Where,
    approval_coverage,
    consent_coverage,
    names_a_person,
    refused_or_withdrawn,
    release_coverage,
    shortfalls,
)

DAY = date(2026, 5, 4)
WORDS = present_law().vocabulary
PLAN = Where("jobcenter", "cooperation_plan", "case_conference", DAY)
HEALTH = replace(PLAN, category="health_data")
ENTRUSTED = replace(PLAN, category="entrusted_youth_data_65")
THIRD = replace(PLAN, category="third_party_data")
ADULT = {"minor": False, "age": None}
DAY_BEFORE = DAY - timedelta(days=1)

CONSENT = ConsentRecord(
    status="given",
    given_on=DAY - timedelta(days=7),
    valid_until=DAY + timedelta(days=30),
    form="written",
    given_by=("data_subject",),
    recipients=("jobcenter",),
    categories=("cooperation_plan", "health_data", "entrusted_youth_data_65", "third_party_data"),
    purposes=("case_conference",),
    informed_67b_2=True,
    voluntary=True,
    id="c-1",
)
RELEASE = SecrecyRelease(
    status="given",
    given_on=DAY - timedelta(days=7),
    form="written",
    given_by=("data_subject",),
    professionals=("Dr. A., Hausärztin",),
    recipients=("jobcenter",),
    categories=("medical_report_76",),
    id="r-1",
)


def covers(record, where=PLAN, facts=ADULT, **options):
    return consent_coverage((record,), where, facts, WORDS, **options).truth


def test_a_consent_that_meets_every_test_covers_and_is_named():
    found = consent_coverage((CONSENT,), PLAN, ADULT, WORDS)
    assert found.truth is True
    assert found.ids == ("c-1",)


def test_a_consent_without_an_id_is_named_by_its_place():
    assert consent_coverage((replace(CONSENT, id=""),), PLAN, ADULT, WORDS).ids == ("consents/0",)


@pytest.mark.parametrize(
    "change",
    [
        {"given_on": DAY + timedelta(days=1)},
        {"given_on": None},
        {"status": "refused"},
        {"status": "withdrawn"},
        {"status": "withdrawn", "withdrawn_on": DAY},
        {"status": "given", "withdrawn_on": DAY_BEFORE},
        {"valid_until": DAY_BEFORE},
        {"recipients": ("pension_insurer",)},
        {"recipients": ("any",)},
        {"recipients": ("@section35_bodies",)},
        {"categories": ("master_data",)},
        {"purposes": ("referral",)},
        {"informed_67b_2": False},
        {"voluntary": False},
        {"form": "oral"},
        {"form": "implied"},
        {"form": ""},
        {"given_by": ()},
        {"given_by": ("legal_guardian",)},
        {"given_by": ("third_party",)},
    ],
)
def test_a_consent_that_fails_one_test_covers_nothing(change):
    assert covers(replace(CONSENT, **change)) is False


@pytest.mark.parametrize(
    "change", [{"given_on": DAY}, {"valid_until": DAY}, {"valid_until": None}, {"form": "electronic"}]
)
def test_the_first_and_the_last_day_count(change):
    assert covers(replace(CONSENT, **change)) is True


def test_a_withdrawal_works_for_the_future_only():
    withdrawn = replace(CONSENT, status="withdrawn", withdrawn_on=DAY + timedelta(days=1))
    assert covers(withdrawn) is True
    assert covers(withdrawn, replace(PLAN, day=DAY + timedelta(days=1))) is False


def test_documented_oral_consent_is_enough_for_general_data_only():
    oral = replace(CONSENT, form="oral_documented", purposes=("case_conference", "care_transition"))
    assert covers(oral) is True
    assert covers(oral, HEALTH) is False
    assert covers(oral, replace(PLAN, purpose="care_transition")) is False


def test_entrusted_data_need_the_person_who_entrusted_them():
    by_grandmother = replace(CONSENT, given_by=("entrusting_person",))
    assert covers(by_grandmother, ENTRUSTED, of_entrusting_person=True) is True
    assert covers(CONSENT, ENTRUSTED, of_entrusting_person=True) is False


def test_data_about_a_third_person_need_the_third_person():
    assert covers(CONSENT, THIRD) is False
    assert covers(replace(CONSENT, given_by=("third_party",)), THIRD) is True


PERSON, GUARDIAN, BOTH = ("data_subject",), ("legal_guardian",), ("data_subject", "legal_guardian")


@pytest.mark.parametrize(
    ("age", "insight", "restricted", "given_by", "expected"),
    [
        (16, True, False, PERSON, True),
        (16, True, False, GUARDIAN, False),
        (16, True, True, PERSON, False),
        (16, True, True, GUARDIAN, False),
        (16, True, True, BOTH, True),
        (16, False, False, PERSON, False),
        (16, False, False, GUARDIAN, True),
        (15, True, False, PERSON, True),
        (14, True, False, PERSON, False),
        (14, True, False, GUARDIAN, False),
        (14, True, False, BOTH, True),
        (14, False, False, GUARDIAN, True),
        (14, False, False, PERSON, False),
        (18, False, False, PERSON, True),
        (18, False, False, GUARDIAN, False),
        (16, None, False, PERSON, None),
        (16, True, None, PERSON, None),
    ],
)
def test_who_consents_for_a_young_person(age, insight, restricted, given_by, expected):
    facts = {"age": age, "minor": age < 18, "insight_capable": insight, "guardian_restriction_36_2": restricted}
    assert covers(replace(CONSENT, given_by=given_by), facts=facts) is expected


def test_a_minor_of_unknown_age_is_treated_as_the_younger():
    facts = {"minor": True, "age": None, "insight_capable": True}
    assert covers(CONSENT, facts=facts) is False
    assert covers(replace(CONSENT, given_by=BOTH), facts=facts) is True


def test_without_age_and_minority_nobody_knows_who_must_consent():
    assert covers(CONSENT, facts={}) is None


def test_a_representative_consents_within_the_proven_scope():
    by_carer = replace(CONSENT, given_by=("authorised_representative",))
    assert covers(by_carer, facts={**ADULT, "representation_covers": True}) is True
    assert covers(by_carer, facts={**ADULT, "representation_covers": False}) is False
    assert covers(by_carer, facts=ADULT) is None


def test_a_young_persons_consent_cites_the_norm_of_capacity():
    facts = {"age": 16, "minor": True, "insight_capable": True, "guardian_restriction_36_2": False}
    assert consent_coverage((CONSENT,), PLAN, facts, WORDS).norms == ("§ 36 Abs. 1 SGB I",)


REPORT = replace(PLAN, category="medical_report_76")


def test_a_release_names_professional_recipient_and_category():
    assert release_coverage((RELEASE,), REPORT, ADULT).ids == ("r-1",)
    for change in (
        {"professionals": ()},
        {"professionals": ("Klinikum Nord",)},
        {"professionals": ("alle Ärzte",)},
        {"recipients": ("pension_insurer",)},
        {"categories": ("health_data",)},
        {"form": "oral_documented"},
        {"status": "withdrawn"},
        {"valid_until": DAY_BEFORE},
        {"given_by": GUARDIAN},
    ):
        assert release_coverage((replace(RELEASE, **change),), REPORT, ADULT).truth is False, change


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dr. A.", True),
        ("Frau B., Suchtberaterin der Beratungsstelle Mitte", True),
        ("Maria Muster", True),
        ("Klinikum Musterstadt", False),
        ("sämtliche Behandler", False),
        ("Praxis am Markt", False),
        (" ", False),
    ],
)
def test_a_release_for_an_institution_names_nobody(name, expected):
    assert names_a_person(name) is expected


@pytest.mark.parametrize(
    ("change", "reason", "norm"),
    [
        ({"status": "refused"}, "not_given", "§ 67b Abs. 2 SGB X"),
        ({"given_on": DAY + timedelta(days=1)}, "too_late", "§ 67b Abs. 2 SGB X"),
        ({"withdrawn_on": DAY}, "withdrawn", "Art. 7 Abs. 3 DSGVO"),
        ({"valid_until": DAY_BEFORE}, "run_out", "Art. 7 Abs. 3 DSGVO"),
        ({"recipients": ("any",)}, "recipient", "Art. 4 Nr. 11 DSGVO"),
        ({"categories": ("master_data",)}, "category", "Art. 4 Nr. 11 DSGVO"),
        ({"purposes": ("referral",)}, "purpose", "Art. 4 Nr. 11 DSGVO"),
        ({"informed_67b_2": False}, "not_informed", "§ 67b Abs. 2 Satz 3 SGB X"),
        ({"voluntary": False}, "not_voluntary", "Art. 7 Abs. 4 DSGVO"),
        ({"form": "oral"}, "form", "§ 67b Abs. 2 Satz 1, 2 SGB X"),
        ({"given_by": ("legal_guardian",)}, "giver", "§ 36 Abs. 1, 2 SGB I"),
    ],
)
def test_what_a_consent_lacks_is_named_with_its_norm(change, reason, norm):
    found = shortfalls((CONSENT, replace(CONSENT, id="c-2", **change)), (), PLAN, ADULT, WORDS)
    assert [(each.record, each.reason, each.norm) for each in found] == [("c-2", reason, norm)]


def test_what_other_persons_would_have_to_declare_is_named_too():
    entrusted = replace(CONSENT, given_by=("entrusting_person",))
    assert [each.reason for each in shortfalls((CONSENT,), (), ENTRUSTED, ADULT, WORDS)] == ["entrusting_person"]
    assert not shortfalls((entrusted,), (), ENTRUSTED, ADULT, WORDS)
    assert [each.reason for each in shortfalls((CONSENT,), (), THIRD, ADULT, WORDS)] == ["third_person"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"professionals": ("Klinikum Nord",)}, "no_person"),
        ({"recipients": ("pension_insurer",)}, "recipient"),
        ({"categories": ("health_data",)}, "category"),
        ({"withdrawn_on": DAY}, "withdrawn"),
        ({"form": "oral"}, "form"),
        ({"given_by": ("third_party",)}, "giver"),
    ],
)
def test_what_a_release_lacks_is_named(change, reason):
    report = replace(PLAN, category="medical_report_76")
    found = shortfalls((), (RELEASE, replace(RELEASE, id="", **change)), report, ADULT, WORDS)
    assert [(each.record, each.reason) for each in found] == [("secrecy_releases/1", reason)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alle Ärzte der Praxis Dr. B.", False),
        ("Suchtberatung Nordstadt", False),
        ("Gesundheitsamt", False),
        ("Reha-Team", False),
        ("any treating doctor", False),
        ("Praxis Dr. B.", True),
        ("M. Yilmaz, Suchtberaterin", True),
        ("Frau C., Klinikum Nord", True),
    ],
)
def test_a_release_names_somebody_not_everybody(name, expected):
    assert names_a_person(name) is expected


def test_an_approval_covers_what_it_names_until_its_end():
    where = Where("evaluator", "benefit_data", "evaluation_research", DAY)
    approval = ResearchApproval(recipients=("evaluator",), categories=("benefit_data",), valid_until=DAY)
    assert approval_coverage(approval, where).truth is True
    assert approval_coverage(None, where).truth is False
    for change in (
        {"valid_until": DAY_BEFORE},
        {"valid_until": None},
        {"recipients": ("employer",)},
        {"categories": ("health_data",)},
        {"approved_on": DAY + timedelta(days=1)},
    ):
        assert approval_coverage(replace(approval, **change), where).truth is False, change


def test_the_last_word_of_the_person_counts():
    refused = replace(CONSENT, status="refused", given_on=DAY_BEFORE)
    anew = replace(CONSENT, given_on=DAY)
    assert refused_or_withdrawn((CONSENT, refused), PLAN)
    assert not refused_or_withdrawn((refused, anew), PLAN)
    assert not refused_or_withdrawn((refused,), replace(PLAN, recipient="employer"))
