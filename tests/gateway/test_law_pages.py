"""The law for everybody: every rule has a page in two languages, and anybody may try a case."""

import re

import pytest

from shared.policy import present_law

LAW = present_law()
CASE = {
    "sender": "jobcenter",
    "recipient": "pension_insurer",
    "category": "benefit_data",
    "purpose": "application_forwarding",
    "date": "2026-07-06",
}


def text(world, path, status=200):
    answer = world.client.get(path)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def tried(world, path="/law/try", status=200, headers=None, **more):
    answer = world.client.post(path, data={**CASE, **more}, headers=headers)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def test_the_list_names_every_rule_by_statute_and_links_to_its_page(world):
    page = text(world, "/law")
    assert {rule.id for rule in LAW.rules} == set(re.findall(r'href="/law/([a-z0-9-]+)"', page)) - {"try"}
    assert page.index("<h2>KKG</h2>") < page.index("<h2>SGB X</h2>")
    assert "Noch keine Regel ist von einer Juristin oder einem Juristen geprüft." in page


@pytest.mark.parametrize(
    ("sought", "there", "not_there"),
    [
        ("§ 76 Abs. 1 SGB X", "sgb10-76-1", "kkg-4-3"),
        ("SGB X § 76", "sgb10-76-2-objection", "kkg-4-3"),
        ("Schlichtung", "sgb2-15a-1", "sgb10-76-1"),
        ("electronic patient record", "sgb5-335", "sgb10-76-1"),
    ],
)
def test_rules_are_found_by_norm_or_word(world, sought, there, not_there):
    page = world.client.get("/law", query_string={"norm": sought}).get_data(as_text=True)
    assert f'href="/law/{there}"' in page
    assert f'href="/law/{not_there}"' not in page


def test_a_search_that_finds_nothing_says_so_and_shows_what_was_sought_as_text(world):
    page = world.client.get("/law", query_string={"norm": "<b>§ 999"}).get_data(as_text=True)
    assert "Keine Regel passt dazu." in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize("lang", ["de", "en"])
@pytest.mark.parametrize("rule", LAW.rules, ids=lambda rule: rule.id)
def test_every_rule_has_a_page_in_both_languages(world, rule, lang):
    page = text(world, f"/law/{rule.id}?lang={lang}").replace("&#34;", '"').replace("&#39;", "'")
    assert page.count("<h1>") == 1
    assert page.count("<table>") == page.count("<caption>")
    for norm in (*rule.norms, *(exemption.norm for exemption in rule.unless)):
        assert norm in page
    assert rule.explanation[lang][:60] in page
    assert ('<main id="inhalt" tabindex="-1" lang="en">' in page) == (lang == "en")
    assert {"de": "noch nicht", "en": "not yet"}[lang] in page
    assert not re.search(r"<script|style=|\son\w+=", page)


def test_a_page_shows_cases_that_the_rule_decides_and_cases_in_which_it_does_not_apply(world):
    page = text(world, "/law/sgb2-15a-1")
    decisive, not_met = page.split("In diesen Fällen greift sie nicht", 1)
    assert decisive.count("<td>zulässig</td>") == 3
    assert not_met.count("<td>nicht zulässig</td>") == 3
    assert "ab 01.07.2023 bis vor 01.07.2026" in page


def test_a_rule_that_does_not_exist_is_not_found(world):
    text(world, "/law/sgb10-999", 404)


def test_a_case_that_somebody_tries_is_decided_with_reasons_and_what_is_missing(world):
    page = tried(world)
    assert "Die Weitergabe ist nicht zulässig." in page
    assert "Zuerst zu beantworten" in page
    assert "Noch nicht ausgeschlossen" in page
    assert "Das entscheidet" not in page
    assert 'id="fact-necessary"' in page
    answered = {f"fact-{name}": "no" for name in re.findall(r'id="fact-([a-z0-9_]+)"', page)}
    page = tried(world, **{**answered, "fact-necessary": "yes"})
    assert "Die Weitergabe ist zulässig." in page
    assert 'href="/law/sgb10-69-1-1"' in page
    assert "The disclosure is lawful." in tried(world, "/law/try?lang=en", **{**answered, "fact-necessary": "yes"})


DECLARED = [
    (["consent_covers"], {"category": "coaching_content", "recipient": "measure_provider", "purpose": "referral"}),
    (
        ["entrusting_consent_covers"],
        {"sender": "youth_office", "category": "entrusted_youth_data_65", "purpose": "case_conference"},
    ),
    (
        ["consent_covers", "secrecy_release_covers"],
        {"category": "health_data", "recipient": "police", "purpose": "danger_aversion"},
    ),
]


@pytest.mark.parametrize(("declared", "case"), DECLARED)
def test_whoever_says_that_a_declaration_covers_it_is_answered_as_if_it_did(world, declared, case):
    page = tried(world, **case)
    answers = {f"fact-{name}": "no" for name in re.findall(r'id="fact-([a-z0-9_]+)"', page)}
    yes = {f"fact-{name}": "yes" for name in declared}
    assert yes.keys() <= answers.keys()
    for name in yes:
        assert "nicht zulässig" in tried(world, **case, **{**answers, **yes, name: "no"})
    assert "Die Weitergabe ist zulässig." in tried(world, **case, **{**answers, **yes})


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"sender": ""}, "Absender"),
        ({"recipient": "bank"}, "Empfänger"),
        ({"category": "<b>"}, "Datenart"),
        ({"purpose": ""}, "Zweck"),
        ({"date": "gestern"}, "Tag der Weitergabe"),
    ],
)
def test_what_is_missing_in_the_form_is_named(world, change, label):
    page = tried(world, status=422, **change)
    assert f"<strong>Bitte noch angeben:</strong> {label}</p>" in page
    assert "<b>" not in page


def test_trying_a_case_leaves_no_trace_and_works_from_this_site_only(world):
    answer = world.client.post("/law/try", data=CASE)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert world.calls.asked == []
    tried(world, headers={"Sec-Fetch-Site": "same-origin"})
    tried(world, status=403, headers={"Sec-Fetch-Site": "cross-site"})


def test_every_field_of_the_form_has_a_label(world):
    page = tried(world)
    fields = set(re.findall(r'<(?:select|input) id="([^"]+)"', page))
    assert fields == set(re.findall(r'<label for="([^"]+)"', page))
