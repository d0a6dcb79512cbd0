"""How long one lawful disclosure takes, from the request to the partner's hands, in both set-ups.

    python -m tests.bench.disclosure [--count 200] [--only embedded|deployed] [--json]

"asked → answered" ends with the HTTP answer: decided, logged, receipt verified, encrypted, queued. "asked → received"
ends when the partner holds the document: fetched from its feed (one process) or taken from its broker queue (seven).
The ratio is to `GET /healthz` on the same gateway in the same run, the least an HTTP request costs there.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from kombu import Connection

from services.command.demo.world import PARTNERS
from tests.journeys.acting import Office
from tests.journeys.plain_httpx import acknowledgement
from tests.support.platform import Platform, deployed, embedded
from tests.support.servers import postgres

PENSION, HEALTH = PARTNERS
WARM_UP = 10

Receive = Callable[[str], dict[str, Any]]
Confirm = Callable[[dict[str, Any]], object]


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, round(share * (len(times) - 1)))]


def measure(platform: Platform, count: int) -> dict[str, Any]:
    """Milliseconds: p50 and p99 over `count` disclosures of one person, one after the other."""
    office = Office(platform).open()
    partner = PENSION if platform.broker else HEALTH
    person = office.person("Messperson")
    office.consent(person, partner, ["master_data"])
    receive, confirm = from_queue(platform) if platform.broker else from_feed(platform)
    answered, received = [], []
    for number in range(count + WARM_UP):
        began = time.perf_counter()
        made = office.disclose(person, partner, ["master_data"])
        middle = time.perf_counter()
        document = receive(made["disclosure_id"])
        ended = time.perf_counter()
        confirm(document)
        if number >= WARM_UP:
            answered.append((middle - began) * 1000)
            received.append((ended - began) * 1000)
    plain = [bare(platform) for _ in range(count)]
    return {
        "count": count,
        "healthz_p50": percentile(plain, 0.5),
        **{f"answered_{name}": percentile(answered, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
        **{f"received_{name}": percentile(received, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
        "answered_to_healthz": percentile(answered, 0.5) / statistics.median(plain),
    }


def bare(platform: Platform) -> float:
    client = platform.client()
    client.send("GET", "/healthz")
    began = time.perf_counter()
    client.send("GET", "/healthz")
    taken = (time.perf_counter() - began) * 1000
    client.close()
    return taken


def from_feed(platform: Platform) -> tuple[Receive, Confirm]:
    partner, after = platform.machine(HEALTH), 0

    def receive(disclosure_id: str) -> dict[str, Any]:
        nonlocal after
        while True:
            page = partner.get("/feed", after=after, limit=100)
            after = page["next"]
            for item in page["items"]:
                if item["document"]["id"] == disclosure_id:
                    return item["document"]

    return receive, confirming(platform, HEALTH)


def from_queue(platform: Platform) -> tuple[Receive, Confirm]:
    channel = Connection(platform.broker_url(PENSION)).channel()

    def receive(disclosure_id: str) -> dict[str, Any]:
        while True:
            message = channel.basic_get(f"partner.{PENSION}", no_ack=True)
            if message is None:
                time.sleep(0.001)
                continue
            document = json.loads(message.body)
            if document["id"] == disclosure_id:
                return document

    return receive, confirming(platform, PENSION)


def confirming(platform: Platform, partner_id: str) -> Confirm:
    """Acknowledge each, outside the measured time: the window of a partner that never confirms is full after twenty."""
    partner, keys = platform.machine(partner_id), platform.world.partner_keys(partner_id)

    def confirm(document: dict[str, Any]) -> None:
        partner.post("/acknowledgements", {"signed": acknowledgement(document, keys)}, document["id"])

    return confirm


@contextmanager
def in_one_process(folder: Path) -> Any:
    with embedded(folder, HANDSCHLAG_SPANS="", HANDSCHLAG_LOG_LEVEL="warning") as platform:
        yield platform


@contextmanager
def on_real_servers(folder: Path) -> Any:
    with postgres() as server, deployed(folder, server, HANDSCHLAG_LOG_LEVEL="warning") as platform:
        yield platform


SET_UPS: dict[str, Callable[[Path], AbstractContextManager[Platform]]] = {
    "embedded": in_one_process,
    "deployed": on_real_servers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", choices=sorted(SET_UPS))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = {}
    for name in [chosen.only] if chosen.only else SET_UPS:
        with tempfile.TemporaryDirectory() as folder, SET_UPS[name](Path(folder)) as platform:
            found[name] = {key: round(value, 1) for key, value in measure(platform, chosen.count).items()}
    if chosen.json:
        print(json.dumps(found))
        return
    print("| set-up | asked → answered p50 / p99 ms | asked → received p50 / p99 ms | × GET /healthz |")
    print("| --- | ---: | ---: | ---: |")
    for name, row in found.items():
        answered = f"{row['answered_p50']} / {row['answered_p99']}"
        received = f"{row['received_p50']} / {row['received_p99']}"
        print(f"| {name} | {answered} | {received} | {row['answered_to_healthz']} |")


if __name__ == "__main__":
    main()
