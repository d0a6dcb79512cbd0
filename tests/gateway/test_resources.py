"""Every operation reaches its service in the service's own words, and shows what the service answers.

The stand-in services refuse a question that the real method would not understand, and answer with all the fields of
what the real method answers; so each test here also holds the two sides together.
"""

import uuid

import pytest

from services.gateway.resources import OPERATIONS
from tests.gateway.test_roles import call
from tests.gateway.world import ME, REQUESTS, SOME_ID

OF_THE_GATEWAY = (
    "vocabulary",
    "keys",
    "registers.processing",
    "registers.impact",
    "exchange.withdrawal_report",
    *(name for name in OPERATIONS if name.startswith("govstack.") or name == "consent.receipt"),
)


def role_for(name: str) -> str:
    if name in ("govstack.create_record", "govstack.update_record"):
        return "citizen"
    if name.startswith("govstack.") or name == "consent.receipt":
        return "case_worker"
    if name.startswith("audit") or name in OF_THE_GATEWAY or "breach" in name:
        return "auditor"
    if name in ("exchange.feed", "exchange.acknowledge"):
        return "partner_system"
    return "operator" if "agency" in name or name == "exchange.register_partner" else "case_worker"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_speaks_the_words_of_its_service(world, name):
    answer = call(world, name, role_for(name))
    assert answer.status_code == OPERATIONS[name].status, answer.get_data(as_text=True)
    assert name in world.calls.names() or name in OF_THE_GATEWAY
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", sorted(name for name, each in OPERATIONS.items() if each.shows))
def test_what_was_made_can_be_read_where_the_answer_says(world, name):
    made = call(world, name, role_for(name))
    read = world.ask(role_for(name), "GET", made.headers["Location"].removeprefix("/v1"))
    assert read.status_code == 200
    assert read.json.keys() == made.json.keys()
    assert read.headers.get("ETag") == made.headers.get("ETag")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("cases.register_person", "person_id"),
        ("cases.open_case", "case_id"),
        ("consent.give_consent", "consent_id"),
        ("consent.give_release", "release_id"),
        ("health.record_assessment", "assessment_id"),
        ("exchange.request_disclosure", "disclosure_id"),
    ],
)
def test_the_client_may_choose_a_uuid_as_the_id_and_nothing_else(world, name, field):
    path, body = REQUESTS[name]
    chosen = str(uuid.uuid4())
    assert world.ask("case_worker", "POST", path, {**body, field: chosen}).status_code == 201
    assert any(question.get(field) == chosen for _, _, question, _ in world.calls.asked)
    refused = world.ask("case_worker", "POST", path, {**body, field: "Max Mustermann"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, f"/{field}")


def test_health_data_goes_to_the_health_service_and_the_rest_into_the_file(world):
    entry = {"person_id": ME, "content": "…"}
    file = world.ask("case_worker", "POST", "/entries", {**entry, "category": "contact_data"})
    health = world.ask("case_worker", "POST", "/entries", {**entry, "category": "health_data"})
    assert (file.json["kept_by"], health.json["kept_by"]) == ("cases", "health")
    assert world.calls.names() == ["cases.record_entry", "health.record_finding"]


def test_a_withdrawal_needs_no_body_and_no_reason(world):
    assert world.ask("case_worker", "POST", f"/consents/{SOME_ID}/withdrawal").status_code == 200
    assert world.ask("case_worker", "POST", f"/consents/{SOME_ID}/withdrawal", {}).status_code == 200
    answer = world.ask("case_worker", "POST", f"/consents/{SOME_ID}/withdrawal", {"reason": "…"})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/reason")


def test_a_denied_disclosure_is_an_answer_and_not_an_error(world):
    world.calls.answers["exchange.disclosure"] = {"state": "denied", "answer": "Dafür fehlt die Einwilligung."}
    answer = world.ask("case_worker", "POST", "/disclosures", REQUESTS["exchange.request_disclosure"][1])
    assert (answer.status_code, answer.json["state"]) == (201, "denied")


def test_pages_link_to_the_next_one(world):
    answer = world.ask("auditor", "GET", "/log/entries?limit=3")
    assert answer.headers["Link"] == '</v1/log/entries?limit=3&after=3>; rel="next"'


def test_an_empty_feed_waits_no_longer_than_was_asked_for(world):
    world.calls.answers["exchange.feed"] = {"items": [], "next": 4}
    answer = world.ask("partner_system", "GET", "/feed?after=4&wait=1")
    assert (answer.status_code, answer.json) == (200, {"items": [], "next": 4})
    assert len(world.calls.asked) >= 2


def test_a_waiting_feed_answers_as_soon_as_there_is_something(world):
    world.calls.answers["exchange.feed"] = {"items": [], "next": 4}

    def arrives(_name: str) -> None:
        if len(world.calls.asked) == 2:
            del world.calls.answers["exchange.feed"]

    world.calls.before = arrives
    answer = world.ask("partner_system", "GET", "/feed?after=4&wait=25")
    assert len(answer.json["items"]) == 1


def test_the_vocabulary_tells_the_words_of_the_law(world):
    words = world.ask("case_worker", "GET", "/vocabulary").json
    assert {"id": "sgb_ii", "de": "Grundsicherung für Arbeitsuchende (SGB II)"} in words["domains"]
    assert {each["id"]: each["health"] for each in words["categories"]}["health_data"]
    assert world.calls.asked == []
