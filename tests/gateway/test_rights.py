"""Requests of data subjects at the front door, and the copy in both of its forms."""

import json
from typing import Any

import pytest

from tests.gateway.test_sign_in import page, sign_in
from tests.gateway.world import ME, OTHER, SOME_ID, TERMS, World

RECORDS = {
    "cases": [
        {"kind": "person", "id": ME, "category": "master_data", "name": "Ayşe Demir", "birth_date": "1990-05-04"},
        {
            "kind": "entry",
            "id": "e-1",
            "category": "contact_log",
            "on": "2026-03-01",
            "source": "protected",
            "text": "ruft <b>zurück</b>",
        },
    ],
    "health": [
        {"kind": "assessment", "id": "a-1", "category": "health_data", "on": "2026-03-02", "answers": {"item_1": "2"}}
    ],
}


def granted(world: World, **answer: Any) -> None:
    """An access was answered with yes, and both services have something."""
    said = {
        "person_id": ME,
        "outcome": "granted",
        "reasons": "",
        "norms": ["Art. 15 DSGVO"],
        "by": "weber",
        "on": "2026-03-02",
        "opened": ["master_data", "contact_log", "health_data"],
        "closed": ["third_party_data"],
        "via_doctor": False,
        "until": None,
        "erasure_id": "",
        "log": "handschlag.example/jobcenter/2026",
        "index": 4,
    }
    world.calls.answers["cases.right"] = {"right": "access", "answer": said | answer}
    for service, records in RECORDS.items():
        world.calls.answers[f"{service}.copy"] = {"content": {"records": records}, "next": None, "total": len(records)}
    world.calls.answers["exchange.ledger"] = {"items": []}
    for keeper in ("cases", "health"):
        world.calls.answers[f"{keeper}.looks"] = {"items": []}
    world.calls.answers["audit.reads_of_person"] = {"items": []}
    world.calls.answers["consent.consents"] = {"items": []}


def test_the_copy_goes_through_the_services_part_by_part(world: World) -> None:
    granted(world)
    first = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy").json
    assert (first["part"], first["done"], first["total"], first["next"]) == ("cases", 2, 2, "health.0.")
    second = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy?after={first['next']}").json
    assert (second["part"], second["done"], second["next"]) == ("health", 1, None)
    assert second["content"]["records"] == RECORDS["health"]


def test_a_long_part_counts_on_from_page_to_page(world: World) -> None:
    granted(world)
    world.calls.answers["cases.copy"] = {"content": {"records": RECORDS["cases"]}, "next": "3-entry:e-1", "total": 9}
    first = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy").json
    second = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy?after={first['next']}").json
    assert (first["next"], second["done"]) == ("cases.2.3-entry:e-1", 4)
    assert world.calls.asked[-1][2]["after"] == "3-entry:e-1"


@pytest.mark.parametrize("after", ["audit.0.", "cases.x.", "cases", "cases.1234567890."])
def test_a_place_that_is_none_is_named_as_such(world: World, after: str) -> None:
    granted(world)
    answer = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy?after={after}")
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/after")


@pytest.mark.parametrize(("right", "outcome"), [("erasure", "granted"), ("access", "refused")])
def test_only_an_access_that_was_granted_has_a_copy(world: World, right: str, outcome: str) -> None:
    granted(world, outcome=outcome)
    world.calls.answers["cases.right"]["right"] = right  # type: ignore[index]
    answer = world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy")
    assert (answer.status_code, answer.json["code"]) == (409, "rights.nothing_opened")


def test_health_data_that_a_doctor_explains_are_not_in_the_citizens_own_copy(world: World) -> None:
    granted(world, via_doctor=True)
    world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy")
    assert world.calls.asked[-1][2]["categories"] == ["master_data", "contact_log"]
    world.ask("case_worker", "GET", f"/rights/{SOME_ID}/copy")
    assert "health_data" in world.calls.asked[-1][2]["categories"]


def test_portability_asks_for_what_the_person_gave(world: World) -> None:
    granted(world)
    world.calls.answers["cases.right"]["right"] = "portability"  # type: ignore[index]
    world.ask("citizen", "GET", f"/rights/{SOME_ID}/copy")
    assert world.calls.asked[-1][2]["only_own"]


def test_to_a_citizen_requests_copies_and_erasures_of_others_do_not_exist(world: World) -> None:
    world.calls.answers["cases.right"] = {"person_id": OTHER}
    world.calls.answers["cases.erasure"] = {"person_id": OTHER}
    for path, code in (
        (f"/rights/{SOME_ID}", "rights.unknown"),
        (f"/rights/{SOME_ID}/copy", "rights.unknown"),
        (f"/erasures/{SOME_ID}", "erasure.unknown"),
    ):
        answer = world.ask("citizen", "GET", path)
        assert (answer.status_code, answer.json["code"]) == (404, code)
    assert "cases.copy" not in world.calls.names()


def test_a_citizen_asks_for_themselves_and_says_neither_when_it_came_nor_who_deals_with_it(world: World) -> None:
    assert world.ask("citizen", "POST", "/rights", {"right": "access"}).status_code == 201
    asked = next(question for _, method, question, _ in world.calls.asked if method == "request_right")
    assert asked["person_id"] == ME
    for field in ({"owner": "weber"}, {"received_on": "2026-01-01"}, {"person_id": OTHER}):
        assert world.ask("citizen", "POST", "/rights", {"right": "access", **field}).status_code in (404, 422)


def test_who_answers_is_named_by_the_sign_in_or_by_the_program(world: World) -> None:
    world.ask("weber", "POST", f"/rights/{SOME_ID}/answer", {"outcome": "granted"})
    named = [question["by"] for _, method, question, _ in world.calls.asked if method == "answer_right"]
    said = {"outcome": "granted", "decided_by": "meyer"}
    world.ask("case_worker", "POST", f"/rights/{SOME_ID}/answer", said)
    named += [question["by"] for _, method, question, _ in world.calls.asked if method == "answer_right"][1:]
    assert named == ["weber", "meyer"]


def test_the_copy_is_a_page_to_print_and_a_file_for_programs(world: World) -> None:
    granted(world)
    sign_in(world)
    text = page(world, f"/meine-daten/auskunft/{SOME_ID}").get_data(as_text=True)
    for told in (
        "Ayşe Demir",
        "04.05.1990",
        "nicht genannt",
        "2 von 2 Einträgen (Akte)",
        "1 von 1 Einträgen (Gesundheit)",
        "Art. 77 DSGVO",
        "Ende der Auskunft",
        "&lt;b&gt;zurück",
    ):
        assert told in text, told
    answer = page(world, f"/meine-daten/auskunft/{SOME_ID}.json")
    found = json.loads(answer.get_data(as_text=True))
    assert found["records"] == RECORDS["cases"] + RECORDS["health"]
    assert found["about"]["norms"] == ["Art. 15 DSGVO"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "third_party_data" not in json.dumps(found)


def test_the_page_calls_partners_by_their_names_and_a_consents_status_in_german(world: World) -> None:
    granted(world)
    item = {"consent_id": SOME_ID, "terms": TERMS, "status": "withdrawn", "given_on": "2026-03-01", "version": 2}
    world.calls.answers["consent.consents"] = {"items": [{**item, "withdrawn_on": "2026-03-02"}], "offers": []}
    partner = {"partner_id": TERMS["recipient"], "name": "Rentenversicherung", "body": "b", "domain": "d"}
    world.calls.answers["exchange.partners"] = {"items": [{**partner, "channel": "feed"}], "next": None}
    sign_in(world)
    text = page(world, f"/meine-daten/auskunft/{SOME_ID}").get_data(as_text=True)
    last = text[text.index("Was Sie erlaubt") :]
    assert ("Rentenversicherung:" in last, "widerrufen</li>" in last, "withdrawn" in last) == (True, True, False)


def test_my_requests_show_their_last_day_and_the_way_to_the_copy(world: World) -> None:
    granted(world)
    sign_in(world)
    text = page(world, "/meine-daten/rechte").get_data(as_text=True)
    assert "02.03.2026" in text
    assert "entsprochen" in text
    assert "/meine-daten/auskunft/" in text
