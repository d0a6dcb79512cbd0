"""What a partner needs is in `contracts/`: two small programs of a partner receive, verify, decrypt, acknowledge."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from services.command.demo.world import PARTNERS
from tests.journeys.acting import Office
from tests.support.platform import Platform

PENSION, HEALTH = PARTNERS
ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def key_file(platform: Platform, partner: str) -> str:
    return str(platform.settings.state / "partners" / f"{partner}.json")


def acknowledged(office: Office, disclosure_id: str) -> bool:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if office.worker.get(f"/disclosures/{disclosure_id}")["state"] == "acknowledged":
            return True
        time.sleep(0.1)
    return False


def test_a_partner_without_a_broker_needs_httpx_and_its_key(platform: Platform) -> None:
    office = Office(platform).open()
    person = office.person("Feed-Person")
    office.consent(person, HEALTH, ["master_data"])
    disclosure = office.disclose(person, HEALTH, ["master_data"])
    secret = platform.world.secret(HEALTH)
    received = run("tests.journeys.plain_httpx", platform.url, HEALTH, secret, key_file(platform, HEALTH))
    contents = {each["id"]: each["content"] for each in received}
    expected = {"master_data": {"name": "Feed-Person", "birth_date": "1980-05-05"}}
    assert contents[disclosure["disclosure_id"]] == expected
    assert acknowledged(office, disclosure["disclosure_id"])


def test_a_partner_at_the_broker_needs_kombu_and_its_key(deployed_platform: Platform) -> None:
    office = Office(deployed_platform).open()
    person = office.person("Broker-Person")
    office.consent(person, PENSION, ["master_data"])
    disclosure = office.disclose(person, PENSION, ["master_data"])
    log_key = str(office.worker.get("/log/key")["key"])
    url, keys = deployed_platform.broker_url(PENSION), key_file(deployed_platform, PENSION)
    wanted = str(disclosure["disclosure_id"])
    *_, received = run("tests.journeys.plain_kombu", url, PENSION, keys, log_key, wanted)
    assert received["id"] == wanted
    assert received["content"]["master_data"]["name"] == "Broker-Person"
    assert acknowledged(office, disclosure["disclosure_id"])
