"""Withdrawing over HTTP before the real service: nobody is sent away, and nobody learns whose an id is."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from services.consent.domain.consent import (
    Consent,
    ConsentGiven,
    ConsentWithdrawn,
    GiveConsent,
    WithdrawalNoted,
    WithdrawConsent,
)
from services.consent.domain.terms import Terms
from shared.domain import Json, Receipt
from shared.schema import parse
from tests.gateway.test_sign_in import csrf, page, sign_in
from tests.gateway.world import ME, OTHER, TERMS, World
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform


class Register:
    """The front door before a register of consents."""

    def __init__(self, folder: Path, platform: LocalPlatform, clock: FixedClock) -> None:
        self.platform = platform
        self.world = World(folder, clock, calls=platform.calls)

    def give(self, person_id: str, agency: str = "jobcenter") -> str:
        consent_id = str(uuid.uuid4())
        given = GiveConsent(consent_id=consent_id, terms=parse(Terms, {**TERMS, "person_id": person_id}))
        self.platform.ask("consent", "give_consent", given, Receipt, agency=agency)
        return consent_id

    def withdraw(self, role: str, consent_id: str, **headers: str) -> TestResponse:
        return self.world.ask(role, "POST", f"/consents/{consent_id}/withdrawal", **headers)

    def happened(self, consent_id: str, agency: str = "jobcenter") -> list[type]:
        store = self.platform.contexts["consent"].store.agency(agency)
        return [type(record.event) for record in store.read(Consent, consent_id)]


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Register]:
    clock = FixedClock()
    with local_platform(tmp_path_factory.mktemp("platform"), clock=clock) as platform:
        yield Register(tmp_path_factory.mktemp("gateway") / "state", platform, clock)


def told(answer: TestResponse, consent_id: str) -> tuple[int, str, set[str]]:
    """What somebody can see of an answer, but for the id that they sent."""
    body = answer.get_data(as_text=True).replace(consent_id, "ID")
    version = answer.headers["ETag"].partition("-")[0]
    return answer.status_code, f"{body} {version}", set(answer.headers.keys())


def test_what_was_never_given_is_taken_back_all_the_same(register: Register) -> None:
    unknown = str(uuid.uuid4())
    answer = register.withdraw("citizen", unknown)
    found: Json = answer.get_json()
    assert (answer.status_code, found["status"], found["terms"], found["withdrawn_on"]) == (
        200,
        "nothing_given",
        None,
        None,
    )
    assert register.happened(unknown) == [WithdrawalNoted]


def test_the_second_time_answers_alike_and_records_nothing_more(register: Register) -> None:
    unknown, key = str(uuid.uuid4()), str(uuid.uuid4())
    first, again = register.withdraw("citizen", unknown, Idempotency_Key=key), register.withdraw("citizen", unknown)
    assert told(first, unknown) == told(again, unknown)
    repeated = register.withdraw("citizen", unknown, Idempotency_Key=key)
    assert (repeated.status_code, repeated.get_json()) == (200, first.get_json())
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert register.happened(unknown) == [WithdrawalNoted]


def test_the_consent_of_another_person_stays_and_is_not_told_from_an_id_that_nobody_uses(register: Register) -> None:
    theirs, unknown = register.give(OTHER), str(uuid.uuid4())
    for _ in range(2):
        mine, nobodys = register.withdraw("citizen", theirs), register.withdraw("citizen", unknown)
        assert told(mine, theirs) == told(nobodys, unknown)
    assert register.happened(theirs) == [ConsentGiven, WithdrawalNoted]
    assert register.world.ask("case_worker", "GET", f"/consents/{theirs}").get_json()["status"] == "given"
    for consent_id in (theirs, unknown):
        assert register.world.ask("citizen", "GET", f"/consents/{consent_id}").status_code == 404


def test_the_consent_of_another_agency_stays_and_is_not_told_from_an_id_that_nobody_uses(register: Register) -> None:
    elsewhere, unknown = register.give(ME, agency="elsewhere"), str(uuid.uuid4())
    for role in ("case_worker", "citizen"):
        theirs, nobodys = register.withdraw(role, elsewhere), register.withdraw(role, unknown)
        assert told(theirs, elsewhere) == told(nobodys, unknown)
    assert register.happened(elsewhere, "elsewhere") == [ConsentGiven]
    assert register.happened(elsewhere) == [WithdrawalNoted]


@pytest.mark.parametrize("role", ["citizen", "case_worker"])
def test_what_was_given_is_withdrawn_also_after_somebody_else_tried(register: Register, role: str) -> None:
    mine = register.give(ME)
    register.platform.ask(
        "consent",
        "withdraw_consent",
        WithdrawConsent(consent_id=mine, person_id=OTHER),
        Receipt,
        agency="jobcenter",
        role="citizen",
    )
    found: Json = register.withdraw(role, mine).get_json()
    assert (found["status"], found["terms"]["person_id"], found["withdrawn_on"]) == ("withdrawn", ME, "2026-03-02")
    assert register.happened(mine) == [ConsentGiven, WithdrawalNoted, ConsentWithdrawn]


def test_the_page_after_a_button_tells_a_stranger_nothing_either(register: Register) -> None:
    theirs, unknown = register.give(OTHER), str(uuid.uuid4())
    sign_in(register.world)
    seen = []
    for consent_id in (theirs, unknown):
        path = f"/meine-daten/einwilligungen/{consent_id}/widerruf"
        said = {"csrf": csrf(register.world)}
        answer = register.world.client.post(path, data=said, base_url="http://127.0.0.1:8080")
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
        seen.append(page(register.world, path).get_data(as_text=True).replace(consent_id, "ID"))
    assert seen[0] == seen[1]
    assert "Hier haben Sie nichts erteilt" in seen[0]
    assert register.happened(theirs) == [ConsentGiven, WithdrawalNoted]
