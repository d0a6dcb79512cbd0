"""The law for everybody: every rule has a page in two languages, and anybody may try a case."""

import re

import pytest

from shared.errors import Unavailable
from shared.policy import present_law
from tests.gateway.test_sign_in import page as signed_in_page
from tests.gateway.test_sign_in import sign_in

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


def test_staff_who_are_signed_in_see_how_often_their_agency_used_the_norm(world):
    world.calls.answers["audit.uses_of_norm"] = {"lawful": 12, "refused": 3, "days": ["2026-05-04", "2026-05-02"]}
    sign_in(world, "weber")
    answer = signed_in_page(world, "/law/sgb10-69-1-1")
    page = answer.get_data(as_text=True)
    assert "12 weitergegeben, 3 nicht weitergegeben; zuletzt am 04.05.2026, 02.05.2026" in page
    assert answer.headers["Cache-Control"] == "no-store"
    callee, method, question, caller = world.calls.asked[-1]
    assert (callee, method, question) == ("audit", "uses_of_norm", {"norm": "§ 69 Abs. 1 Nr. 1 SGB X"})
    assert caller.agency == "jobcenter"


def test_a_norm_that_was_never_used_says_so_and_a_log_that_does_not_answer_hides_nothing_else(world):
    world.calls.answers["audit.uses_of_norm"] = {"lawful": 0, "refused": 0, "days": []}
    sign_in(world, "weber")
    assert "Noch keine." in signed_in_page(world, "/law/sgb10-69-1-1").get_data(as_text=True)
    world.calls.answers["audit.uses_of_norm"] = Unavailable("service.unavailable")
    page = signed_in_page(world, "/law/sgb10-69-1-1").get_data(as_text=True)
    assert "Wo sie angewandt wurde" not in page
    assert "Was das heißt" in page


def test_nobody_else_sees_where_a_norm_was_used(world):
    assert "Wo sie angewandt wurde" not in text(world, "/law/sgb10-69-1-1")
    assert world.client.get("/law/sgb10-69-1-1").headers["Cache-Control"] == "public, max-age=300"
    sign_in(world, "ayse")
    answer = signed_in_page(world, "/law/sgb10-69-1-1")
    assert "Wo sie angewandt wurde" not in answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "audit.uses_of_norm" not in world.calls.names()


GERMAN = re.compile(r"\b(und|oder|nicht|durch|Einwilligung|Übermittlung|Stelle|ist|der|die|das|mit)\b")


@pytest.mark.parametrize("rule", LAW.rules, ids=lambda rule: rule.id)
def test_the_english_page_is_english_but_for_citations_and_german_quotations_marked_as_such(world, rule):
    page = text(world, f"/law/{rule.id}?lang=en").split("<main", 1)[1].split("</main>", 1)[0]
    page = re.sub(r'<(\w+) lang="de"[^>]*>.*?</\1>', " ", page, flags=re.DOTALL)
    shown = re.sub(r"<[^>]+>|(§|Art\.)[^<;:]*?(SGB [IVX]+|KKG|StGB|DSGVO|BGB)(\s*\([^)]*\))?", " ", page)
    assert not GERMAN.search(shown), GERMAN.findall(shown)


def test_the_english_form_speaks_english(world):
    page = tried(world, "/law/try?lang=en").split("<main", 1)[1].split("</main>", 1)[0]
    shown = re.sub(r'<a [^>]*lang="de"[^>]*>.*?</a>|<[^>]+>', " ", page)
    assert "Benefit data" in shown
    assert "Necessity in the single case is established" in shown
    assert not GERMAN.search(shown), GERMAN.findall(shown)


@pytest.mark.parametrize(
    ("day", "name"), [("2023-06-30", "Fassung bis 30.6.2023"), ("2026-07-01", "Fassung ab 1.7.2026")]
)
def test_a_tried_case_tells_the_version_of_the_norm_on_its_day(world, day, name):
    page = tried(world, recipient="youth_office", category="cooperation_plan", purpose="case_conference", date=day)
    assert f"§ 15 SGB II ({name})" in page


def test_a_page_tells_the_versions_of_its_norm_and_the_open_question_behind_it(world):
    page = text(world, "/law/sgb2-15a-1")
    assert "Offene Frage F-24:" in page
    assert "§ 1902 BGB (Fassung bis 31.12.2022)" in text(world, "/law/sgb10-13-1")
