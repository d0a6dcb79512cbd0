"""How long one lawful disclosure takes, from the request to the partner's hands, in both set-ups.

    python -m tests.bench.disclosure [--count 200] [--beside 50] [--json FILE]

"asked → answered" ends with the HTTP answer: decided, logged, receipt verified, encrypted, queued. "asked → received"
ends when the partner holds the document: fetched from its feed (one process) or taken from its broker queue (seven).
The limit is `GET /healthz` on the same gateway in the same run, the least an HTTP request takes there. At the end the
same once more while others write at a steady rate.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu import Connection

from services.command.demo.platform_client import As
from services.command.demo.world import PARTNERS
from tests.bench.table import Row, latencies, options, percentile, report_groups
from tests.journeys.acting import Office, new_key
from tests.journeys.plain_httpx import acknowledgement
from tests.support.platform import Platform, deployed, embedded
from tests.support.servers import postgres

PENSION, HEALTH = PARTNERS
WARM_UP = 10
WRITERS = 4

Receive = Callable[[str], dict[str, Any]]
Confirm = Callable[[dict[str, Any]], object]


def measure(platform: Platform, set_up: str, count: int, goals: tuple[str, str] = ("", "")) -> list[Row]:
    """`count` disclosures of one person, one after the other, beside the least that an HTTP request takes there."""
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
    least = percentile([bare(platform) for _ in range(count)], 0.5)
    return [
        *latencies("disclosure", f"asked → answered, {set_up}", answered, limit=least),
        *latencies("disclosure", f"asked → received, {set_up}", received, limit=least, notes=goals),
    ]


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
def others_at_work(platform: Platform, per_second: float) -> Iterator[None]:
    """Other case workers write entries into files meanwhile, so many a second together."""
    office = Office(platform)
    person, ended = office.person("Nebenbei"), threading.Event()
    entry = {"person_id": person, "category": "coaching_content", "content": "Text"}
    sent = list[float]()

    def write(worker: As) -> None:
        due = time.perf_counter()
        while not ended.is_set():
            due += WRITERS / per_second
            time.sleep(max(due - time.perf_counter(), 0))
            worker.post("/entries", entry, new_key())
            sent.append(time.perf_counter())

    writers = [threading.Thread(target=write, args=(platform.machine("fachverfahren-demo"),)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        ended.set()
        for writer in writers:
            writer.join()
        print(f"others: {len(sent) / (sent[-1] - sent[0]):.1f} commands/s", file=sys.stderr)


def groups(count: int, beside: float) -> Iterator[list[Row]]:
    quiet = {"HANDSCHLAG_SPANS": "", "HANDSCHLAG_LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder), **quiet) as platform:
        yield measure(platform, "one process", count)
    goals = ("goal: 150 ms", "goal: 500 ms")
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() as server,
        deployed(Path(folder), server, HANDSCHLAG_LOG_LEVEL="warning") as platform,
    ):
        yield measure(platform, "seven processes", count, goals)
        with others_at_work(platform, beside):
            yield measure(platform, f"seven processes at {beside:.0f} commands/s", count, goals)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--beside", type=float, default=50, metavar="COMMANDS", help="a second, by others at the end")
    chosen = parser.parse_args()
    report_groups(groups(chosen.count, chosen.beside), chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
