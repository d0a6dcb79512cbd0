"""Consents from files become consents here: once, undone when they no longer say so, the original kept sealed."""

import json
from datetime import date

import pytest

from services.consent.domain.consent import Status
from services.consent.interchange.importing import original, told
from services.consent.interchange.translation import Directory
from shared.domain import ERASED
from tests.interop.conftest import Desk
from tests.interop.consents import DIRECTORY, actor, consent, provision

NARROWED = {"type": "deny", "period": {"start": "2026-06-01", "end": "2026-06-30"}}


def test_an_imported_consent_stands_like_one_given_here(desk: Desk) -> None:
    (taken,) = desk.take(consent(provision()))
    (consent_id,) = taken.wanted.give
    view = desk.view(consent_id)
    assert (view.status, view.given_on, view.terms.valid_from) == (Status.GIVEN, desk.today, desk.today)
    assert view.terms.person_id == "p-1"
    assert view.terms.proof is not None
    assert view.terms.proof.document == taken.import_id


def test_the_original_is_kept_word_for_word_beside_the_result(desk: Desk) -> None:
    said = consent(provision(), provision(code=[{"text": "Befunde von Ute Beispiel"}]))
    (taken,) = desk.take(said)
    kept = desk.imported(taken.import_id)
    assert original(kept) == said
    assert "fhir.code_unknown" in str(kept.report)


def test_what_was_signed_lies_sealed_in_the_store_and_is_gone_with_the_key_of_the_person(desk: Desk) -> None:
    (taken,) = desk.take(consent(provision(code=[{"text": "Befunde von Ute Beispiel"}])))
    rows = desk.events.rows(0, 100)
    assert not any("Ute" in str(row) or "Patient/1" in str(row) for row in rows)
    desk.events.codec._keys.destroy("jobcenter", "p-1")
    kept = desk.imported(taken.import_id)
    assert (kept.original, kept.report, original(kept)) == (ERASED, ERASED, None)


def test_the_same_file_twice_is_nothing_twice(desk: Desk) -> None:
    first = desk.take(consent(provision()))
    before = len(desk.events.rows(0, 1000))
    (again,) = desk.take(consent(provision()))
    assert again.known_before
    assert again.wanted.give.keys() == first[0].wanted.give.keys()
    assert len(desk.events.rows(0, 1000)) == before


def test_the_same_file_with_a_directory_that_knows_more_adds_what_is_known_by_now(desk: Desk) -> None:
    desk.directory = Directory(persons=DIRECTORY.persons)
    (first,) = desk.take(consent(provision()))
    assert not first.wanted.give
    desk.directory = DIRECTORY
    (second,) = desk.take(consent(provision()))
    (consent_id,) = second.wanted.give
    assert desk.view(consent_id).status is Status.GIVEN
    desk.directory = Directory(persons=DIRECTORY.persons)
    (third,) = desk.take(consent(provision()))
    assert third.known_before
    assert desk.view(consent_id).status is Status.GIVEN


def test_a_consent_moves_to_the_person_whom_the_agency_names(desk: Desk) -> None:
    (first,) = desk.take(consent(provision()))
    desk.directory = Directory(persons={"Patient/1": "p-2"}, recipients=DIRECTORY.recipients, texts=DIRECTORY.texts)
    (second,) = desk.take(consent(provision()))
    assert [desk.view(each).status for each in first.wanted.give] == [Status.WITHDRAWN]
    assert [desk.view(each).terms.person_id for each in second.wanted.give] == ["p-2"]


def test_the_same_consent_twice_in_a_file_is_one(desk: Desk) -> None:
    assert len(desk.take(consent(provision()), consent(provision()))) == 1


def test_a_consent_that_was_withdrawn_elsewhere_is_withdrawn_here(desk: Desk) -> None:
    (first,) = desk.take(consent(provision()))
    (second,) = desk.take(consent(provision(), status="inactive"))
    (consent_id,) = first.wanted.give
    assert second.withdrawn == (consent_id,)
    assert desk.view(consent_id).status is Status.WITHDRAWN
    assert desk.imported(first.import_id).withdrawn == (consent_id,)


def test_a_narrower_text_takes_the_place_of_the_wider_one(desk: Desk) -> None:
    (first,) = desk.take(consent(provision()))
    (second,) = desk.take(consent(provision(provision=[NARROWED])))
    (wide,) = first.wanted.give
    assert desk.view(wide).status is Status.WITHDRAWN
    assert sorted(desk.view(each).status for each in second.wanted.give) == [Status.GIVEN, Status.NOT_YET]


def test_what_did_not_change_stays_untouched(desk: Desk) -> None:
    (first,) = desk.take(consent(provision()))
    (consent_id,) = first.wanted.give
    desk.today = date(2026, 4, 1)
    (second,) = desk.take(consent(provision(), provision(actor=[actor("Organization/aok")])))
    assert len(second.wanted.give) == 2
    assert not second.withdrawn
    assert desk.view(consent_id).given_on == date(2026, 3, 2)


def test_a_withdrawal_here_is_not_undone_by_an_import(desk: Desk) -> None:
    (first,) = desk.take(consent(provision()))
    (consent_id,) = first.wanted.give
    desk.store.change(type(desk.consent(consent_id)), consent_id, lambda c: c.withdraw(desk.today), command_id="w-1")
    (again,) = desk.take(consent(provision(), language="de"))
    assert desk.view(consent_id).status is Status.WITHDRAWN
    assert "import.withdrawn_here" in {gap.code for gap in again.wanted.gaps}


def test_a_refusal_is_recorded_as_carefully_as_a_yes(desk: Desk) -> None:
    (taken,) = desk.take(consent(provision(), status="rejected"))
    (consent_id,) = taken.wanted.refuse
    assert desk.view(consent_id).status is Status.REFUSED


def test_of_two_consents_in_a_file_the_one_that_says_no_counts(desk: Desk) -> None:
    yes, no = desk.take(consent(provision()), consent(provision("deny"), id="c-2"))
    assert not yes.wanted.give
    assert "import.contradiction" in {gap.code for gap in yes.wanted.gaps}
    assert [desk.view(each).status for each in no.wanted.refuse] == [Status.REFUSED]


def test_the_same_consent_with_two_texts_in_a_file_is_a_contradiction_and_neither_counts(desk: Desk) -> None:
    said = [consent(provision()), consent(provision(), status="inactive")]
    (fault,) = desk.faults(*said)
    assert fault.code == "import.contradiction"
    from tests.interop.consents import found

    looked, _ = desk.importing.looked_at([found(each) for each in said])
    assert not looked


def test_a_consent_of_nobody_is_a_fault(desk: Desk) -> None:
    (fault,) = desk.faults(consent(provision(), patient={"display": "Ute Beispiel"}))
    assert (fault.code, "Ute" in fault.detail) == ("import.person_unnamed", False)


def test_the_rules_of_consent_hold_for_imported_ones(desk: Desk) -> None:
    """Third persons' data are given by the third person alone, whatever a file says."""
    third = [{"coding": [{"system": "urn:handschlag:category", "code": "third_party_data"}]}]
    (taken,) = desk.take(consent(provision(code=third)))
    assert not taken.wanted.give
    assert "consent.wrong_giver" in {gap.code for gap in taken.wanted.gaps}


def test_a_person_whom_nobody_named_is_the_same_in_every_file_and_in_no_other_agency(desk: Desk) -> None:
    desk.directory = Directory(recipients=DIRECTORY.recipients, texts=DIRECTORY.texts)
    one = desk.importing.person("Patient/1")
    assert one == desk.importing.person("Patient/1") != desk.importing.person("Patient/2")
    desk.agency = "other"
    assert desk.importing.person("Patient/1") != one


def test_the_report_holds_ids_days_and_codes_and_nothing_that_people_wrote(desk: Desk) -> None:
    said = consent(
        provision(code=[{"text": "Befunde von Ute Beispiel"}], actor=[actor("Practitioner/ute-beispiel")]),
        performer=[{"reference": "RelatedPerson/ute-beispiel", "display": "Ute Beispiel"}],
    )
    (taken,) = desk.take(said)
    assert "ute" not in json.dumps(told(taken)).lower()


@pytest.mark.parametrize("field", ["persons", "recipients", "texts"])
def test_a_directory_is_needed_for_each_kind_of_reference(desk: Desk, field: str) -> None:
    parts = {name: getattr(DIRECTORY, name) for name in ("persons", "recipients", "texts") if name != field}
    desk.directory = Directory(**parts)
    (taken,) = desk.take(consent(provision()))
    assert bool(taken.wanted.give) == (field == "persons")
