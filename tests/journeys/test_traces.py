"""One request, one trace: through every service that has a part in it, and not one step beyond the house."""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import amqp
import httpx
import pytest

from services.command.demo.world import PARTNERS
from shared.telemetry import ATTRIBUTES
from tests.journeys.acting import ANSWERED_FOR, CONFERENCE, FACTS, Office, new_key
from tests.journeys.test_audit_away import AtTheBroker
from tests.journeys.test_bad_input import fetched
from tests.support.leaks import leaks_in
from tests.support.platform import Platform

Json = dict[str, Any]
PENSION, HEALTH = PARTNERS
NAME, BIRTH_DATE, REASONS = "Almuth Spurensucher", "1966-06-16", "braucht die Konferenz wegen Knieleiden"


@pytest.fixture(scope="module")
def office(deployed_platform: Platform) -> Office:
    return Office(deployed_platform).open()


class Traced:
    """One disclosure that was asked for within a trace of our own."""

    def __init__(self, office: Office, partner: str) -> None:
        self.office, self.trace = office, secrets.token_hex(16)
        person = office.person(NAME, BIRTH_DATE)
        office.consent(person, partner, ["master_data"])
        body = {
            "person_id": person,
            "partner_id": partner,
            "categories": ["master_data"],
            "purpose": CONFERENCE,
            "facts": FACTS,
            **ANSWERED_FOR,
            "reasons": REASONS,
        }
        headers = {
            "traceparent": f"00-{self.trace}-{secrets.token_hex(8)}-01",
            "Authorization": f"Bearer {office.worker.token()}",
            "Idempotency-Key": new_key(),
        }
        answer = httpx.post(f"{office.platform.url}/v1/disclosures", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        self.answer = answer
        self.disclosure_id = answer.json()["disclosure_id"]

    def spans(self) -> dict[str, list[Json]]:
        """The spans of this trace, by the process that wrote them."""
        found: dict[str, list[Json]] = defaultdict(list)
        for name, each in spans_of(self.office.platform):
            if each["trace_id"] == self.trace:
                found[name].append(each)
        return found

    def spans_once(self, there: Any) -> dict[str, list[Json]]:
        """The same, as soon as `there` holds of them."""
        ends = time.monotonic() + 30
        while not there(found := self.spans()):
            assert time.monotonic() < ends, {name: [each["name"] for each in spans] for name, spans in found.items()}
            time.sleep(0.2)
        return found


def spans_of(platform: Platform) -> Iterator[tuple[str, Json]]:
    for path in platform.settings.state.glob("*.spans.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            yield path.name.partition(".")[0], json.loads(line)


def heard(spans: list[Json]) -> list[Json]:
    return [each for each in spans if "message_type" in each["attributes"]]


@pytest.fixture(scope="module")
def traced(office: Office) -> Traced:
    return Traced(office, HEALTH)


def test_the_trace_runs_through_every_service_that_has_a_part(traced: Traced) -> None:
    assert traced.answer.headers["traceparent"].split("-")[1] == traced.trace
    fetched(traced.office, traced.disclosure_id)
    found = traced.spans_once(lambda spans: {"gateway", "exchange", "audit", "consent", "cases"} <= spans.keys())
    names = {service: {each["name"] for each in spans} for service, spans in found.items()}
    assert any("exchange.request_disclosure" in name for name in names["gateway"])
    assert any("audit.authorize" in name for name in names["exchange"])
    assert any("consent.evidence" in name for name in names["audit"])


def test_the_trace_goes_on_where_a_message_is_heard(traced: Traced) -> None:
    """The log hears of the outcome by a message, long after the request was answered."""
    found = traced.spans_once(lambda spans: bool(heard(spans["audit"])))
    kinds = {each["attributes"]["message_type"] for each in heard(found["audit"])}
    assert any(kind.startswith("exchange.") for kind in kinds), kinds


def test_spans_hang_together(traced: Traced) -> None:
    """Each span but the first has its parent in the trace, whichever process wrote that."""
    found = traced.spans_once(lambda spans: bool(heard(spans["audit"])))
    everything = [each for spans in found.values() for each in spans]
    ids = {each["span_id"] for each in everything}
    orphans = [each["name"] for each in everything if each["parent_id"] not in ids]
    assert orphans == ["POST /v1/disclosures"]


def test_spans_carry_what_the_list_allows_and_nothing_about_the_person(traced: Traced) -> None:
    attributes = {name for _, each in spans_of(traced.office.platform) for name in each["attributes"]}
    assert attributes
    assert attributes <= ATTRIBUTES
    for path in traced.office.platform.settings.state.glob("*.spans.jsonl"):
        assert list(leaks_in(path.name, path.read_bytes(), (NAME, BIRTH_DATE, REASONS))) == []


def test_a_trace_ends_at_the_door_of_the_house(office: Office, traced: Traced) -> None:
    """Neither the feed nor the queue of a partner tells which request of ours a document belongs to."""
    document = fetched(office, traced.disclosure_id)
    assert traced.trace not in json.dumps(document)
    queue = AtTheBroker(office.platform)
    queue.take_all()
    to_pension = Traced(office, PENSION)
    message = one_message(office.platform, to_pension.disclosure_id)
    assert to_pension.trace not in message.body.decode() + json.dumps(message.properties, default=str)
    assert "traceparent" not in message.properties.get("application_headers", {})


def one_message(platform: Platform, disclosure_id: str) -> amqp.Message:
    """The message as it lies in the partner's queue, with all its properties."""
    ends = time.monotonic() + 30
    with AtTheBroker(platform).signed_in() as connection:
        channel = connection.channel()
        while time.monotonic() < ends:
            message = channel.basic_get(f"partner.{PENSION}")
            if message is None:
                time.sleep(0.05)
                continue
            channel.basic_ack(message.delivery_tag)
            if isinstance(message.body, str):
                message.body = message.body.encode()
            if json.loads(message.body)["id"] == disclosure_id:
                return message
    error = "nothing came into the queue"
    raise TimeoutError(error)
