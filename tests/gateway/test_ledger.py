"""The person's ledger at the front door: three services in one order, and the German page that shows it."""

from typing import Any

import pytest

from shared.errors import NotFound
from tests.gateway.test_sign_in import csrf, page, sign_in
from tests.gateway.world import ME, OTHER, SOME_ID, World


def disclosed(mark: str, **more: Any) -> dict[str, Any]:
    usual = {
        "disclosure_id": "d-1",
        "mark": mark,
        "at": mark.partition(" ")[0],
        "state": "acknowledged",
        "partner_id": "drv",
        "partner_name": "Rentenversicherung",
        "categories": ["contact_data"],
        "purpose": "own_statutory_task",
        "norms": ["§ 69 Abs. 1 Nr. 1 SGB X"],
        "refused": False,
        "automatic": False,
        "emergency": False,
        "by": ["weber"],
        "handed_over_at": None,
        "retracted_at": None,
        "notices": [],
        "visible_from": None,
        "log": "handschlag.example/jobcenter/2026",
        "index": 4,
    }
    return usual | more


def filled(world: World, *entries: dict[str, Any]) -> None:
    kind = {"body": "jobcenter", "domain": "sgb_ii"}
    agency = {"agency_id": "jobcenter", "name": "Jobcenter Musterstadt", "kind": kind, "version": 1}
    world.calls.answers["exchange.agency"] = agency
    world.calls.answers["exchange.ledger"] = {"items": list(entries)}
    world.calls.answers["cases.looks"] = {
        "items": [
            {
                "mark": "2026-03-02T09:00:00.000000Z look:person:weber",
                "at": "2026-03-02T09:00:00.000000Z",
                "what": "person",
                "times": 3,
                "looked_by": "weber",
                "automatic": False,
            }
        ]
    }
    world.calls.answers["health.looks"] = {
        "items": [
            {
                "mark": "2026-03-02T08:30:00.000000Z look:assessment:nightly-report",
                "at": "2026-03-02T08:30:00.000000Z",
                "what": "assessment",
                "times": 1,
                "looked_by": "nightly-report",
                "automatic": True,
            }
        ]
    }
    world.calls.answers["audit.reads_of_person"] = {
        "items": [
            {
                "mark": "2026-03-02T08:00:00.000000Z read:log:7",
                "at": "2026-03-02T08:00:00.000000Z",
                "role": "auditor",
                "way": "search",
                "log": "handschlag.example/jobcenter/2026",
                "index": 7,
            }
        ]
    }


OLD, NEW = "2026-03-01T08:00:00.000000Z disclosure:d-1", "2026-03-02T10:00:00.000000Z disclosure:d-2"


def test_what_four_services_know_stands_in_one_order_newest_first(world: World) -> None:
    filled(world, disclosed(NEW), disclosed(OLD))
    found = world.ask("citizen", "GET", "/ledger").json
    assert [each["kind"] for each in found["items"]] == ["disclosure", "look", "look", "log_read", "disclosure"]
    assert {(each["on_behalf_of"], each["on_behalf_of_name"]) for each in found["items"]} == {
        ("jobcenter", "Jobcenter Musterstadt")
    }
    assert found["next"] is None


def test_an_agency_that_has_not_registered_itself_is_called_by_its_id(world: World) -> None:
    filled(world)
    world.calls.answers["exchange.agency"] = NotFound("agency.unknown")
    assert {each["on_behalf_of_name"] for each in world.ask("citizen", "GET", "/ledger").json["items"]} == {"jobcenter"}


def test_a_page_ends_where_the_next_one_begins(world: World) -> None:
    filled(world, disclosed(NEW), disclosed(OLD))
    found = world.ask("citizen", "GET", "/ledger?limit=2").json
    assert [each["kind"] for each in found["items"]] == ["disclosure", "look"]
    world.ask("citizen", "GET", f"/ledger?limit=2&before={found['next']}")
    assert {question["before"] for _, _, question, _ in world.calls.asked[-5:-1]} == {found["next"]}


def test_a_citizen_learns_which_agency_looked_and_not_which_of_its_people(world: World) -> None:
    filled(world)
    (look, assessment, _) = world.ask("citizen", "GET", "/ledger").json["items"]
    assert (look["times"], look["by"], assessment["by"]) == (3, [], [])
    (look, assessment, _) = world.ask("auditor", "GET", f"/ledger?person_id={ME}").json["items"]
    assert (look["by"], assessment["by"]) == (["weber"], ["nightly-report"])


def test_a_look_at_an_assessment_tells_its_basis_and_whether_a_program_did_it(world: World) -> None:
    filled(world)
    (person, assessment, _) = world.ask("citizen", "GET", "/ledger").json["items"]
    assert (assessment["what"], assessment["automatic"]) == ("assessment", True)
    assert assessment["norms"] == ["§ 67c Abs. 1 SGB X", "§ 67b Abs. 1 Satz 2 SGB X"]
    assert (person["automatic"], person["norms"]) == (False, ["§ 67c Abs. 1 SGB X"])


@pytest.mark.parametrize(
    ("path", "method"),
    [(f"/assessments/{SOME_ID}", "assessment"), (f"/persons/{ME}", "person"), (f"/cases/{SOME_ID}", "case")],
)
def test_what_a_program_reads_is_asked_for_as_a_look_of_a_program(world: World, path: str, method: str) -> None:
    for asker in ("case_worker", "weber"):
        world.ask(asker, "GET", path)
    automatic = [question["automatic"] for _, asked, question, _ in world.calls.asked if asked == method]
    assert automatic == [True, False]


def test_to_a_citizen_the_ledger_of_others_does_not_exist(world: World) -> None:
    answer = world.ask("citizen", "GET", f"/ledger?person_id={OTHER}")
    assert (answer.status_code, answer.json["code"]) == (404, "person.unknown")
    assert world.calls.asked == []


def test_staff_name_the_person_whose_ledger_they_read(world: World) -> None:
    answer = world.ask("case_worker", "GET", "/ledger")
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/person_id")


def test_the_page_tells_it_in_german_and_marks_what_a_program_did(world: World) -> None:
    filled(
        world,
        disclosed(NEW, automatic=True, notices=["rectified"]),
        disclosed(OLD, partner_id="", partner_name="", refused=True, state="denied", norms=[]),
    )
    sign_in(world)
    text = page(world, "/meine-daten/protokoll").get_data(as_text=True)
    for told in (
        "Rentenversicherung",
        "automatischer Abruf",
        "Kontaktdaten",
        "§\N{NO-BREAK SPACE}69 Abs.\N{NO-BREAK SPACE}1 Nr.\N{NO-BREAK SPACE}1 SGB\N{NO-BREAK SPACE}X",
        "nicht weitergegeben",
        "nicht genannt, zum Schutz anderer",
        "angesehen, 3 Mal",
        "Ihre Einschätzung",
        "§\N{NO-BREAK SPACE}67b Abs.\N{NO-BREAK SPACE}1 Satz\N{NO-BREAK SPACE}2 SGB\N{NO-BREAK SPACE}X",
        "Protokoll über Sie gelesen",
        "02.03.2026 11:00",
        "im Auftrag von Jobcenter Musterstadt",
        "Empfänger über Berichtigung informiert",
    ):
        assert told in text, told
    assert "weber" not in text
    assert "nightly-report" not in text


def test_this_is_not_right_starts_a_rectification(world: World) -> None:
    filled(world, disclosed(NEW))
    sign_in(world)
    said = {"csrf": csrf(world), "right": "rectification", "record": "disclosure:d-2", "wish": "da wohne ich nicht"}
    answer = world.client.post("/meine-daten/rechte", data=said, base_url="http://127.0.0.1:8080")
    assert answer.status_code == 303
    asked = next(question for _, method, question, _ in world.calls.asked if method == "request_right")
    assert (asked["right"], asked["record"], asked["person_id"]) == ("rectification", "disclosure:d-2", ME)


def test_a_form_of_another_site_makes_no_request(world: World) -> None:
    sign_in(world)
    said = {"csrf": "wrong", "right": "erasure"}
    answer = world.client.post("/meine-daten/rechte", data=said, base_url="http://127.0.0.1:8080")
    assert answer.status_code == 403
    assert "cases.request_right" not in world.calls.names()


def test_the_pages_are_for_citizens(world: World) -> None:
    sign_in(world, "weber")
    for path in ("/meine-daten/protokoll", "/meine-daten/rechte"):
        assert page(world, path).status_code == 403
