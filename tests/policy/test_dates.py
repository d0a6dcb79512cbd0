"""The law of the day decides: two days around a change give two answers, each with the norm that carries it."""

from datetime import date

import pytest

from shared.policy import ConsentRecord, Party, Request, decide, present_law
from shared.policy.citation import covered

LAW = present_law()


def answer(day, recipient, purpose, categories=("cooperation_plan",), consents=(), **facts):
    request = Request(
        day=date.fromisoformat(day),
        sender=Party("jobcenter", "sgb_ii"),
        recipient=Party(recipient, LAW.vocabulary.domain_of[recipient]),
        categories=categories,
        purpose=purpose,
        consents=consents,
        facts={**dict.fromkeys(LAW.vocabulary.facts, False), **facts, "age": 30},
    )
    return decide(LAW, request)


@pytest.mark.parametrize(
    ("day", "permitted"), [("2023-06-30", False), ("2023-07-01", True), ("2026-06-30", True), ("2026-07-01", False)]
)
def test_arbitration_carries_from_july_2023_until_june_2026(day, permitted):
    decision = answer(day, "arbitrator", "arbitration", necessary=True, arbitration_requested=True)
    item = decision.categories[0]
    assert decision.permitted is permitted
    if permitted:
        assert item.rules == ("sgb2-15a-1",)
        assert item.basis[0] == "§ 15a Abs. 1 SGB II (Fassung ab 1.7.2023)"
    else:
        assert item.basis[0] == "§ 35 Abs. 1 Satz 1, Abs. 2 SGB I"
        near = {miss.rule: miss.fails for miss in decision.near_misses["cooperation_plan"]}
        assert near["sgb2-15a-1"] == "day"


@pytest.mark.parametrize(("day", "permitted"), [("2023-06-30", True), ("2023-07-01", False), ("2026-07-01", False)])
def test_a_plan_from_voluntary_support_feeds_no_reduction_since_july_2023(day, permitted):
    """With the person's consent it could before; § 16k Abs. 4 SGB II then bound the data to their purpose."""
    where = {"recipients": ("jobcenter",), "categories": ("cooperation_plan",), "purposes": ("benefit_reduction",)}
    given = {"status": "given", "given_on": date(2023, 6, 1), "form": "written", "given_by": ("data_subject",)}
    consent = ConsentRecord(**given, **where, informed_67b_2=True, voluntary=True, id="c")
    decision = answer(
        day, "jobcenter", "benefit_reduction", participation_voluntary_by_law=True, necessary=True, consents=(consent,)
    )
    item = decision.categories[0]
    assert decision.permitted is permitted
    assert item.basis[0] == ("§ 67b Abs. 2 SGB X" if permitted else "§ 16k Abs. 4 SGB II")
    assert item.rules == (("sgb10-67b-2",) if permitted else ("sgb2-16k-4",))


@pytest.mark.parametrize("day", ["2023-06-30", "2023-07-01", "2026-06-30", "2026-07-01"])
def test_a_plan_goes_to_another_carrier_of_the_task_on_every_one_of_these_days(day):
    """The change of the plan's own law moved no permission between the carriers, and the answer cites none."""
    item = answer(day, "employment_agency", "cooperation_plan_coordination", necessary=True).categories[0]
    assert item.permitted
    assert item.rules == ("sgb10-69-1-1", "sgb2-50-1")
    assert "§ 50 Abs. 1 Satz 1 SGB II" in item.basis
    assert not any(covered(norm, ("§ 15 SGB II", "§ 15a SGB II")) for norm in item.basis)
