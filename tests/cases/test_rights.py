"""The rights of data subjects as cases: each with a last day, an owner, reminders and an end."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.cases.copies import CopyPage, CopyQuestion
from services.cases.domain.person import LiftRestriction, Person
from services.cases.domain.rights_request import (
    AssignRequest,
    ExtendRequest,
    Outcome,
    RequestRight,
    Right,
    RightsRequest,
    Stage,
)
from services.cases.queries import PersonQuestion, PersonView
from services.cases.rights import remind
from services.cases.rights_views import AnswerRight, RightPage, RightQuestion, RightsQuestion, RightView
from services.exchange.domain.disclosure import State
from services.health.copies import CopyPage as HealthPage
from services.health.copies import CopyQuestion as HealthQuestion
from shared.domain import Json, Receipt, known
from shared.errors import Invalid, NotFound, Refused
from tests.support.clock import NOON, FixedClock
from tests.support.workplace import Workplace, fresh, request_of

CHECKED: Json = {"identity_verified": True, "access_exception_83": False}


def ask_for(office: Workplace, person_id: str, right: Right, *, role: str = "case_worker", **more: Any) -> str:
    request_id = fresh("request")
    wanted = RequestRight(request_id=request_id, person_id=person_id, right=right, **more)
    office.ask("cases", "request_right", wanted, Receipt, role=role)
    return request_id


def answer(office: Workplace, request_id: str, outcome: Outcome, **stated: Any) -> RightView:
    person_id = shown(office, request_id).person_id
    said = AnswerRight(request_id=request_id, person_id=person_id, outcome=outcome, by="beck", **stated)
    office.ask("cases", "answer_right", said, Receipt)
    return shown(office, request_id)


def shown(office: Workplace, request_id: str, role: str = "case_worker") -> RightView:
    return office.ask("cases", "right", RightQuestion(request_id=request_id), RightView, role=role)


def copied(office: Workplace, person_id: str, *categories: str, **more: Any) -> list[Json]:
    question = CopyQuestion(person_id=person_id, categories=categories, **more)
    page = office.ask("cases", "copy", question, CopyPage)
    health = HealthQuestion(person_id=person_id, categories=categories, **more)
    other = office.ask("health", "copy", health, HealthPage)
    return [*known(page.content, {})["records"], *known(other.content, {})["records"]]


def test_a_request_has_a_last_day_from_its_receipt_and_an_owner(jobcenter: Workplace) -> None:
    request_id = ask_for(jobcenter, jobcenter.person(), Right.ACCESS, wish="alles", received_on=date(2026, 1, 31))
    jobcenter.ask("cases", "assign_request", AssignRequest(request_id=request_id, owner="clausen"), Receipt)
    found = shown(jobcenter, request_id)
    assert (found.due_on, found.owner, found.norm, found.overdue) == (
        date(2026, 3, 2),
        "clausen",
        "Art. 12 Abs. 3 DSGVO",
        False,
    )
    mine = jobcenter.ask("cases", "rights", RightsQuestion(owner="clausen", only_open=True), RightPage)
    assert [each.request_id for each in mine.items] == [request_id]


def test_the_same_request_again_changes_nothing_and_another_one_under_its_id_is_refused(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.ACCESS)
    wanted = RequestRight(request_id=request_id, person_id=person_id, right=Right.ACCESS)
    jobcenter.ask("cases", "request_right", wanted, Receipt)
    assert shown(jobcenter, request_id).version == 1
    with pytest.raises(Refused, match=r"rights.id_taken"):
        jobcenter.ask("cases", "request_right", replace(wanted, right=Right.ERASURE), Receipt)


def test_a_request_about_nobody_and_one_from_tomorrow_are_named_as_such(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound, match=r"rights.person_unknown"):
        ask_for(jobcenter, "nobody", Right.ACCESS)
    with pytest.raises(Invalid, match=r"rights.invalid") as refused:
        ask_for(jobcenter, jobcenter.person(), Right.ACCESS, received_on=date(2026, 3, 3))
    assert refused.value.problems[0].pointer == "/received_on"


def test_an_extension_has_reasons_comes_in_the_first_month_and_only_once(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.ACCESS, received_on=date(2026, 2, 10))
    asked = ExtendRequest(request_id=request_id, person_id=person_id, reasons="")
    with pytest.raises(Invalid, match=r"rights.reasons_missing"):
        jobcenter.ask("cases", "extend_request", asked, Receipt)
    reasoned = replace(asked, reasons="die Akte liegt an drei Stellen")
    for _ in range(2):
        jobcenter.ask("cases", "extend_request", reasoned, Receipt)
    assert shown(jobcenter, request_id).due_on == date(2026, 5, 11)
    late = ask_for(jobcenter, person_id, Right.ACCESS, received_on=date(2026, 1, 5))
    with pytest.raises(Refused, match=r"rights.extension_too_late"):
        jobcenter.ask("cases", "extend_request", replace(reasoned, request_id=late), Receipt)
    assert shown(jobcenter, late).overdue


def test_the_owner_is_reminded_once_for_each_stage(jobcenter: Workplace) -> None:
    request_id = ask_for(jobcenter, jobcenter.person(), Right.ACCESS)
    store = jobcenter.platform.contexts["cases"].store.agency(jobcenter.agency)
    day = NOON.date()
    while day <= date(2026, 4, 12):
        for _ in range(2):
            remind(store, request_id, day)
        day += timedelta(days=1)
    assert [(each.stage, each.on) for each in shown(jobcenter, request_id).reminders] == [
        (Stage.DUE_SOON, date(2026, 3, 19)),
        (Stage.DUE_SOON, date(2026, 3, 30)),
        (Stage.DUE_NOW, date(2026, 4, 2)),
        (Stage.OVERDUE, date(2026, 4, 3)),
    ]
    assert shown(jobcenter, request_id, role="citizen").reminders == ()


@pytest.mark.parametrize(
    ("right", "outcome"),
    [
        (Right.ACCESS, Outcome.RESTRICTED),
        (Right.RECTIFICATION, Outcome.PARTLY_GRANTED),
        (Right.PORTABILITY, Outcome.CONTESTED),
    ],
)
def test_a_request_cannot_end_in_a_way_its_right_does_not_know(
    jobcenter: Workplace, right: Right, outcome: Outcome
) -> None:
    request_id = ask_for(jobcenter, jobcenter.person(), right)
    with pytest.raises(Invalid, match=r"rights.outcome_impossible"):
        answer(jobcenter, request_id, outcome, reasons="weil")


def test_a_refusal_gives_reasons_and_is_final(jobcenter: Workplace) -> None:
    request_id = ask_for(jobcenter, jobcenter.person(), Right.ACCESS)
    with pytest.raises(Invalid, match=r"rights.reasons_missing"):
        answer(jobcenter, request_id, Outcome.REFUSED)
    found = answer(jobcenter, request_id, Outcome.REFUSED, reasons="offenkundig unbegründet, Art. 12 Abs. 5 DSGVO")
    assert found.answer is not None
    assert found.answer.outcome is Outcome.REFUSED
    with pytest.raises(Refused, match=r"rights.already_answered"):
        answer(jobcenter, request_id, Outcome.GRANTED, **CHECKED)


def test_an_access_opens_what_the_law_opens_and_stands_in_the_log_before(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "contact_log", "am Telefon")
    jobcenter.entry(person_id, "third_party_data", "die Schwester zahlt die Miete")
    jobcenter.finding(person_id, "medical_report_76", "Befund")
    request_id = ask_for(jobcenter, person_id, Right.ACCESS)
    with pytest.raises(Refused, match=r"rights.access_not_open"):
        answer(jobcenter, request_id, Outcome.GRANTED)
    assert shown(jobcenter, request_id).answer is None
    again = ask_for(jobcenter, person_id, Right.ACCESS)
    found = answer(jobcenter, again, Outcome.GRANTED, **CHECKED)
    assert found.answer is not None
    assert found.answer.outcome is Outcome.PARTLY_GRANTED
    assert found.answer.closed == ("third_party_data",)
    assert set(found.answer.opened) == {"master_data", "contact_data", "contact_log", "medical_report_76"}
    leaf = next(each for each in jobcenter.leaves() if each["decision"] == "permit")
    assert (leaf["recipient"], leaf["purpose"]) == ("data_subject", "data_subject_access")
    texts = [record.get("text") for record in copied(jobcenter, person_id, *found.answer.opened)]
    assert "am Telefon" in texts
    assert "Befund" in texts
    assert "die Schwester zahlt die Miete" not in texts
    assert shown(jobcenter, again, role="citizen").answer.closed == ()  # type: ignore[union-attr]


def test_third_persons_open_only_where_somebody_weighed_their_interests(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "third_party_data", "die Schwester zahlt die Miete")
    request_id = ask_for(jobcenter, person_id, Right.ACCESS)
    found = answer(jobcenter, request_id, Outcome.GRANTED, third_party_interests_override=False, **CHECKED)
    assert found.answer is not None
    assert "third_party_data" in found.answer.opened
    other = ask_for(jobcenter, person_id, Right.ACCESS)
    weighed = answer(jobcenter, other, Outcome.GRANTED, third_party_interests_override=True, **CHECKED)
    assert weighed.answer is not None
    assert weighed.answer.closed == ("third_party_data",)


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("person", "person"),
        ("doctor", "doctor"),
        ("pension_insurer", "pension_insurer"),
        ("Nachbarin Frau Krause", "protected"),
        ("household_member", "protected"),
        ("landlord", "protected"),
        ("police", "protected"),
    ],
)
def test_a_source_that_may_be_a_relative_or_a_reporter_is_not_named(
    jobcenter: Workplace, origin: str, named: str
) -> None:
    from services.cases.domain.file_entry import RecordEntry

    person_id = jobcenter.person()
    wanted = RecordEntry(
        entry_id=fresh("entry"), person_id=person_id, category="contact_log", content="…", origin=origin
    )
    jobcenter.ask("cases", "record_entry", wanted, Receipt)
    (record,) = copied(jobcenter, person_id, "contact_log")
    assert record["source"] == named


def test_the_copy_comes_in_pages_that_join_without_gap(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    for number in range(7):
        jobcenter.entry(person_id, "contact_log", f"Eintrag {number}")
    found, after = [], ""
    while True:
        question = CopyQuestion(person_id=person_id, categories=("contact_log", "master_data"), after=after, limit=3)
        page = jobcenter.ask("cases", "copy", question, CopyPage)
        found += [record["id"] for record in known(page.content, {})["records"]]
        assert page.total == 8
        if page.next is None:
            break
        after = page.next
    assert len(found) == len(set(found)) == 8


def test_portability_is_what_the_person_gave(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    jobcenter.entry(person_id, "contact_log", "selbst erzählt")
    jobcenter.finding(person_id, "medical_report_76", "vom Arzt")
    jobcenter.assessment(person_id)
    request_id = ask_for(jobcenter, person_id, Right.PORTABILITY)
    found = answer(jobcenter, request_id, Outcome.GRANTED, **CHECKED)
    assert found.answer is not None
    records = copied(jobcenter, person_id, *found.answer.opened, only_own=True)
    assert {record["kind"] for record in records} == {"person", "entry", "assessment"}


def test_a_rectification_reaches_every_recipient_and_stops_what_waits(jobcenter: Workplace) -> None:
    pension, health = jobcenter.partner(), jobcenter.partner("health_insurer", "sgb_v")
    person_id = jobcenter.person()
    for partner in (pension, health):
        jobcenter.request(request_of(person_id, partner, "master_data"))
    (delivered,) = pension.documents()
    request_id = ask_for(jobcenter, person_id, Right.RECTIFICATION, record="person", wish="ich heiße anders")
    with pytest.raises(Invalid, match=r"rights.invalid"):
        answer(jobcenter, request_id, Outcome.GRANTED)
    answer(jobcenter, request_id, Outcome.GRANTED, corrected={"name": "Ute Neuname"})
    for _ in range(2):
        jobcenter.platform.deliver_messages(from_the_start=True)
    assert jobcenter.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView).name == "Ute Neuname"
    (notice,) = pension.documents(after=1)
    assert (notice["type"], notice["change"], notice["index"]) == (
        "handschlag.notice.v1",
        "rectified",
        pension.receipt(delivered).index,
    )
    pension.receipt(notice)
    pension.acknowledge(pension.signed(notice))
    assert health.documents() == [], "the old name waited and was stopped"


def test_what_cannot_be_settled_goes_only_with_its_note(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    entry_id = jobcenter.entry(person_id, "benefit_data", "zahlt keine Miete")
    request_id = ask_for(jobcenter, person_id, Right.RECTIFICATION, record=f"entry:{entry_id}")
    answer(jobcenter, request_id, Outcome.CONTESTED, reasons="Die Person bestreitet das.")
    jobcenter.request(request_of(person_id, partner, "benefit_data"))
    (document,) = partner.documents()
    (entry,) = partner.opened(document).content["benefit_data"]["entries"]
    assert entry["contested"] == "Die Person bestreitet das."


def test_a_finding_is_rectified_and_an_assessment_only_contested(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    finding_id, assessment_id = jobcenter.finding(person_id, "medical_report_76"), jobcenter.assessment(person_id)
    about_finding = ask_for(jobcenter, person_id, Right.RECTIFICATION, record=f"finding:{finding_id}")
    answer(jobcenter, about_finding, Outcome.GRANTED, corrected={"content": "links, nicht rechts"})
    about_scores = ask_for(jobcenter, person_id, Right.RECTIFICATION, record=f"assessment:{assessment_id}")
    with pytest.raises(Refused, match=r"assessment.not_rewritten"):
        answer(jobcenter, about_scores, Outcome.GRANTED, corrected={"content": "5"})
    answer(jobcenter, about_scores, Outcome.CONTESTED, reasons="so nicht gesagt")
    by_kind = {record["kind"]: record for record in copied(jobcenter, person_id, "medical_report_76", "health_data")}
    assert by_kind["finding"]["text"] == "links, nicht rechts"
    assert by_kind["assessment"]["contested"] == "so nicht gesagt"


def test_restricted_data_are_kept_and_go_nowhere(jobcenter: Workplace) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.RESTRICTION)
    answer(jobcenter, request_id, Outcome.GRANTED)
    found = jobcenter.request(request_of(person_id, partner, "master_data"))
    assert found.state is State.DENIED
    assert found.ruling is not None
    assert "Art. 17 DSGVO" in found.ruling.categories[0].norms
    access = ask_for(jobcenter, person_id, Right.ACCESS)
    opened = answer(jobcenter, access, Outcome.GRANTED, **CHECKED)
    assert opened.answer is not None
    assert opened.answer.outcome is Outcome.GRANTED


def is_restricted(office: Workplace, person_id: str) -> bool:
    return office.ask("cases", "person", PersonQuestion(person_id=person_id), PersonView).restricted


def lift(office: Workplace, person_id: str, informed_on: date, by: str = "beck") -> None:
    wanted = LiftRestriction(person_id=person_id, informed_on=informed_on, by=by)
    office.ask("cases", "lift_restriction", wanted, Receipt)


def test_a_restriction_ends_on_its_day_and_a_new_one_may_follow(jobcenter: Workplace, clock: FixedClock) -> None:
    partner, person_id = jobcenter.partner(), jobcenter.person()
    until = NOON.date() + timedelta(days=30)
    answer(jobcenter, ask_for(jobcenter, person_id, Right.RESTRICTION), Outcome.GRANTED, until=until)
    clock.moment = NOON + timedelta(days=29)
    assert is_restricted(jobcenter, person_id)
    assert jobcenter.request(request_of(person_id, partner, "master_data")).state is State.DENIED
    clock.moment = NOON + timedelta(days=30)
    assert not is_restricted(jobcenter, person_id)
    assert jobcenter.request(request_of(person_id, partner, "master_data")).state is State.PERMITTED
    answer(jobcenter, ask_for(jobcenter, person_id, Right.RESTRICTION), Outcome.GRANTED)
    assert is_restricted(jobcenter, person_id)


def test_a_restriction_is_lifted_after_the_person_was_told(jobcenter: Workplace) -> None:
    """Art. 18 Abs. 3 DSGVO."""
    partner, person_id, today = jobcenter.partner(), jobcenter.person(), NOON.date()
    answer(jobcenter, ask_for(jobcenter, person_id, Right.RESTRICTION), Outcome.GRANTED)
    with pytest.raises(Invalid, match=r"restriction.invalid") as refused:
        lift(jobcenter, person_id, today + timedelta(days=1), by=" ")
    assert [problem.pointer for problem in refused.value.problems] == ["/decided_by", "/informed_on"]
    assert is_restricted(jobcenter, person_id)
    for _ in range(2):
        lift(jobcenter, person_id, today)
    assert not is_restricted(jobcenter, person_id)
    assert jobcenter.request(request_of(person_id, partner, "master_data")).state is State.PERMITTED
    events = jobcenter.platform.contexts["cases"].store.agency(jobcenter.agency).read(Person, person_id)
    assert [type(each.event).__name__ for each in events].count("RestrictionLifted") == 1


def test_nobody_lifts_the_restriction_of_somebody_unknown(jobcenter: Workplace) -> None:
    with pytest.raises(NotFound, match=r"person.unknown"):
        lift(jobcenter, fresh("person"), NOON.date())


def test_an_objection_that_is_granted_stands_in_the_register_of_the_persons_will(jobcenter: Workplace) -> None:
    person_id = jobcenter.person()
    request_id = ask_for(jobcenter, person_id, Right.OBJECTION)
    answer(jobcenter, request_id, Outcome.GRANTED)
    store = jobcenter.platform.contexts["consent"].store.agency(jobcenter.agency)
    from services.consent.domain.objection import Objection

    assert [type(each.event).__name__ for each in store.read(Objection, person_id)] == ["ObjectionRaised"]


def test_a_representative_is_named_beside_the_person_and_sealed_with_a_key_of_their_own(jobcenter: Workplace) -> None:
    person_id, guardian = jobcenter.person(), fresh("person")
    with pytest.raises(Invalid, match=r"rights.invalid"):
        ask_for(jobcenter, person_id, Right.ACCESS, representative="Betreuerin Kranz")
    request_id = ask_for(
        jobcenter, person_id, Right.ACCESS, representative_id=guardian, representative="Betreuerin Kranz"
    )
    with pytest.raises(Refused, match=r"rights.access_not_open"):
        answer(jobcenter, request_id, Outcome.GRANTED, **CHECKED)
    found = answer(jobcenter, request_id, Outcome.GRANTED, representation_covers=True, **CHECKED)
    assert found.answer is not None
    store = jobcenter.platform.contexts["cases"].store.agency(jobcenter.agency)
    assert store.load(RightsRequest, request_id)[0].requested.representative == "Betreuerin Kranz"  # type: ignore[union-attr]
