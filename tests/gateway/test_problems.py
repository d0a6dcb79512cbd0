"""Problem documents name the place and the remedy, and never what somebody sent."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.problems import CONTENT_TYPE, Fault, document, problem_types, slug
from services.gateway.reading import read_json
from shared.errors import Conflict, Forbidden, HandschlagError, Invalid, NotFound, Refused, Unavailable
from tests.gateway.world import ME, REQUESTS, SOME_ID, TERMS, World

ROOT = Path(__file__).parents[2]
SECRET = "Zwiebelkuchen-4711"


def problem(answer, status: int, code: str):
    assert (answer.status_code, answer.content_type) == (status, CONTENT_TYPE), answer.get_data(as_text=True)
    told = answer.json
    assert (told["status"], told["code"], told["type"]) == (status, code, f"/problems/{slug(code)}")
    assert told["title"]
    assert told["detail"]
    assert re.fullmatch(r"[0-9a-f]{32}", told["trace_id"])
    return told


def post(world: World, path: str, content: bytes | str, content_type: str = "application/json"):
    headers = {"Authorization": f"Bearer {world.token('case_worker')}", "Idempotency-Key": "k"}
    return world.client.post(f"/v1{path}", data=content, headers=headers, content_type=content_type)


def test_malformed_json_names_line_and_column_and_the_remedy(world):
    told = problem(post(world, "/persons", '{"name": "Ayşe",\n "birth_date": 1990-05-04}'), 400, "request.malformed")
    assert told["errors"][0]["detail"].startswith("line 2, column 20")
    assert told["errors"][0]["remedy"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"a": 1, "a": 2}', 400),
        (b'{"a": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
        (b'{"name": 1.5}', 422),
        (b'{"name": 9007199254740993}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
    ],
)
def test_json_that_cannot_be_signed_or_understood_is_refused(world, content, status):
    answer = post(world, "/persons", content)
    problem(answer, status, "request.malformed" if status == 400 else "request.invalid")
    assert world.calls.asked == []


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))))
def test_whatever_bytes_come_the_reader_answers_or_refuses(content):
    with suppress(Invalid, Fault):
        read_json(content)


def test_a_body_that_is_not_declared_as_json_is_refused(world):
    problem(post(world, "/persons", "name=x", "application/x-www-form-urlencoded"), 415, "request.not_json")


def test_a_body_beyond_one_mebibyte_is_refused(world):
    content = b'{"name": "' + b"x" * 1024 * 1024 + b'"}'
    problem(post(world, "/persons", content), 413, "request.too_large")


def test_each_faulty_field_is_named_with_its_remedy(world):
    body = {"name": 4, "birth_date": "04.05.1990", "colour": "blue"}
    told = problem(world.ask("case_worker", "POST", "/persons", body), 422, "request.invalid")
    assert {each["pointer"] for each in told["errors"]} == {"/name", "/birth_date", "/colour"}
    assert all(each["detail"] and each["remedy"] for each in told["errors"])


def test_a_field_inside_is_named_by_its_whole_path(world):
    terms = {**TERMS, "given_by": ["data_subject", SECRET], "information": {**TERMS["information"], "language": 7}}
    told = problem(world.ask("case_worker", "POST", "/consents", {"terms": terms}), 422, "request.invalid")
    assert {each["pointer"] for each in told["errors"]} == {"/terms/given_by/1", "/terms/information/language"}


def test_unknown_query_parameters_are_refused(world):
    told = problem(world.ask("case_worker", "GET", "/cases?persn_id=4"), 422, "request.invalid")
    assert told["errors"][0]["pointer"] == "/persn_id"
    problem(world.ask("case_worker", "GET", f"/persons/{ME}?verbose=1"), 422, "request.invalid")
    problem(world.ask("case_worker", "GET", "/cases?limit=1&limit=2"), 422, "request.invalid")
    problem(world.ask("case_worker", "POST", "/persons?dry_run=1", {}), 422, "request.invalid")
    assert world.calls.asked == []


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "1.5", "9" * 40])
def test_a_page_size_out_of_range_is_refused(world, limit):
    problem(world.ask("case_worker", "GET", f"/cases?limit={limit}"), 422, "request.invalid")


@pytest.mark.parametrize(
    ("name", "change", "code", "pointer"),
    [
        ("exchange.request_disclosure", {"categories": ["contact_data", SECRET]}, "category", "/categories/1"),
        ("exchange.request_disclosure", {"purpose": SECRET}, "purpose", "/purpose"),
        ("exchange.request_disclosure", {"basis": f"§ 999 {SECRET}"}, "norm", "/basis"),
        ("exchange.request_disclosure", {"facts": {"sunny": True}}, "fact", "/facts/sunny"),
        ("exchange.request_disclosure", {"facts_by_category": {"sunny": {}}}, "category", "/facts_by_category/sunny"),
        ("consent.give_consent", {"terms": {**TERMS, "categories": [SECRET]}}, "category", "/terms/categories/0"),
        ("consent.give_consent", {"terms": {**TERMS, "purpose": SECRET}}, "purpose", "/terms/purpose"),
        ("consent.give_release", {"categories": [SECRET]}, "category", "/categories/0"),
        ("cases.record_entry", {"category": SECRET}, "category", "/category"),
    ],
)
def test_a_word_that_the_law_does_not_know_has_a_problem_of_its_own(world, name, change, code, pointer):
    path, body = REQUESTS[name]
    told = problem(world.ask("case_worker", "POST", path, {**body, **change}), 422, f"vocabulary.unknown_{code}")
    assert told["errors"][0]["pointer"] == pointer
    assert world.calls.asked == []


@pytest.mark.parametrize(("field", "code"), [("body", "body"), ("domain", "domain")])
def test_an_unknown_kind_of_body_has_a_problem_of_its_own(world, field, code):
    path, body = REQUESTS["exchange.register_partner"]
    wrong = {**body, "kind": {**body["kind"], field: SECRET}}
    problem(world.ask("operator", "POST", path, wrong), 422, f"vocabulary.unknown_{code}")


def test_when_the_audit_log_is_away_nothing_has_left(world):
    for code in ("audit.unavailable", "audit.receipt_not_proven", "log.not_signed"):
        world.calls.answers["exchange.request_disclosure"] = Unavailable(code)
        answer = world.ask("case_worker", "POST", *REQUESTS["exchange.request_disclosure"])
        told = problem(answer, 503, "audit.unavailable")
        assert "nothing has left" in told["detail"]
        assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("consent.invalid", "x"), 422),
        (NotFound("consent.unknown"), 404),
        (Forbidden("role.not_allowed"), 403),
        (Refused("consent.already_recorded"), 409),
        (Conflict("case.changed"), 412),
        (Unavailable("consent.unavailable"), 503),
    ],
)
def test_the_errors_of_the_services_have_their_status_and_type(world, error, status):
    world.calls.answers["consent.give_consent"] = error
    problem(world.ask("case_worker", "POST", "/consents", {"terms": TERMS}), status, error.code)


def test_an_error_that_is_not_documented_tells_its_kind_only(world):
    world.calls.answers["consent.give_consent"] = Refused("consent.on_a_sunday", "not on Sundays")
    told = problem(world.ask("case_worker", "POST", "/consents", {"terms": TERMS}), 409, "other.refused")
    assert told["detail"] == "not on Sundays"


def test_our_own_faults_keep_their_text_to_themselves(world):
    for error in (RuntimeError(SECRET), Forbidden("call.not_granted", SECRET), HandschlagError("internal", SECRET)):
        world.calls.answers["cases.person"] = error
        answer = world.ask("case_worker", "GET", f"/persons/{ME}")
        problem(answer, 500, "internal")
        assert SECRET not in answer.get_data(as_text=True)


def test_unknown_places_and_methods_are_problems_too(world):
    problem(world.client.get("/v1/nothing"), 404, "request.no_such_place")
    refused = world.client.delete("/v1/persons")
    problem(refused, 405, "request.method_not_allowed")
    assert "POST" in refused.headers["Allow"]
    problem(world.ask("case_worker", "GET", "/persons/%00"), 404, "request.no_such_place")
    problem(world.ask("case_worker", "GET", f"/persons/{'x' * 101}"), 404, "request.no_such_place")


def test_no_answer_repeats_what_was_sent(world):
    """Names of fields are told as far as they look like names; values never are."""
    for name, (path, body) in REQUESTS.items():
        if body is None:
            continue
        for field in body:
            for wrong in (SECRET, [SECRET], {f"{SECRET} Straße": SECRET}, {"$erased": True}):
                role = "operator" if "register" in name and "person" not in name else "case_worker"
                role = "partner_system" if name == "exchange.acknowledge" else role
                answer = world.ask(
                    role, "POST" if "hand_over" not in name else "PUT", path, {**body, field: wrong}, If_Match='"3"'
                )
                if answer.status_code >= 400:
                    assert SECRET not in answer.get_data(as_text=True), (name, field)
        answer = world.ask("case_worker", "POST", path, {**body, f"{SECRET} Straße": 1})
        assert SECRET not in answer.get_data(as_text=True)
    for path in (f"/cases?{SECRET}%20=1", f"/cases?limit={SECRET}", f"/nothing/{SECRET}"):
        assert SECRET not in world.ask("case_worker", "GET", path).get_data(as_text=True).replace("/" + SECRET, "")


def test_words_that_a_service_quotes_are_left_out():
    error = Invalid(
        "policy.request_not_understood",
        f"unknown purpose '{SECRET}'",
        "",
        [
            ("/purpose", f"unknown purpose '{SECRET}'", "See the vocabulary of the law."),
            (f"/facts/{SECRET} Straße/a", "unknown", ""),
        ],
    )
    told = document(error)
    assert SECRET not in str(told)
    assert [each["pointer"] for each in told["errors"]] == ["/purpose", "/facts"]


def test_every_type_has_a_page_in_german_and_english(world):
    for code, texts in problem_types().items():
        assert set(texts) == {"title", "en", "titel", "de"}
        answer = world.client.get(f"/problems/{slug(code)}")
        page = answer.get_data(as_text=True)
        assert answer.status_code == 200
        assert 'lang="en"' in page
        assert code in page
    assert world.client.get("/problems/never-heard-of").status_code == 404
    assert len({slug(code) for code in problem_types()}) == len(problem_types())


INSIDE = (
    "bookmark.",
    "broker.",
    "call.",
    "calls.",
    "command.id",
    "config.",
    "custody.",
    "event.",
    "identity.",
    "mailbox.",
    "message.",
    "outbox.",
    "projection.",
    "provider.",
    "relay.",
    "retention.",
    "sealed.",
    "agency.missing",
    "law.",
    "database.missing",
    "ruling.",
    "inbox.no_handler",
    "audit.",
    "log.agency",
    "log.origin",
    "log.database",
    "log.kept",
    "log.key",
    "log.no_sequencer",
    "log.not_signed",
    "person.key_missing",
    "envelope.",
    "note.",
    "tree.",
    "witness.",
    "migration",
    "contract",
    "demo.",
    "doctor.",
)
"""Areas whose errors never reach a caller, or reach them as somebody else's: start-up, keys, broker, our own calls."""


def test_every_code_that_a_caller_can_meet_is_documented():
    pattern = re.compile(
        r"(?:Invalid|NotFound|Forbidden|Refused|Conflict|Unavailable|Fault)\(\s*(?:\d+,\s*)?\"([a-z_.0-9]+)\""
    )
    found = {
        code
        for folder in ("services", "shared")
        for file in (ROOT / folder).rglob("*.py")
        if "command" not in file.parts
        for code in pattern.findall(file.read_text(encoding="utf-8"))
    }
    missing = {code for code in found if code not in problem_types() and not code.startswith(INSIDE)}
    assert not missing
    assert yaml.safe_load((ROOT / "services/gateway/problem_types.yaml").read_text(encoding="utf-8"))


def test_answers_carry_trace_and_request_id(world):
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = world.ask(
        "case_worker", "GET", f"/cases/{SOME_ID}", traceparent=f"00-{trace}-b7ad6b7169203331-01", X_Request_Id="req-1"
    )
    assert answer.headers["traceparent"].split("-")[1] == trace
    assert answer.headers["X-Request-Id"] == "req-1"
    assert world.calls.asked[-1][3].trace.split("-")[1] == trace
    odd = world.ask("case_worker", "GET", f"/cases/{SOME_ID}", traceparent="<b>", X_Request_Id="a b<script>")
    assert re.fullmatch(r"[0-9a-f-]{36}", odd.headers["X-Request-Id"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", odd.headers["traceparent"])


def test_when_gateway_and_service_misread_each_other_the_caller_is_not_blamed(world):
    world.calls.answers["cases.person"] = Invalid("request.invalid", "x", "", [("/new_field", "Unknown field.", "")])
    problem(world.ask("case_worker", "GET", f"/persons/{ME}"), 500, "internal")
