"""The pages about withdrawals: for staff who is late, for a person who was told and who has confirmed."""

import re
from typing import Any

import pytest

from tests.gateway.test_sign_in import page, sign_in
from tests.gateway.world import ME, SOME_ID, TERMS, World

LATE, IN_TIME = "44444444-4444-4444-8444-444444444444", "55555555-5555-4555-8555-555555555555"


def retraction(declaration: str, **more: Any) -> dict[str, Any]:
    usual = {
        "disclosure_id": f"d-{declaration[:1]}",
        "partner_id": "drv",
        "partner_name": "Rentenversicherung",
        "person_id": ME,
        "state": "retracted",
        "purpose": "own_statutory_task",
        "categories": ["contact_data"],
        "reason": "consent_withdrawn",
        "stopped_because": None,
        "handed_over_at": "2026-02-20T09:00:00Z",
        "retracted_at": "2026-03-01T09:00:00Z",
        "lawful_until": "2026-03-01T09:00:00Z",
        "told_at": "2026-03-01T09:05:00Z",
        "due_at": "2026-03-04T09:00:00Z",
        "acknowledged_at": None,
        "reminded_at": None,
        "escalated_at": None,
        "escalated_to": None,
        "late": False,
        "declarations": [declaration],
    }
    return usual | more


def silent(**more: Any) -> dict[str, Any]:
    """Past its term: reminded, and escalated to a person."""
    followed = {"reminded_at": "2026-03-02T09:00:00Z", "escalated_at": "2026-03-04T09:00:00Z", "escalated_to": "beck"}
    return retraction(LATE, partner_name="Maßnahmeträger", late=True, **(followed | more))


def filled(world: World, *items: dict[str, Any]) -> None:
    world.calls.answers["exchange.missing_acknowledgements"] = {"items": list(items)}


def text_of(world: World, path: str) -> str:
    answer = page(world, path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return str(answer.get_data(as_text=True))


@pytest.mark.parametrize("who", ["weber", "vogel"])
def test_staff_see_who_had_what_and_who_stays_silent(world: World, who: str) -> None:
    filled(world, silent(), retraction(IN_TIME))
    sign_in(world, who)
    text = text_of(world, "/widerrufe")
    for told in (
        "Rentenversicherung",
        "Maßnahmeträger",
        "Kontaktdaten",
        "20.02.2026 10:00",
        "01.03.2026 10:05",
        "überfällig",
        "02.03.2026 10:00",
        "04.03.2026 10:00</time> an beck",
        "bleibt rechtmäßig",
        "2 Bestätigungen fehlen, davon überfällig: 1.",
        f'href="/widerrufe/{LATE}"',
    ):
        assert told in text, told
    assert text.count("<strong>überfällig</strong>") == 1
    assert {caller.role for *_, caller in world.calls.asked} == {"case_worker" if who == "weber" else "auditor"}


def test_the_filter_leaves_only_the_overdue_ones(world: World) -> None:
    filled(world, silent(escalated_to="data_protection_officer"), retraction(IN_TIME))
    sign_in(world, "vogel")
    text = text_of(world, "/widerrufe?nur=ueberfaellig")
    assert ("Maßnahmeträger" in text, "Rentenversicherung" in text) == (True, False)
    assert re.search(r'<input type="checkbox" name="nur" value="ueberfaellig" checked>', text)
    assert "an die Person für Datenschutz" in text
    filled(world, retraction(IN_TIME))
    assert "Nichts ist überfällig." in text_of(world, "/widerrufe?nur=ueberfaellig")


def test_what_was_withdrawn_together_stands_together(world: World) -> None:
    filled(world, retraction(IN_TIME), silent(), retraction(IN_TIME, partner_name="Krankenkasse"))
    sign_in(world, "vogel")
    groups = text_of(world, "/widerrufe").split("<tbody>")[1:]
    assert [re.findall('data-label="Empfänger">([^<]+)', each) for each in groups] == [
        ["Rentenversicherung", "Krankenkasse"],
        ["Maßnahmeträger"],
    ]


def test_one_withdrawal_shows_all_its_recipients_also_those_who_confirmed(world: World) -> None:
    confirmed = retraction(LATE, state="retraction_acknowledged", acknowledged_at="2026-03-02T08:00:00Z")
    stopped = retraction(
        LATE,
        partner_name="Krankenkasse",
        state="stopped",
        stopped_because="consent_paused",
        reason=None,
        **dict.fromkeys(("handed_over_at", "retracted_at", "lawful_until", "told_at", "due_at")),
    )
    world.calls.answers["exchange.withdrawal"] = {
        "consent_id": LATE,
        "recipients": [silent(), confirmed, stopped],
        "complete": False,
        "late": 1,
    }
    sign_in(world, "vogel")
    text = text_of(world, f"/widerrufe/{LATE}")
    for told in ("1 fehlt", "02.03.2026 09:00", "gestoppt, nicht angekommen", "Einwilligung ruht", ME, LATE):
        assert told in text, told
    assert text.count("bleibt rechtmäßig") == 2


def test_a_withdrawal_is_found_by_its_number(world: World) -> None:
    sign_in(world, "vogel")
    found = page(world, f"/widerrufe?nummer=+{SOME_ID}+")
    assert (found.status_code, found.headers["Location"]) == (302, f"/widerrufe/{SOME_ID}")
    elsewhere = page(world, "/widerrufe?nummer=//evil.example/x")
    assert elsewhere.headers["Location"].startswith("/widerrufe/")
    world.calls.answers["exchange.withdrawal"] = {"consent_id": SOME_ID, "recipients": [], "complete": True, "late": 0}
    assert "beruht keine Weitergabe" in text_of(world, f"/widerrufe/{SOME_ID}")


def test_the_pages_for_staff_are_closed_to_citizens_and_to_whoever_has_not_signed_in(world: World) -> None:
    assert page(world, "/widerrufe").headers["Location"] == "/anmelden"
    assert page(world, f"/widerrufe/{SOME_ID}").headers["Location"] == "/anmelden"
    sign_in(world)
    for path in ("/widerrufe", f"/widerrufe/{SOME_ID}"):
        assert page(world, path).status_code == 403
    assert world.calls.asked == []


@pytest.mark.parametrize(("who", "shown"), [("weber", True), ("vogel", True), ("ayse", False)])
def test_the_way_there_is_shown_to_those_who_may_go(world: World, who: str, *, shown: bool) -> None:
    assert "/widerrufe" not in page(world, "/").get_data(as_text=True)
    sign_in(world, who)
    assert ('href="/widerrufe"' in text_of(world, "/")) == shown


def test_the_pages_can_be_used_without_a_pointer_and_without_a_script(world: World) -> None:
    filled(world, silent(), retraction(IN_TIME))
    sign_in(world, "vogel")
    for path in ("/widerrufe", f"/widerrufe/{LATE}"):
        text = text_of(world, path)
        assert text.count("<h1>") == 1
        assert text.count("<table>") == text.count("<caption>") == 1
        assert not re.search(r"<script|style=|\son\w+=|http-equiv", text)
        assert '<div class="scroll cards" tabindex="0" role="region" aria-label=' in text
        assert "Stand neu laden" in text
        cells = text.split("<tbody>", 1)[1]
        assert cells.count("<td ") == cells.count("<td data-label=")
        for field in re.findall(r"<input (?!type=\"(?:hidden|checkbox)\")[^>]*id=\"(\w+)\"", text):
            assert f'<label for="{field}">' in text


def mine(world: World, status: str, *recipients: dict[str, Any], complete: bool = False) -> str:
    """What the person's page tells about a consent of theirs."""
    withdrawn_on = "2026-03-02" if status == "withdrawn" else None
    world.calls.answers["consent.consent"] = {"terms": TERMS, "status": status, "withdrawn_on": withdrawn_on}
    world.calls.answers["exchange.withdrawal"] = {"recipients": list(recipients), "complete": complete, "late": 0}
    sign_in(world)
    return text_of(world, f"/meine-daten/einwilligungen/{SOME_ID}/widerruf")


def test_the_person_sees_who_was_told_and_who_has_confirmed_so_far(world: World) -> None:
    confirmed = retraction(SOME_ID, state="retraction_acknowledged", acknowledged_at="2026-03-02T08:00:00Z")
    text = mine(world, "withdrawn", silent(), confirmed)
    for told in (
        "Ihr Widerruf gilt seit dem 02.03.2026.",
        "Maßnahmeträger",
        "01.03.2026 10:05",
        "02.03.2026 09:00",
        "Die Bestätigung ist überfällig.",
        "bleibt rechtmäßig",
        "Es fehlen noch Bestätigungen.",
        f'href="/meine-daten/einwilligungen/{SOME_ID}/widerruf">Stand neu laden',
    ):
        assert told in text, told
    assert "beck" not in text


def test_in_the_first_moment_nobody_is_said_to_have_confirmed(world: World) -> None:
    early = dict.fromkeys(("retracted_at", "lawful_until", "told_at", "due_at"))
    text = mine(world, "withdrawn", retraction(SOME_ID, state="acknowledged", **early), complete=True)
    assert ("wird gerade informiert" in text, "wird gerade zurückgerufen" in text) == (True, True)
    assert "Niemand muss mehr etwas bestätigen." not in text


def test_once_all_have_confirmed_the_page_says_so(world: World) -> None:
    confirmed = retraction(SOME_ID, state="retraction_acknowledged", acknowledged_at="2026-03-02T08:00:00Z")
    assert "Niemand muss mehr etwas bestätigen." in mine(world, "withdrawn", confirmed, complete=True)


def test_a_consent_that_stands_is_not_called_withdrawn(world: World) -> None:
    text = mine(world, "given", retraction(SOME_ID, state="acknowledged"))
    assert ("Nichts widerrufen" in text, "Sie haben widerrufen" in text) == (True, False)


def test_the_list_of_consents_leads_to_what_became_of_a_withdrawal(world: World) -> None:
    item = {"consent_id": SOME_ID, "terms": TERMS, "status": "withdrawn", "given_on": "2026-03-01", "version": 2}
    world.calls.answers["consent.consents"] = {"items": [{**item, "withdrawn_on": "2026-03-02"}], "offers": []}
    sign_in(world)
    text = text_of(world, "/meine-daten")
    assert f'href="/meine-daten/einwilligungen/{SOME_ID}/widerruf"' in text
    assert f'action="/meine-daten/einwilligungen/{SOME_ID}/widerruf"' not in text


def test_no_page_is_kept_anywhere(world: World) -> None:
    sign_in(world)
    world.calls.answers["exchange.disclosures"] = {"next": None}
    for path in ("/", "/meine-daten", "/meine-daten/protokoll", "/meine-daten/rechte", "/law", "/problems/internal"):
        assert page(world, path).headers["Cache-Control"] == "no-store", path
