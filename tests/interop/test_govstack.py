"""GovStack's operations: every one met, served elsewhere or refused with a reason; what is served, says what it is."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.gateway.auth import GRANTS
from services.gateway.resources import OPERATIONS
from services.gateway.resources.govstack import govstack
from shared.errors import NotFound
from shared.policy import present_law
from tests.gateway.world import ME, OTHER, SOME_ID, TERMS, World
from tests.support.clock import FixedClock

FOLDER = Path(__file__).resolve().parents[2] / "contracts" / "interoperability"
TABLE: list[dict[str, str]] = yaml.safe_load((FOLDER / "govstack.yaml").read_text("utf-8"))["operations"]
RECORDS = "/govstack/service/individual/record"
VERDICTS = {"served": "served", "elsewhere": "elsewhere", "refused": "refused"}


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("govstack") / "state", FixedClock())


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.start_anew()
    return shared_world


def rows() -> list[dict[str, str]]:
    with (Path(__file__).parent / "govstack" / "endpoints.csv").open(encoding="utf-8", newline="") as source:
        return [row for row in csv.DictReader(source) if row["Endpoint slug"].startswith("/")]


def written() -> str:
    """The page for people, from the table."""
    lines = [
        "# GovStack consent building block",
        "",
        "Version 1.1.0-rc1 (github.com/GovStackWorkingGroup/bb-consent). Served operations stand under `/v1/govstack`;",
        "who asks is named by the token and never by a header, roles are those of `/openapi.json`. A data agreement is",
        "what one person was asked; its id is that of the offer, and of the consent that comes of it. Hashes are",
        "SHA-256. From `govstack.yaml`, held against the list of the standard by `tests/interop/test_govstack.py`.",
        "",
        "| operation | | here | verdict | why |",
        "|---|---|---|---|---|",
    ]
    for row in TABLE:
        here = f"`{row['by']}`" if "by" in row else ""
        here += f" as `{row['as']}`" if "as" in row else ""
        asked = f"`{row['method']} {row['path']}`"
        lines.append(f"| `{row['id']}` | {asked} | {here} | {row['verdict']} | {row['why']} |")
    return "\n".join(lines) + "\n"


def test_no_operation_of_the_standard_is_forgotten_and_none_is_invented() -> None:
    listed = [(row["API Label"], row["Type"], row["Endpoint slug"]) for row in rows()]
    assert sorted((row["id"], row["method"], row["path"]) for row in TABLE) == sorted(listed)
    assert len(TABLE) == 42


def test_each_has_a_verdict_and_a_reason_and_names_an_operation_that_exists() -> None:
    for row in TABLE:
        assert row["verdict"] in VERDICTS
        assert row["why"]
        assert ("by" in row) == (row["verdict"] != "refused")
        assert row.get("by", "vocabulary") in OPERATIONS
        if row["why"].startswith("as "):
            assert any(other["id"] == row["why"].split()[1].rstrip(";") for other in TABLE), row["why"]


def test_what_is_served_stands_at_the_paths_of_the_standard_and_nothing_else_does() -> None:
    served: dict[str, list[str]] = {row["by"]: [] for row in TABLE if row["verdict"] == "served"}
    for row in TABLE:
        if row["verdict"] == "served":
            served[row["by"]].append(
                row.get("as", f"{row['method']} {row['path']}").replace("{", "<").replace("}", ">")
            )
    assert served.keys() == {operation.name for operation in govstack.operations}
    for operation in govstack.operations:
        assert f"{operation.method} {operation.path.removeprefix('/govstack')}" in served[operation.name]


def test_the_page_for_people_is_that_of_the_table() -> None:
    assert (FOLDER / "govstack.md").read_text("utf-8") == written()


@pytest.mark.parametrize(
    ("name", "rests_on"),
    [
        ("govstack.data_agreement", "consent.offer"),
        ("govstack.draft_record", "consent.offer"),
        ("govstack.records", "consent.consents"),
        ("govstack.record_of_agreement", "consent.consent"),
        ("govstack.records_of_agreement", "consent.consent"),
        ("govstack.verified_record", "consent.consent"),
        ("govstack.create_record", "consent.accept_offer"),
        ("govstack.update_record", "consent.withdraw_consent"),
        ("govstack.update_record", "consent.decline_offer"),
        ("govstack.update_record", "consent.resume_consent"),
    ],
)
def test_nobody_may_do_more_here_than_by_our_own_operations(name: str, rests_on: str) -> None:
    assert GRANTS[name] <= GRANTS[rests_on]


def test_a_person_says_yes_to_what_was_offered_to_them(world: World) -> None:
    answer = world.ask("citizen", "POST", f"{RECORDS}/data-agreement/{SOME_ID}/")
    assert answer.status_code == 201
    accepted = next(question for _, method, question, _ in world.calls.asked if method == "accept_offer")
    assert accepted["answer"]["given_by"] == ["data_subject"]
    record = answer.json["consentRecord"]
    assert (record["individual"], record["state"]) == ({"id": ME}, "signed")


def test_a_no_withdraws_in_one_step_and_asks_for_no_version(world: World) -> None:
    world.calls.answers["consent.consent"] = {"status": "withdrawn"}
    answer = world.ask("citizen", "PUT", f"{RECORDS}/consent-record/{SOME_ID}/", {"optIn": False})
    assert (answer.status_code, answer.json["consentRecord"]["optIn"]) == (200, False)
    assert "consent.withdraw_consent" in world.calls.names()


@pytest.mark.parametrize(("opt_in", "method"), [(True, "accept_offer"), (False, "decline_offer")])
def test_before_an_answer_an_update_answers_the_offer(world: World, opt_in: bool, method: str) -> None:  # noqa: FBT001
    world.calls.answers["consent.consent"] = NotFound("consent.unknown")

    def answered(name: str) -> None:
        if name == f"consent.{method}":
            del world.calls.answers["consent.consent"]

    world.calls.before = answered
    assert world.ask("citizen", "PUT", f"{RECORDS}/consent-record/{SOME_ID}/", {"optIn": opt_in}).status_code == 200
    assert f"consent.{method}" in world.calls.names()


def test_a_pause_ends_by_a_yes(world: World) -> None:
    assert world.ask("citizen", "PUT", f"{RECORDS}/consent-record/{SOME_ID}/", {"optIn": True}).status_code == 200
    assert "consent.resume_consent" in world.calls.names()


def test_nothing_but_the_answer_can_be_changed(world: World) -> None:
    body = {"optIn": False, "individual": {"id": OTHER}}
    answer = world.ask("citizen", "PUT", f"{RECORDS}/consent-record/{SOME_ID}/", body)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/individual")


@pytest.mark.parametrize("status", ["given", "paused", "withdrawn", "refused", "expired", "replaced"])
def test_opt_in_is_what_the_person_said_last(world: World, status: str) -> None:
    world.calls.answers["consent.consent"] = {"status": status}
    record = world.ask("citizen", "GET", f"{RECORDS}/data-agreement/{SOME_ID}/").json["consentRecord"]
    assert record["optIn"] == (status == "given")


def test_to_a_citizen_agreements_and_records_of_others_do_not_exist(world: World) -> None:
    world.calls.answers["consent.consent"] = {"terms": {**TERMS, "person_id": OTHER}}
    world.calls.answers["consent.offer"] = NotFound("consent.unknown")
    for method, path, body in (
        ("GET", f"/govstack/service/data-agreement/{SOME_ID}/", None),
        ("GET", f"{RECORDS}/data-agreement/{SOME_ID}/", None),
        ("GET", f"{RECORDS}/data-agreement/{SOME_ID}/all/", None),
        ("GET", f"{RECORDS}/consent-record/draft/{SOME_ID}/", None),
        ("POST", f"{RECORDS}/data-agreement/{SOME_ID}/", None),
        ("PUT", f"{RECORDS}/consent-record/{SOME_ID}/", {"optIn": False}),
    ):
        answer = world.ask("citizen", method, path, body)
        assert (answer.status_code, answer.json["code"]) == (404, "consent.unknown"), path
    assert world.ask("citizen", "GET", f"{RECORDS}/consent-record/?individualId={OTHER}").status_code == 404
    assert not {"consent.withdraw_consent", "consent.accept_offer"} & set(world.calls.names())


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (f"/govstack/service/data-agreement/{SOME_ID}/", "dataAgreement"),
        (f"/govstack/service/policy/{present_law().hash}/", "policy"),
        (f"/govstack/service/verification/consent-record/{SOME_ID}/", "consentRecord"),
    ],
)
def test_a_revision_holds_what_it_hashes(world: World, path: str, named: str) -> None:
    found: Any = world.ask("case_worker", "GET", path).json
    revision = found["revision"]
    assert hashlib.sha256(revision["serializedSnapshot"].encode()).hexdigest() == revision["serializedHash"]
    assert json.loads(revision["serializedSnapshot"])["objectData"] == found[named]


def test_a_record_names_the_very_text_of_its_agreement(world: World) -> None:
    world.calls.answers["consent.offer"] = NotFound("consent.unknown")
    agreement: Any = world.ask("citizen", "GET", f"/govstack/service/data-agreement/{SOME_ID}/").json
    record: Any = world.ask("citizen", "GET", f"{RECORDS}/data-agreement/{SOME_ID}/").json["consentRecord"]
    snapshot = agreement["revision"]["serializedSnapshot"]
    assert record["dataAgreementRevisionHash"] == hashlib.sha256(snapshot.encode()).hexdigest()
