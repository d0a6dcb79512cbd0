import pytest

from shared.policy import decide, explain, present_law, request_from_json

LAW = present_law()
JSON = {
    "date": "2026-06-03",
    "sender": {"body": "jobcenter"},
    "recipient": {"body": "pension_insurer"},
    "categories": ["benefit_data", "expert_opinion_76_2"],
    "purpose": "recipient_statutory_task",
    "facts": {"necessary": True},
}


def words(audience="case_worker", lang="de", unnamed="no", **change):
    return explain(decide(LAW, request_from_json({**JSON, **change}, unnamed=unnamed)), audience, lang)


def test_a_case_worker_reads_what_may_go_what_not_and_what_is_missing():
    text = words()
    first = "Nicht alle Datenarten dürfen übermittelt werden. Entgegen steht: § 76 Abs. 2 Nr. 1 SGB X."
    assert text.splitlines()[:2] == [first, "Zweck: Gesetzliche Aufgabe der empfangenden Sozialleistungsstelle"]
    assert "Leistungsdaten: zulässig" in text
    assert "Rechtsgrundlage: Übermittlung zwischen Sozialleistungsträgern" in text
    assert "Gutachten mit Befunden: nicht zulässig" in text
    assert "Grund: Kein Hinweis auf das Widerspruchsrecht erteilt (§ 76 Abs. 2 Nr. 1 SGB X)" in text
    assert "Zulässig würde es, wenn feststeht:\n    Hinweis auf Widerspruchsrecht zu Beginn" in text


def test_nobody_is_told_that_a_lawyer_has_looked_at_it():
    assert words().endswith("Die genannten Regeln sind noch nicht juristisch geprüft.\n")
    assert "not yet been reviewed by a lawyer" in words(lang="en")


def test_an_open_question_is_not_presented_as_a_fact():
    text = words(unnamed="unknown", categories=["benefit_data"])
    assert "Noch offen: Löschreife oder eingeschränkte Daten (Art. 17 DSGVO)" in text
    assert "Grund: Löschreife" not in text
    assert "Zuerst zu beantworten: Löschfrist erreicht" in text


def test_what_cannot_be_cured_is_said():
    text = words(facts={"necessary": True, "erasure_due": True}, categories=["benefit_data"])
    assert "Auf diesem Weg lässt sich das nicht heilen." in text


@pytest.mark.parametrize(("lang", "sentence"), [("de", "Rechtsstand: 2026-06-03, "), ("en", "Version of the law: ")])
def test_an_auditor_reads_which_law_was_applied(lang, sentence):
    text = words("auditor", lang)
    assert sentence in text
    assert LAW.hash in text


def test_an_auditor_reads_what_came_closest():
    text = words(
        "auditor",
        date="2026-07-01",
        recipient={"body": "arbitrator"},
        purpose="arbitration",
        categories=["cooperation_plan"],
    )
    assert "Geprüft, trägt nicht: § 15a Abs. 1 SGB II (Fassung ab 1.7.2023) (gilt an diesem Tag nicht)" in text


def test_exceptions_are_named_with_their_norm():
    text = words(
        recipient={"body": "audit_body"}, purpose="audit_supervision", categories=["medical_report_76"], lang="de"
    )
    assert "Ausnahme von § 76 Abs. 1 SGB X: § 67c Abs. 4 Satz 1 SGB X" in text


def test_the_recipient_learns_no_reason():
    refusals = {words("recipient", facts=facts) for facts in ({}, {"erasure_due": True}, {"objection_76_2": True})}
    assert {text.strip() for text in refusals} == {"Es werden keine Daten übermittelt."}


def test_a_case_worker_reads_why_the_consent_that_is_there_does_not_cover_it():
    declared = {
        "id": "e-1",
        "status": "given",
        "given_on": "2026-01-02",
        "valid_until": "2026-06-02",
        "form": "written",
        "given_by": ["data_subject"],
        "recipients": ["measure_provider"],
        "categories": ["coaching_content"],
        "purposes": ["referral"],
        "informed_67b_2": True,
        "voluntary": True,
    }
    asked = {
        "recipient": {"body": "measure_provider"},
        "categories": ["coaching_content"],
        "purpose": "referral",
        "facts": {"consents": [declared]},
    }
    assert "Erklärung „e-1“ deckt das nicht: abgelaufen (Art. 7 Abs. 3 DSGVO)" in words(**asked)
    assert "The declaration “e-1” does not cover it: run out (Art. 7 Abs. 3 DSGVO)" in words(lang="en", **asked)
    assert "deckt das nicht" not in words(**asked, date="2026-06-02")


def test_english_explanations_name_facts_duties_and_categories_in_english():
    text = words("auditor", "en", unnamed="unknown")
    assert "Benefit data: not lawful" in text
    assert "The term for erasure has been reached" in text
    assert "record the reasons" in text
    assert "text of the statute" in text
