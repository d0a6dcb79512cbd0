"""Where the law leaves a question open both readings stand in the rule files; the cautious one is delivered."""

import json

import pytest
from click.testing import CliRunner

from services.command.law import law
from shared.policy import LawError, decide, load, present_law, request_from_json, restore
from shared.policy.cases import read_cases, request_part
from shared.policy.readings import CAUTIOUS
from shared.policy.request import LAW as FOLDER

LAW = present_law()
CONSENT = {
    "status": "given",
    "given_on": "2026-05-01",
    "form": "written",
    "given_by": ["data_subject"],
    "informed_67b_2": True,
    "voluntary": True,
}


def ask(sender, recipient, category, purpose, *, consent=False, release=False, **facts):
    where = {"recipients": [recipient], "categories": [category]}
    if consent:
        facts["consents"] = [{**CONSENT, **where, "purposes": [purpose]}]
    if release:
        known = {key: CONSENT[key] for key in ("status", "given_on", "form", "given_by")}
        facts["secrecy_releases"] = [{**known, **where, "professionals": ["Dr. A."]}]
    return {
        "date": "2026-09-01",
        "sender": {"body": sender},
        "recipient": {"body": recipient},
        "categories": [category],
        "purpose": purpose,
        "facts": facts,
    }


DISPUTED = {
    "f-4": (
        "reaches_counselling",
        ask(
            "addiction_counselling", "jobcenter", "counselling_attendance", "provider_reporting",
            commissioned_for_task=True, necessary=True,
        ),
    ),
    "f-10": (
        "with_release",
        ask(
            "pension_insurer", "health_insurer", "rehab_discharge_report", "recipient_statutory_task",
            consent=True, release=True,
        ),
    ),
    "f-14": (
        "statute_stands",
        ask(
            "jobcenter", "pension_insurer", "benefit_data", "recipient_statutory_task",
            necessary=True, consent_refused_or_withdrawn=True, basis_communicated_was_consent_only=True,
        ),
    ),
    "f-24": (
        "transitional",
        ask("jobcenter", "arbitrator", "cooperation_plan", "arbitration", necessary=True, arbitration_requested=True),
    ),
    "f-30": (
        "if_necessary",
        ask(
            "jobcenter", "measure_provider", "health_data", "measure_assignment",
            commissioned_for_task=True, necessary=True,
        ),
    ),
    "f-35": (
        "consent_opens",
        ask(
            "jobcenter", "measure_provider", "coaching_content", "referral", consent=True, processing_restricted=True
        ),
    ),
}  # fmt: skip


def permitted(rules, request):
    return decide(rules, request_from_json(request, unnamed="no", ruleset=rules)).permitted


def test_the_delivered_law_follows_the_cautious_reading_of_every_open_question():
    assert {asked.chosen for asked in LAW.questions.values()} == {CAUTIOUS}
    assert LAW.questions.keys() == DISPUTED.keys()
    assert all(any(name in names for names in LAW.asked.values()) for name in LAW.questions)


@pytest.mark.parametrize("question", DISPUTED)
def test_the_other_reading_opens_what_the_cautious_one_keeps_closed_and_is_another_law(question):
    reading, request = DISPUTED[question]
    other = load(FOLDER, {question: reading})
    assert not permitted(LAW, request)
    assert permitted(other, request)
    assert other.hash != LAW.hash
    assert load(FOLDER, {question: CAUTIOUS}).hash == LAW.hash
    again = restore(json.loads(json.dumps(other.content)))
    assert again.hash == other.hash
    assert again.questions[question].chosen == reading


@pytest.mark.parametrize("question", DISPUTED)
def test_the_other_reading_changes_no_case_but_those_about_its_question(question):
    other = load(FOLDER, {question: DISPUTED[question][0]})
    depending = {id_ for id_, names in LAW.asked.items() if question in names}
    files = sorted((FOLDER / "cases").glob("*.yaml"))
    cases = [case for file in files for case in read_cases(file.read_text(encoding="utf-8"), file.name)]
    for case in cases:
        before, after = (
            decide(rules, request_from_json(request_part(case), unnamed="no", ruleset=rules)) for rules in (LAW, other)
        )
        if before.permitted != after.permitted:
            assert depending & {rule for item in (*before.categories, *after.categories) for rule in item.rules}


def test_an_unknown_question_or_reading_is_refused_by_name():
    for choice, detail in ({"f-99": "cautious"}, "no open question 'f-99'"), ({"f-4": "mild"}, "'mild' is none of"):
        with pytest.raises(LawError, match=detail):
            load(FOLDER, choice)


def test_a_question_is_shown_with_its_readings_and_the_rules_that_depend_on_it():
    shown = CliRunner().invoke(law, ["explain", "F-24"]).output
    assert "cautious: Nein; die Schlichtung endet am 30.6.2026. (so entscheidet diese Installation)" in shown
    assert "Davon hängen ab: sgb2-15a-1" in shown
    assert "Offene Frage F-24" in CliRunner().invoke(law, ["explain", "sgb2-15a-1"]).output


def test_another_reading_can_be_tried_without_changing_a_file():
    def run(*arguments, text=None):
        return CliRunner().invoke(law, list(arguments), input=text)

    choice = ("--reading", "f-24=transitional")
    told = run("diff", str(FOLDER), str(FOLDER), *choice)
    assert "Offene Frage F-24: bisher „Nein; die Schlichtung endet am 30.6.2026.“, jetzt „Ja" in told.output
    assert "Fall SGB2-026: bisher nicht zulässig, jetzt zulässig" in told.output
    assert "Offene Frage F-24: nicht vorsichtig gelesen" in run("lint", *choice).output
    request = json.dumps(DISPUTED["f-24"][1])
    assert json.loads(run("decide", "--unnamed", "no", *choice, text=request).output)["decision"] == "permit"
    assert json.loads(run("decide", "--unnamed", "no", text=request).output)["decision"] == "forbid"
    assert run("check", *choice, str(FOLDER / "cases" / "sgb2.yaml")).exit_code == 1
    assert run("lint", "--reading", "f-24").exit_code == 2


def test_an_auditor_is_told_of_the_open_question_behind_a_refusal():
    request = json.dumps(DISPUTED["f-24"][1])
    shown = CliRunner().invoke(law, ["decide", "--unnamed", "no", "--audience", "auditor"], input=request).output
    assert "Offene Frage F-24: Trägt § 15a SGB II" in shown
