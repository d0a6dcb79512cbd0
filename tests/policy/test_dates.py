"""The law of the day decides: two days around a change give two answers, each with the norm that carries it."""

from datetime import date, timedelta

import pytest

from shared.policy import ConsentRecord, Party, Request, decide, explain, present_law
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


PLAN_BY_DAY = [
    ("2018-05-25", "Eingliederungsvereinbarung (Auszug)", "§ 15 SGB II (Fassung bis 30.6.2023)", "secondary"),
    ("2023-06-30", "Eingliederungsvereinbarung (Auszug)", "§ 15 SGB II (Fassung bis 30.6.2023)", "secondary"),
    ("2023-07-01", "Kooperationsplan (Auszug)", "§ 15 SGB II (Fassung ab 1.7.2023)", "text"),
    ("2026-06-30", "Kooperationsplan (Auszug)", "§ 15 SGB II (Fassung ab 1.7.2023)", "text"),
    ("2026-07-01", "Kooperationsplan (Auszug)", "§ 15 SGB II (Fassung ab 1.7.2026)", "secondary"),
]


@pytest.mark.parametrize(("day", "name", "norm", "certainty"), PLAN_BY_DAY)
def test_the_plan_is_cited_and_called_as_on_the_day_and_passes_between_carriers_on_every_one(
    day, name, norm, certainty
):
    decision = answer(day, "employment_agency", "cooperation_plan_coordination", necessary=True)
    item = decision.categories[0]
    assert item.permitted
    assert item.rules == ("sgb10-69-1-1", "sgb2-50-1")
    assert [cited for cited in item.basis if covered(cited, ("§ 15 SGB II",))] == [norm]
    said = {each["norm"]: each for each in decision.to_json()["versions"]}["§ 15 SGB II"]
    assert (said["cited"], said["certainty"][0]) == (norm, certainty)
    for audience in ("case_worker", "auditor"):
        text = explain(decision, audience)
        assert f"{name}: zulässig" in text
        assert norm in text.splitlines()[0]
        assert ("wurde nicht gelesen" in text) == (day >= "2026-07-01")


def test_a_refusal_does_not_rest_on_the_norm_of_the_plan_but_tells_its_version():
    decision = answer("2026-07-01", "employment_agency", "cooperation_plan_coordination")
    item = decision.categories[0]
    assert not item.permitted
    assert not any(covered(norm, ("§ 15 SGB II",)) for norm in item.basis)
    assert decision.cites("§ 15 SGB II")
    assert "§ 15 SGB II (Fassung ab 1.7.2026)" in explain(decision)


@pytest.mark.parametrize("rule", [rule for rule in LAW.rules if rule.norm.endswith("SGB II")], ids=lambda r: r.id)
def test_no_rule_led_by_the_sgb_ii_is_certain_by_its_text_after_june_2026(rule):
    assert "text" not in LAW.certainty(rule, date(2026, 7, 1))
    assert LAW.certainty(rule, date(2026, 6, 30)) == rule.certainty or rule.valid_until == date(2026, 7, 1)


def test_rules_of_other_statutes_stay_as_certain_as_they_were():
    rule = LAW.versions("sgb10-69-1-1")[0]
    assert LAW.certainty(rule, date(2026, 7, 1)) == rule.certainty == ("text",)


SWITCHES = [
    # section G: day of the change, rule, what the day before says, what the day itself says
    ("2018-05-25", "sgb1-35-1", None, "§ 35 Abs. 1 Satz 1, Abs. 2 SGB I"),
    ("2019-11-26", "sgb10-76-2-1a", None, "§ 76 Abs. 2 Nr. 1a SGB X"),
    ("2020-07-01", "sgb10-76-2-objection", "§ 76 Abs. 3 SGB X (Fassung bis 30.6.2020)", "§ 76 Abs. 3 SGB X"),
    ("2020-10-20", "sgb5-335", None, "§ 335 Abs. 1, 2 SGB V"),
    ("2021-06-10", "sgb10-71-1-6", None, "§ 71 Abs. 1 Satz 6 SGB X"),
    ("2021-06-10", "kkg-4-4", None, "§ 4 Abs. 4 KKG"),
    ("2021-06-10", "sgb8-8a-6", "§ 8a Abs. 5 SGB VIII (Fassung bis 9.6.2021)", "§ 8a Abs. 6 SGB VIII"),
    ("2021-07-01", "sgb5-277-1", "§ 277 Abs. 1 Satz 1 SGB V (Fassung vor Juli 2021)", "§ 277 Abs. 1 Satz 1 SGB V"),
    ("2022-01-01", "sgb9-19-1-2", None, "§ 19 Abs. 1 Satz 2, Abs. 2 Satz 2 Nr. 12 SGB IX"),
    ("2023-01-01", "sgb2-61-2-2", None, "§ 61 Abs. 2 Satz 2 Nr. 2 SGB II"),
    ("2023-01-01", "sgb10-13-1", "§ 1902 BGB (Fassung bis 31.12.2022)", "§ 1823 BGB"),
    ("2023-07-01", "sgb2-15a-1", None, "§ 15a Abs. 1 SGB II (Fassung ab 1.7.2023)"),
    ("2023-07-01", "sgb2-16k-4", None, "§ 16k Abs. 4 SGB II"),
    ("2026-01-01", "sgb6-13a-2", None, "§ 13a Abs. 2 SGB VI"),
    ("2026-07-01", "sgb2-15a-1", "§ 15a Abs. 1 SGB II (Fassung ab 1.7.2023)", None),
]


@pytest.mark.parametrize(("day", "rule", "before", "since"), SWITCHES)
def test_every_switch_of_the_rule_book_falls_on_its_day(day, rule, before, since):
    day = date.fromisoformat(day)
    for when, expected in ((day - timedelta(days=1), before), (day, since)):
        cited = [norm for version in LAW.versions(rule) if version.in_force(when) for norm in LAW.cited(version, when)]
        assert bool(cited) == (expected is not None)
        assert expected is None or expected in cited
        other = since if expected == before else before
        assert other is None or expected is None or other not in cited


def test_a_day_before_the_law_begins_is_refused_and_said_so():
    decision = answer("2018-05-24", "employment_agency", "cooperation_plan_coordination", necessary=True)
    assert not decision.permitted
    assert "sie beginnen am 25.05.2018" in explain(decision)
