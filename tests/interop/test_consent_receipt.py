"""A receipt for the person: JSON for programs, JSON-LD in the words of DPV with its context inside, a page to print."""

import json
from typing import Any

import pytest

from services.gateway.resources.consent_receipts import WORDS, words
from tests.gateway.test_sign_in import page, sign_in
from tests.gateway.world import ME, OTHER, SOME_ID, TERMS, World
from tests.support.clock import FixedClock

PATH = f"/consents/{SOME_ID}/receipt"
LD = "application/ld+json"
STATUSES = ("given", "not_yet", "paused", "used_up", "replaced", "refused", "withdrawn", "expired")


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("receipts") / "state", FixedClock())


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.start_anew()
    shared_world.calls.answers["exchange.partner"] = {"name": "Deutsche Rentenversicherung Bund"}
    shared_world.calls.answers["exchange.agency"] = {"name": "Jobcenter Biberach"}
    said(shared_world)
    return shared_world


def said(world: World, status: str = "given", **changed: Any) -> None:
    terms = {**TERMS, "categories": ["contact_data", "health_data"], "valid_until": "2026-12-31", "use": None}
    usual = {"consent_id": SOME_ID, "status": status, "terms": terms, "given_on": "2026-03-02", "version": 3}
    usual |= dict.fromkeys(("withdrawn_on", "refused_on", "paused_on", "ended_on", "uses_left"))
    world.calls.answers["consent.consent"] = usual | changed


def linked(world: World) -> Any:
    answer = world.ask("citizen", "GET", PATH, Accept=LD)
    assert (answer.status_code, answer.mimetype) == (200, LD)
    return json.loads(answer.get_data(as_text=True))


def names(node: Any) -> set[str]:
    """Every name that a JSON-LD object uses, as key, type or reference."""
    if isinstance(node, dict):
        own = {name for name in node if ":" in name} | {node[key] for key in ("@id", "@type") if key in node}
        return own.union(*(names(each) for key, each in node.items() if key != "@context"))
    return set().union(*map(names, node)) if isinstance(node, list) else set()


def test_the_form_is_the_one_that_is_asked_for(world: World) -> None:
    for accepted, media in (
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (LD, LD),
        ("text/html", "text/html"),
        ("text/html;q=0.5, application/ld+json", LD),
        ("image/png", "application/json"),
    ):
        answer = world.ask("citizen", "GET", PATH, Accept=accepted)
        assert (answer.status_code, answer.mimetype) == (200, media), accepted
        assert "Accept" in answer.headers["Vary"]
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("status", STATUSES)
def test_a_receipt_uses_no_word_that_the_vocabulary_does_not_have(world: World, status: str) -> None:
    said(world, status, withdrawn_on="2026-03-03", paused_on="2026-03-02", uses_left=2)
    receipt = linked(world)
    known = {f"dpv:{each}" for each in words()["terms"]}
    used = names(receipt)
    assert {each for each in used if each.startswith("dpv:")} <= known
    prefixes = {each.partition(":")[0] for each in used} - {"urn"}
    assert prefixes <= receipt["@context"].keys()
    assert receipt["dpv:hasProcess"][0]["handschlag:status"] == status


def test_the_context_stands_inside_and_nothing_has_to_be_fetched(world: World) -> None:
    receipt = linked(world)
    assert receipt["@context"] == words()["context"]
    assert all(isinstance(each, str) and each[-1] in "#/:" for each in receipt["@context"].values())


@pytest.mark.parametrize("status", STATUSES)
def test_only_a_consent_that_stands_is_told_as_given(world: World, status: str) -> None:
    said(world, status)
    (told,) = linked(world)["dpv:hasProcess"][0]["dpv:hasConsentStatus"]
    assert (told["@id"] == "dpv:ConsentGiven") == (status == "given")
    assert WORDS.exists()


def test_a_receipt_says_who_what_what_for_and_how_to_take_it_back(world: World) -> None:
    receipt = linked(world)
    (process,) = receipt["dpv:hasProcess"]
    assert receipt["dpv:hasDataSubject"]["dpv:hasIdentifier"] == ME
    assert receipt["dpv:hasDataController"][0]["dpv:hasName"] == "Jobcenter Biberach"
    assert process["dpv:hasRecipient"][0]["dpv:hasName"] == "Deutsche Rentenversicherung Bund"
    assert [each["@type"] for each in process["dpv:hasPersonalData"]] == [
        "dpv:PersonalData",
        "dpv:SpecialCategoryPersonalData",
    ]
    assert {"@id": "eu-gdpr:A7-3"} in process["dpv:hasRight"]
    assert [each["@id"] for each in process["dpv:hasLegalBasis"]] == ["eu-gdpr:A6-1-a", "eu-gdpr:A9-2-a"]
    assert process["handschlag:valid_until"] == "2026-12-31"


def test_what_was_said_stands_in_the_order_of_its_days(world: World) -> None:
    said(world, "withdrawn", withdrawn_on="2026-05-04", paused_on="2026-04-01")
    events = linked(world)["handschlag:events"]
    assert [each["@type"] for each in events] == [
        "dpv:ConsentGiven",
        "handschlag:ConsentPaused",
        "dpv:ConsentWithdrawn",
    ]
    assert [each["dpv:isIndicatedAtTime"] for each in events] == ["2026-03-02", "2026-04-01", "2026-05-04"]


def test_the_page_is_in_german_and_can_be_printed_by_whoever_is_signed_in(world: World) -> None:
    sign_in(world)
    text = page(world, f"/meine-daten/einwilligungen/{SOME_ID}/beleg").get_data(as_text=True)
    for told in (
        "Jobcenter Biberach",
        "Deutsche Rentenversicherung Bund",
        "Kontaktdaten",
        "02.03.2026, elektronisch",
        "bis 31.12.2026",
        "Art. 7 Abs. 3 DSGVO",
        "Art. 77 DSGVO",
        f"{SOME_ID}.3",
    ):
        assert told in text, told


def test_a_refusal_has_a_receipt_too_and_no_consequence(world: World) -> None:
    said(world, "refused", given_on=None, refused_on="2026-03-02")
    text = world.ask("citizen", "GET", PATH, Accept="text/html").get_data(as_text=True)
    assert "Sie haben Nein gesagt" in text
    assert "keine Nachteile" in text
    assert "widerrufen (Art. 7" not in text
    (event,) = linked(world)["handschlag:events"]
    assert event["@type"] == "dpv:ConsentRefused"


def test_to_a_citizen_the_receipts_of_others_do_not_exist_in_any_form(world: World) -> None:
    said(world, terms={**TERMS, "person_id": OTHER})
    for accepted in ("application/json", LD, "text/html"):
        answer = world.ask("citizen", "GET", PATH, Accept=accepted)
        assert (answer.status_code, answer.json["code"]) == (404, "consent.unknown")
    assert world.client.get(f"/meine-daten/einwilligungen/{SOME_ID}/beleg").headers["Location"] == "/anmelden"


def test_what_stands_in_a_name_is_text_on_the_page(world: World) -> None:
    world.calls.answers["exchange.partner"] = {"name": "<script>x</script>"}
    text = world.ask("citizen", "GET", PATH, Accept="text/html").get_data(as_text=True)
    assert "<script>x" not in text


def test_a_receipt_that_is_known_already_is_not_sent_again(world: World) -> None:
    first = world.ask("citizen", "GET", PATH, Accept=LD)
    again = world.ask("citizen", "GET", PATH, Accept=LD, If_None_Match=first.headers["ETag"])
    assert again.status_code == 304
