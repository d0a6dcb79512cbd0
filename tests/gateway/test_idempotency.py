"""The same request twice happens once, under threads and between processes."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from services.gateway.idempotency import Attempt, Finished, Guard
from services.gateway.problems import Fault
from services.gateway.resources import OPERATIONS
from services.gateway.secret import Secret
from shared.database import Database
from shared.errors import Invalid, NotFound, Unavailable
from tests.gateway.world import REQUESTS, World

PERSON = {"name": "Ayşe Demir", "birth_date": "1990-05-04"}


def fresh() -> str:
    return str(uuid.uuid4())


def count(world: World, name: str) -> int:
    return world.calls.names().count(name)


def test_the_same_request_twice_is_carried_out_once_and_read_again(world):
    key = fresh()
    first = world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    world.calls.answers["cases.person"] = {"version": 7}
    second = world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    assert count(world, "cases.register_person") == 1
    assert (second.status_code, second.headers["Location"]) == (201, first.headers["Location"])
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert second.json["version"] == 7


@pytest.mark.parametrize("name", ["cases.record_entry", "consent.raise_objection", "exchange.acknowledge"])
def test_what_cannot_be_read_again_is_sent_again_under_the_same_command_id(world, name):
    key, role = fresh(), "partner_system" if name == "exchange.acknowledge" else "case_worker"
    for _ in range(2):
        answer = world.ask(role, "POST", *REQUESTS[name], Idempotency_Key=key)
    assert answer.headers["Idempotent-Replayed"] == "true"
    first, second = (caller.command_id for *_, caller in world.calls.asked)
    assert first == second


def test_another_body_under_the_same_key_is_refused(world):
    key = fresh()
    world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    answer = world.ask("case_worker", "POST", "/persons", {**PERSON, "name": "Jemand"}, Idempotency_Key=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency.key_reused")
    assert count(world, "cases.register_person") == 1


def test_another_operation_under_the_same_key_is_refused(world):
    key = fresh()
    world.ask("case_worker", "POST", "/objections", REQUESTS["consent.raise_objection"][1], Idempotency_Key=key)
    answer = world.ask(
        "case_worker", "POST", "/objection-notices", REQUESTS["consent.raise_objection"][1], Idempotency_Key=key
    )
    assert answer.json["code"] == "idempotency.key_reused"


def test_the_order_of_fields_does_not_make_another_request(world):
    key = fresh()
    world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    turned = dict(reversed(PERSON.items()))
    assert world.ask("case_worker", "POST", "/persons", turned, Idempotency_Key=key).status_code == 201


def test_two_callers_may_choose_the_same_key(world):
    key = fresh()
    world.ask("case_worker", "POST", "/consents", REQUESTS["consent.give_consent"][1], Idempotency_Key=key)
    answer = world.ask("citizen", "POST", "/consents", REQUESTS["consent.give_consent"][1], Idempotency_Key=key)
    assert answer.status_code == 201
    first, second = {caller.command_id for *_, caller in world.calls.asked}
    assert first != second


def test_programs_must_name_each_command_and_people_need_not(world):
    path, body = REQUESTS["consent.give_consent"]
    for role, status in (("case_worker", 400), ("citizen", 201)):
        headers = {"Authorization": f"Bearer {world.token(role)}"}
        answer = world.client.post(f"/v1{path}", json=body, headers=headers)
        assert answer.status_code == status
    assert count(world, "consent.give_consent") == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ä"])
def test_a_key_that_cannot_be_kept_is_refused(world, key):
    answer = world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    assert (answer.status_code, answer.json["code"]) == (400, "idempotency.key_malformed")


def test_after_a_refusal_the_key_is_free_for_the_corrected_request(world):
    key = fresh()
    world.calls.answers["cases.register_person"] = Invalid("person.missing")
    assert world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key).status_code == 422
    world.calls.answers.clear()
    corrected = {**PERSON, "name": "Ayşe"}
    assert world.ask("case_worker", "POST", "/persons", corrected, Idempotency_Key=key).status_code == 201


def test_when_nobody_knows_how_far_it_got_only_the_same_request_may_follow(world):
    key = fresh()
    world.calls.answers["cases.register_person"] = Unavailable("cases.unavailable")
    assert world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key).status_code == 503
    world.calls.answers.clear()
    other = {**PERSON, "name": "Jemand"}
    assert world.ask("case_worker", "POST", "/persons", other, Idempotency_Key=key).status_code == 422
    assert world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key).status_code == 201
    ids = {caller.command_id for callee, method, _, caller in world.calls.asked if method == "register_person"}
    assert len(ids) == 1


def test_a_request_that_is_being_carried_out_is_not_begun_again(world):
    key, began, go_on = fresh(), threading.Event(), threading.Event()

    def slowly(name: str) -> None:
        if name == "cases.register_person":
            began.set()
            assert go_on.wait(10)

    world.token("case_worker")
    world.calls.before = slowly
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.ask, "case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
        assert began.wait(10)
        second = world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
        go_on.set()
        assert (second.status_code, second.json["code"]) == (409, "idempotency.running")
        assert first.result(10).status_code == 201
    assert count(world, "cases.register_person") == 1


def test_of_many_at_once_one_is_carried_out(world):
    key = fresh()
    world.token("case_worker")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key), range(16))
        )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert any(answer.status_code == 201 for answer in answers)
    assert count(world, "cases.register_person") == 1


def test_neither_keys_nor_bodies_are_kept(world):
    key = fresh()
    world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key)
    with Database(world.settings.database_url("gateway")).read() as tx:
        rows = str(tx.execute(text("select * from requests")).all())
    assert "Demir" not in rows
    assert key not in rows


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/gateway.db"
        return
    server = request.getfixturevalue("postgres_server")
    database = Database(server.url)
    with database.write() as tx:
        tx.execute(text("drop table if exists requests"))
    yield server.url
    with database.write() as tx:
        tx.execute(text("drop table if exists requests"))
    database.close()


def guards(url: str, tmp_path, clock) -> tuple[Guard, Guard]:
    secret = Secret.open(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(Guard, Database(url), secret, clock) for _ in range(2)]
        return made[0].result(30), made[1].result(30)


def test_two_processes_share_one_memory(database_url, tmp_path, clock):
    one, two = guards(database_url, tmp_path, clock)
    begun = one.begin("agency/app", "k", b"request")
    assert isinstance(begun, Attempt)
    with pytest.raises(Fault, match=r"idempotency\.running"):
        two.begin("agency/app", "k", b"request")
    one.finish(begun, 201, "/persons/1")
    assert two.begin("agency/app", "k", b"request") == Finished(201, "/persons/1")
    with pytest.raises(Fault, match=r"idempotency\.key_reused"):
        two.begin("agency/app", "k", b"another")


def test_an_attempt_that_died_is_taken_over_after_30_seconds_and_cannot_come_back(database_url, tmp_path, clock):
    one, two = guards(database_url, tmp_path, clock)
    died = one.begin("agency/app", "k", b"request")
    clock.move(seconds=31)
    taken = two.begin("agency/app", "k", b"request")
    assert isinstance(taken, Attempt)
    assert isinstance(died, Attempt)
    one.finish(died, 201, "/persons/ghost")
    one.forget(died)
    two.finish(taken, 201, "/persons/1")
    assert one.begin("agency/app", "k", b"request") == Finished(201, "/persons/1")


def test_of_two_processes_that_begin_at_once_one_carries_it_out(database_url, tmp_path, clock):
    both = guards(database_url, tmp_path, clock)

    def begin(guard: Guard, key: str) -> object:
        try:
            return guard.begin("agency/app", key, b"request")
        except Fault as error:
            return error.code

    for number in range(20):
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda guard, n=number: begin(guard, f"k{n}"), both))
        assert sum(isinstance(result, Attempt) for result in results) == 1
        assert "idempotency.running" in results


def test_the_secret_is_private_and_stays_the_same(tmp_path):
    one, two = Secret.open(tmp_path / "keys"), Secret.open(tmp_path / "keys")
    assert one.key("session") == two.key("session") != one.key("etag")
    assert (tmp_path / "keys" / "gateway-secret").stat().st_mode & 0o077 == 0


def test_only_changes_take_a_key():
    assert all(operation.method in ("POST", "PUT") for operation in OPERATIONS.values() if operation.changes)


def test_what_was_done_but_could_not_be_shown_is_not_forgotten(world):
    key = fresh()
    world.calls.answers["cases.person"] = NotFound("person.unknown")
    assert world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key).status_code == 404
    world.calls.answers.clear()
    other = {**PERSON, "name": "Jemand"}
    assert world.ask("case_worker", "POST", "/persons", other, Idempotency_Key=key).status_code == 422
    assert world.ask("case_worker", "POST", "/persons", PERSON, Idempotency_Key=key).status_code == 201
