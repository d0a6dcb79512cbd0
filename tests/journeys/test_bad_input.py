"""What is wrong is refused by name, with its place and its remedy; nothing is half done and nothing is echoed."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import httpx
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from kombu import Connection

from contracts.verify_receipt import verify_receipt
from services import SERVICES
from services.command.demo.partner import DemoPartner, FeedInbox
from services.command.demo.platform_client import As
from services.command.demo.world import AGENCY, PARTNERS
from tests.journeys.acting import ANSWERED_FOR, CONFERENCE, FACTS, INFORMED, Office, new_key
from tests.journeys.plain_httpx import acknowledgement
from tests.support.platform import COMMAND, Platform, problem_of

Json = dict[str, Any]
PENSION, HEALTH = PARTNERS
NONSENSE = "Zwirbelquatsch-8812"
KEPT = {
    "events": "type",
    "entry": "kind",
    **dict.fromkeys(("partner_queue", "draft", "requests", "person_keys", "disclosure_list"), "'rows'"),
}
"""Tables in which nothing may stand that was refused, and what tells their rows apart."""

HASHED = "audit.entry.event"
"""The hashes of events that stood before reach the log whenever it suits them."""


@pytest.fixture(scope="module")
def office(embedded_platform: Platform) -> Office:
    return Office(embedded_platform).open()


@pytest.fixture(scope="module")
def person(office: Office) -> str:
    return office.person()


@pytest.fixture(scope="module")
def document(office: Office, person: str) -> Json:
    """One delivery to the health insurer."""
    office.consent(person, HEALTH, ["master_data"])
    made = office.disclose(person, HEALTH, ["master_data"])
    return fetched(office, made["disclosure_id"])


@pytest.fixture
def writes() -> None:
    """For the tests that mean to write something."""


@pytest.fixture(autouse=True)
def nothing_half_done(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around every test that does not ask for `writes`: what stands in the databases afterwards stood there before."""
    if "writes" in request.fixturenames or "office" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("embedded_platform").settings.state
    request.getfixturevalue("document")
    before = settled(folder)
    yield
    assert settled(folder) == before


def settled(folder: Path) -> dict[str, int]:
    """How many rows stand in each table that keeps something, once the work behind the scenes is done."""
    found = rows(folder)
    while True:
        time.sleep(0.4)
        again = rows(folder)
        if again == found:
            return found
        found = again


def rows(folder: Path) -> dict[str, int]:
    counts = {}
    for name in (*SERVICES, "gateway"):
        engine = sa.create_engine(f"sqlite:///{folder / name}.db")
        with engine.connect() as connection:
            for table in KEPT.keys() & set(sa.inspect(connection).get_table_names()):
                kinds = connection.exec_driver_sql(f'select {KEPT[table]}, count(*) from "{table}" group by 1')
                counts.update({f"{name}.{table}.{kind}": count for kind, count in kinds})
        engine.dispose()
    counts.pop(HASHED, None)
    return counts


def ask(
    platform: Platform, who: As | str, method: str, path: str, body: Any = None, *, key: str = "", **more: Any
) -> httpx.Response:
    token = who if isinstance(who, str) else who.token()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if method != "GET":
        headers["Idempotency-Key"] = key or new_key()
    content = more.pop("content", None if body is None else json.dumps(body).encode())
    url = f"{platform.url}/v1{path}"
    return httpx.request(method, url, headers=headers, content=content, timeout=30, **more)


def refused(platform: Platform, answer: httpx.Response, slug: str, pointer: str | None = None) -> Json:
    """The problem document: its type has a page in two languages, the place and the remedy are there, no value is."""
    problem = problem_of(answer)
    assert problem["type"] == f"/problems/{slug}", problem
    assert problem["status"] == answer.status_code
    page = httpx.get(platform.url + problem["type"], headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert problem["title"] in page.text
    assert NONSENSE not in answer.text
    if pointer is not None:
        places = {error["pointer"]: error for error in problem["errors"]}
        assert pointer in places, problem
        assert places[pointer]["remedy"] or problem["remedy"]
    return problem


def disclosure(person: str, **other: Any) -> Json:
    wanted = {"person_id": person, "partner_id": PENSION, "categories": ["master_data"], "purpose": CONFERENCE}
    return {**wanted, "facts": FACTS, **ANSWERED_FOR, **other}


def terms(person: str, **other: Any) -> Json:
    about = {"person_id": person, "recipient": PENSION, "purpose": CONFERENCE, "categories": ["master_data"]}
    how = {"form": "written", "given_by": ["data_subject"], "information": INFORMED, "voluntary": True}
    return {"terms": {**about, **how, **other}}


@pytest.mark.parametrize(
    ("other", "slug", "pointer"),
    [
        ({"categories": ["master_data", NONSENSE]}, "vocabulary-unknown-category", "/categories/1"),
        ({"purpose": NONSENSE}, "vocabulary-unknown-purpose", "/purpose"),
        ({"basis": f"§ 999 {NONSENSE}"}, "vocabulary-unknown-norm", "/basis"),
        ({"facts": {NONSENSE: True}}, "vocabulary-unknown-fact", f"/facts/{NONSENSE}"),
        ({"facts_by_category": {"master_data": {NONSENSE: True}}}, "vocabulary-unknown-fact", None),
        ({"partner_id": NONSENSE.lower()}, "partner-unknown", None),
        ({"extent": NONSENSE}, "request-invalid", "/extent"),
        ({"categories": NONSENSE}, "request-invalid", "/categories"),
        ({"colour": NONSENSE}, "request-invalid", "/colour"),
        ({"disclosure_id": NONSENSE}, "request-invalid", "/disclosure_id"),
    ],
)
def test_a_disclosure_in_unknown_words(office: Office, person: str, other: Json, slug: str, pointer: str) -> None:
    answer = ask(office.platform, office.worker, "POST", "/disclosures", disclosure(person, **other))
    assert answer.status_code == (404 if slug == "partner-unknown" else 422)
    if NONSENSE in str(pointer):
        problem = problem_of(answer)
        assert (problem["type"], problem["errors"][0]["pointer"]) == (f"/problems/{slug}", pointer)
        assert answer.text.count(NONSENSE) == 1, "a member's name is part of its place, and stands nowhere else"
    elif slug == "vocabulary-unknown-fact":
        assert problem_of(answer)["errors"][0]["pointer"] == f"/facts_by_category/master_data/{NONSENSE}"
    else:
        refused(office.platform, answer, slug, pointer)


@pytest.mark.parametrize(
    ("kind", "slug", "pointer"),
    [
        ({"body": NONSENSE, "domain": "sgb_vi"}, "vocabulary-unknown-body", "/kind/body"),
        ({"body": "pension_insurer", "domain": NONSENSE}, "vocabulary-unknown-domain", "/kind/domain"),
        ({"body": "pension_insurer", "domain": "sgb_v"}, "agency-kind-unknown", None),
    ],
)
def test_an_agency_of_an_unknown_kind(office: Office, kind: Json, slug: str, pointer: str) -> None:
    body = {"agency_id": "erfunden", "name": "Erfunden", "kind": kind}
    answer = ask(office.platform, office.operator, "POST", "/agencies", body)
    assert answer.status_code == 422
    refused(office.platform, answer, slug, pointer)


@pytest.mark.parametrize(
    ("other", "slug", "pointer"),
    [
        ({"valid_from": "2030-05-02", "valid_until": "2030-05-01"}, "consent-ends-before-it-begins", None),
        ({"valid_until": "2020-01-01"}, "consent-ends-before-it-begins", "/terms/valid_until"),
        ({"valid_from": "2020-01-01"}, "consent-reaches-back", "/terms/valid_from"),
        ({"information": {**INFORMED, "right_to_withdraw": False}}, "consent-not-informed", "/terms/information"),
        ({"recipient": "any"}, "consent-blanket", "/terms/recipient"),
        ({"given_by": []}, "consent-wrong-giver", "/terms/given_by"),
        ({"given_by": ["legal_guardian"]}, "consent-not-represented", "/terms/representation_id"),
        ({"given_by": ["third_party"]}, "consent-wrong-giver", "/terms/given_by"),
        ({"valid_until": NONSENSE}, "request-invalid", "/terms/valid_until"),
        ({"purpose": NONSENSE}, "vocabulary-unknown-purpose", "/terms/purpose"),
        ({"categories": [NONSENSE]}, "vocabulary-unknown-category", "/terms/categories/0"),
    ],
)
def test_a_consent_that_cannot_be(office: Office, person: str, other: Json, slug: str, pointer: str) -> None:
    answer = ask(office.platform, office.worker, "POST", "/consents", terms(person, **other))
    assert answer.status_code == 422
    refused(office.platform, answer, slug, pointer or "/terms/valid_until")


def test_there_is_no_receipt_of_what_was_never_decided(office: Office) -> None:
    unknown = str(uuid4())
    answer = ask(office.platform, office.worker, "GET", f"/log/receipts/{unknown}")
    assert answer.status_code == 404
    refused(office.platform, answer, "log-entry-unknown")
    assert unknown not in answer.text


@pytest.mark.parametrize("how", ["left out", "empty", "of another leaf", "of another log"])
def test_a_delivery_without_its_receipt_is_not_opened_by_the_partner(office: Office, document: Json, how: str) -> None:
    """Both readers refuse it: the partner of the demonstration, and the one that has nothing of ours."""
    changed, key = dict(document), office.worker.get("/log/key")["key"]
    if how == "left out":
        del changed["receipt"]
    elif how == "empty":
        changed["receipt"] = ""
    elif how == "of another leaf":
        changed["leaf"] = document["leaf"].replace("master_data", "health_data")
    else:
        changed["receipt"] = document["receipt"].replace(f"/{AGENCY}/", "/jemand-anders/")
    partner = demo_partner(office)
    partner._take(changed)
    assert len(partner.refused) == 1
    assert partner.opened == {}
    with pytest.raises((ValueError, KeyError)):
        verify_receipt(changed["receipt"], changed["leaf"].encode(), key)


def demo_partner(office: Office) -> DemoPartner:
    me = office.platform.machine(HEALTH)
    return DemoPartner(HEALTH, office.platform.world.partner_keys(HEALTH), me, FeedInbox(me))


def fetched(office: Office, disclosure_id: str) -> Json:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        documents = [each["document"] for each in whole_feed(office.platform.machine(HEALTH))]
        found: list[Json] = [each for each in documents if each["id"] == disclosure_id]
        if found:
            return found[0]
        time.sleep(0.1)
    message = "nothing was delivered"
    raise TimeoutError(message)


def whole_feed(partner: As) -> list[Json]:
    items, after = [], 0
    while page := partner.get("/feed", after=after, limit=100)["items"]:
        items += page
        after = page[-1]["sequence"]
    return items


def test_an_acknowledgement_signed_by_another_key_proves_nothing(office: Office, document: Json) -> None:
    strange = {"signing_key": OKPKey.generate_key("Ed25519").as_dict(private=True)}
    body = {"signed": acknowledgement(document, strange)}
    answer = ask(office.platform, office.platform.machine(HEALTH), "POST", "/acknowledgements", body)
    assert answer.status_code == 422
    refused(office.platform, answer, "acknowledgement-not-proven", "/signed")
    assert body["signed"] not in answer.text
    state = office.worker.get(f"/disclosures/{document['id']}")["state"]
    assert state != "acknowledged"


def test_another_partner_cannot_acknowledge_what_is_not_its_own(office: Office, document: Json) -> None:
    own = office.platform.world.partner_keys(PENSION)
    body = {"signed": acknowledgement(document, own)}
    answer = ask(office.platform, office.platform.machine(PENSION), "POST", "/acknowledgements", body)
    refused(office.platform, answer, "acknowledgement-not-proven", "/signed")


@pytest.mark.usefixtures("writes")
def test_a_partner_that_asks_for_the_feed_of_another(office: Office) -> None:
    """Reading one's own feed again is another delivery, and leaves its entry."""
    answer = ask(office.platform, office.platform.machine(PENSION), "GET", f"/feed?partner_id={HEALTH}")
    assert answer.status_code == 403
    assert refused(office.platform, answer, "feed-not-yours")["remedy"]
    assert HEALTH not in answer.text
    mine = {each["document"]["id"] for each in whole_feed(office.platform.machine(PENSION))}
    theirs = {each["document"]["id"] for each in whole_feed(office.platform.machine(HEALTH))}
    assert theirs
    assert not mine & theirs


def test_a_partner_reads_nothing_of_the_agency(office: Office, person: str) -> None:
    for path in (f"/persons/{person}", "/disclosures", f"/consents?person_id={person}", "/partners", "/log/entries"):
        answer = ask(office.platform, office.platform.machine(HEALTH), "GET", path)
        assert answer.status_code == 403
        refused(office.platform, answer, "role-not-allowed")


@pytest.mark.parametrize("queue", [f"partner.{HEALTH}", f"client.{HEALTH}", "rpc-audit", "gateway.inbox"])
def test_the_broker_refuses_a_partner_the_queue_of_another(deployed_platform: Platform, queue: str) -> None:
    Office(deployed_platform).open()
    with Connection(deployed_platform.broker_url(PENSION)) as connection, connection.channel() as channel:
        with pytest.raises(amqp.AccessRefused) as error:
            channel.basic_get(queue)
        assert error.value.code == 403


def token(platform: Platform, *, age: timedelta, key: ECKey | None = None) -> str:
    """A token as the provider of the demonstration signs it, `age` ago."""
    file = platform.settings.keys / "development-provider.json"
    key = key or ECKey.import_key(json.loads(file.read_text("utf-8")))
    signed_at = int((datetime.now(UTC) - age).timestamp())
    times = {"iat": signed_at, "exp": signed_at + 900, "jti": uuid4().hex}
    who = {"sub": "fachverfahren-demo", "client_id": "fachverfahren-demo", "role": "case_worker", "agency": AGENCY}
    claims = {"iss": platform.settings.issuer, "aud": "handschlag", **who, **times}
    return jwt.encode({"alg": "ES256", "kid": key.kid or "", "typ": "at+jwt"}, claims, key)


def test_an_expired_token(office: Office, person: str) -> None:
    fresh, old = (token(office.platform, age=timedelta(minutes=minutes)) for minutes in (0, 16))
    assert ask(office.platform, fresh, "GET", "/partners").status_code == 200
    answer = ask(office.platform, old, "POST", "/disclosures", disclosure(person))
    assert answer.status_code == 401
    assert refused(office.platform, answer, "token-expired")["remedy"]
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_signed_by_somebody_else(office: Office) -> None:
    forged = token(office.platform, age=timedelta(0), key=ECKey.generate_key("P-256"))
    answer = ask(office.platform, forged, "GET", "/partners")
    assert answer.status_code == 401
    refused(office.platform, answer, "token-bad-signature")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{\n  "person_id": "x",\n  "purpose" "%s"\n}' % NONSENSE.encode(), "line 3, column 13"),
        (b'{"reasons": "%s", }' % NONSENSE.encode(), "line 1, column 36"),
        (b'{"reasons": "\xff"}', "byte 13"),
        (b'{"reasons": "a", "reasons": "b"}', "twice"),
        (b'{"facts": {"age": NaN}}', "NaN"),
        (b"[" * 5000, "deep"),
        (b"", "line 1, column 1"),
    ],
)
def test_malformed_json_is_named_by_its_place(office: Office, content: bytes, place: str) -> None:
    answer = ask(office.platform, office.worker, "POST", "/disclosures", content=content)
    assert answer.status_code == 400
    problem = refused(office.platform, answer, "request-malformed", "")
    assert place in problem["detail"], problem["detail"]


def test_a_body_too_large_is_not_read(office: Office) -> None:
    answer = ask(office.platform, office.worker, "POST", "/disclosures", content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413
    refused(office.platform, answer, "request-too-large")


@pytest.mark.usefixtures("writes")
def test_the_same_command_twice_is_one_command(office: Office) -> None:
    key, body = new_key(), terms(office.person())
    folder = office.platform.settings.state
    before = settled(folder).get("consent.events.ConsentGiven", 0)
    first = ask(office.platform, office.worker, "POST", "/consents", body, key=key)
    again = ask(office.platform, office.worker, "POST", "/consents", body, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert settled(folder)["consent.events.ConsentGiven"] == before + 1


@pytest.mark.usefixtures("writes")
def test_a_changed_body_under_the_same_key(office: Office) -> None:
    key, person = new_key(), office.person()
    ask(office.platform, office.worker, "POST", "/consents", terms(person), key=key).raise_for_status()
    before = settled(office.platform.settings.state)
    answer = ask(office.platform, office.worker, "POST", "/consents", terms(person, voluntary=False), key=key)
    assert answer.status_code == 422
    refused(office.platform, answer, "idempotency-key-reused")
    assert settled(office.platform.settings.state) == before


def test_a_program_without_an_idempotency_key(office: Office, person: str) -> None:
    headers = {"Authorization": f"Bearer {office.worker.token()}"}
    answer = httpx.post(f"{office.platform.url}/v1/disclosures", json=disclosure(person), headers=headers)
    assert answer.status_code == 400
    assert refused(office.platform, answer, "idempotency-key-missing")["remedy"]


CSV = "SEQN,DPQ010,DPQ020,DPQ030,DPQ040,DPQ050,DPQ060,DPQ070,DPQ080,DPQ090,DPQ100\n"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (CSV + "1,0,0,0,0,0,0,0,0,0,0\n2,0,0\n", 1, "Zeile 3"),
        (CSV + f"1,0,0,0,0,0,0,0,0,0,{NONSENSE}\n", 1, "Zeile 2: DPQ100"),
        (CSV + '1,0,0,0,0,0,0,0,0,0,0\n2,0,"0"x,0,0,0,0,0,0,0,0\n', 2, "line 3"),
        ("SEQN,DPQ010\n1,0\n", 2, "DPQ020"),
    ],
)
def test_a_malformed_csv_is_named_by_its_line(tmp_path: Path, content: str, code: int, said: str) -> None:
    file = tmp_path / "sheets.csv"
    file.write_text(content, "utf-8")
    command = [*COMMAND, "import", "assessments", str(file), "--instrument", "phq-9", "--dry-run"]
    environment = {**os.environ, "HANDSCHLAG_STATE": str(tmp_path / "state")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert NONSENSE not in done.stdout + done.stderr
    assert not (tmp_path / "state").exists()
