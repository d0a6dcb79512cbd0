"""Deny by default: no token, no answer; another role, no answer."""

import pytest

from services.gateway.auth import GRANTS, ROLES
from services.gateway.console.pages import OWN_WORDS
from services.gateway.resources import OPERATIONS
from tests.gateway.world import ME, OTHER, REQUESTS, SOME_ID, TERMS, World

BY_A_PERSON = {
    ("exchange.confirm_disclosure", "case_worker"): "weber",
    ("exchange.review_break_glass", "case_worker"): "weber",
}
"""What no program does in a person's place, and who does it here."""


def call(world: World, name: str, role: str | None):
    operation = OPERATIONS[name]
    path, body = REQUESTS[name]
    headers = {"If_Match": '"3"'} if operation.guarded else {}
    if role is None:
        return world.client.open(f"/v1{path}", method=operation.method, json=body)
    return world.ask(BY_A_PERSON.get((name, role), role), operation.method, path, body, **headers)


def test_the_table_of_roles_names_every_operation_and_no_other():
    assert GRANTS.keys() == OPERATIONS.keys() == REQUESTS.keys()
    assert all(roles <= set(ROLES) and roles for roles in GRANTS.values())


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_open_to_its_roles_and_to_nobody_else(world, name):
    assert call(world, name, None).status_code == 401
    for role in ROLES:
        answer = call(world, name, role)
        allowed = role in GRANTS[name]
        assert (answer.status_code < 300) == allowed, (role, answer.get_data(as_text=True))
        if not allowed:
            assert (answer.status_code, answer.json["code"]) == (403, "role.not_allowed")


def test_whoever_may_not_ask_reaches_no_service(world):
    for name in OPERATIONS:
        for role in set(ROLES) - GRANTS[name]:
            call(world, name, role)
    assert world.calls.asked == []


def test_without_a_token_there_is_only_health_documentation_and_the_start_page(world):
    open_to_all = {"/healthz", "/openapi.json", "/", "/anmelden", "/anmelden/antwort", "/abmelden"}
    pages = {"/problems/<slug>", "/static/<path:filename>", "/.well-known/openid-configuration"}
    pages |= {"/law", "/law/<rule_id>", "/law/try"}
    provider = {"/provider/jwks", "/provider/authorize", "/provider/token"}
    behind_session = {"/meine-daten", *(f"/meine-daten/{path}" for path in OWN_WORDS)}
    behind_session |= {"/meine-daten/protokoll", "/meine-daten/rechte"}
    behind_session |= {"/meine-daten/einwilligungen/<consent_id>/beleg"}
    behind_session |= {"/widerrufe", "/widerrufe/<declaration_id>"}
    behind_session |= {"/meine-daten/auskunft/<request_id>", "/meine-daten/auskunft/<request_id>.json"}
    for rule in world.app.url_map.iter_rules():
        known = open_to_all | pages | provider | behind_session
        assert str(rule).startswith("/v1/") or str(rule) in known, rule
    assert world.client.get("/meine-daten").headers["Location"] == "/anmelden"
    assert world.client.post(f"/meine-daten/einwilligungen/{SOME_ID}/widerruf").headers["Location"] == "/anmelden"


def test_the_service_learns_who_asks_and_for_which_agency(world):
    world.ask("case_worker", "GET", f"/persons/{ME}")
    caller = world.calls.asked[-1][3]
    assert (caller.service, caller.actor, caller.role, caller.agency) == (
        "gateway",
        "jobcenter-app",
        "case_worker",
        "jobcenter",
    )


def test_to_a_citizen_the_consents_of_others_do_not_exist(world):
    world.calls.answers["consent.consent"] = {"terms": {**TERMS, "person_id": OTHER}}
    for method, path in (
        ("GET", f"/consents/{SOME_ID}"),
        ("POST", f"/consents/{SOME_ID}/pause"),
        ("GET", f"/consents/{SOME_ID}/withdrawal"),
    ):
        answer = world.ask("citizen", method, path)
        assert (answer.status_code, answer.json["code"]) == (404, "consent.unknown")
    assert "consent.pause_consent" not in world.calls.names()


def test_to_a_citizen_other_persons_do_not_exist(world):
    other = {"terms": {**TERMS, "person_id": OTHER}}
    for method, path, body in (
        ("GET", f"/consents?person_id={OTHER}", None),
        ("GET", f"/disclosures?person_id={OTHER}", None),
        ("POST", "/consents", other),
        ("POST", "/consents/refusals", other),
    ):
        answer = world.ask("citizen", method, path, body)
        assert (answer.status_code, answer.json["code"]) == (404, "person.unknown")
    assert world.calls.asked == []


def test_a_citizen_sees_their_own_without_naming_themselves(world):
    assert world.ask("citizen", "GET", "/consents").status_code == 200
    assert world.ask("citizen", "GET", "/disclosures").status_code == 200
    assert [question["person_id"] for _, _, question, _ in world.calls.asked] == [ME, ME]


def test_to_a_citizen_the_disclosures_of_others_do_not_exist(world):
    world.calls.answers["exchange.disclosure"] = {"person_id": OTHER}
    answer = world.ask("citizen", "GET", f"/disclosures/{SOME_ID}")
    assert (answer.status_code, answer.json["code"]) == (404, "disclosure.unknown")


def test_a_partner_reads_its_own_feed_whatever_it_asks_for(world):
    assert world.ask("partner_system", "GET", "/feed").status_code == 200
    assert world.calls.asked[-1][2]["partner_id"] == "drv"
    answer = world.ask("partner_system", "GET", "/feed?partner_id=aok")
    assert (answer.status_code, answer.json["code"]) == (403, "feed.not_yours")
    assert len(world.calls.asked) == 1


def test_a_partner_acknowledges_for_itself_only(world):
    world.ask("partner_system", "POST", "/acknowledgements", {"signed": "a.b.c"})
    assert world.calls.asked[-1][2] == {"partner_id": "drv", "signed": "a.b.c"}
    answer = world.ask("partner_system", "POST", "/acknowledgements", {"signed": "a.b.c", "partner_id": "aok"})
    assert answer.status_code == 422


def test_an_expired_token_says_so(world):
    world.token("case_worker")
    world.clock.move(minutes=15, seconds=1)
    answer = world.ask("case_worker", "GET", f"/persons/{ME}")
    assert (answer.status_code, answer.json["type"]) == (401, "/problems/token-expired")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token.missing"),
        ("Basic abc", "token.malformed"),
        ("Bearer", "token.malformed"),
        ("Bearer nonsense", "token.malformed"),
        ("Bearer a.b.c", "token.malformed"),
        ("Bearer e30.e30.", "token.bad_signature"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoib3BlcmF0b3IifQ.", "token.bad_signature"),
    ],
)
def test_what_is_no_token_of_the_issuer_is_refused_by_name(world, authorization, code):
    headers = {"Authorization": authorization} if authorization else {}
    answer = world.client.get("/v1/vocabulary", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, code)


def test_a_token_of_another_provider_is_refused(world, tmp_path, clock):
    elsewhere = World(tmp_path / "elsewhere", clock)
    answer = world.client.get("/v1/vocabulary", headers={"Authorization": f"Bearer {elsewhere.token('operator')}"})
    assert answer.json["code"] == "token.bad_signature"


def test_a_token_changed_by_one_character_is_refused(world):
    head, claims, signature = world.token("case_worker").split(".")
    changed = f"{head}.{claims[:-2]}{'A' if claims[-2] != 'A' else 'B'}{claims[-1]}.{signature}"
    answer = world.client.get("/v1/vocabulary", headers={"Authorization": f"Bearer {changed}"})
    assert answer.status_code == 401


def test_a_citizen_gives_consent_for_themselves_only(world):
    terms = {**TERMS, "given_by": ["legal_guardian"]}
    assert world.ask("citizen", "POST", "/consents", {"terms": terms}).status_code == 422
    assert world.ask("case_worker", "POST", "/consents", {"terms": terms}).status_code == 201


@pytest.mark.parametrize("name", ["exchange.confirm_disclosure", "exchange.review_break_glass"])
def test_no_program_decides_in_a_persons_place(world, name):
    path, body = REQUESTS[name]
    answer = world.ask("case_worker", "POST", path, body)
    assert (answer.status_code, answer.json["code"]) == (403, "disclosure.person_decides")
    assert world.calls.asked == []


def test_who_decided_is_the_person_who_signed_in_or_whom_the_program_names(world):
    path, body = REQUESTS["exchange.request_disclosure"]
    named = []
    for who, more in (("weber", {}), ("case_worker", {}), ("case_worker", {"decided_by": "beck"})):
        world.ask(who, "POST", path, {**body, **more})
        asked = [question for _, method, question, _ in world.calls.asked if method == "request_disclosure"]
        named.append(asked[-1]["decided_by"])
    assert named == ["weber", "", "beck"]
