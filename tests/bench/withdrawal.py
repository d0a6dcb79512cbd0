"""How fast a "not any more" reaches everybody, and how fast the evidence for a decision is found.

    python -m tests.bench.withdrawal [--partners 50] [--silent 2] [--rounds 20] [--only withdrawal|evidence] [--json F]

Withdrawal: seven processes on PostgreSQL and RabbitMQ; each partner reads its own broker queue. A person has let all
of them receive something; each received it, and one more delivery waits for each of five partners that fetch. The
person withdraws everything in one step, and two partners, others each time, stay silent. "stopped" ends with the event
that stopped the last waiting delivery, "acknowledgement" with that of the last partner that speaks; both begin when the
request is sent. The ratio is to one `GET /healthz` round trip for each partner, in the same run. At the end the clock
of partner exchange is set beyond the term: the silent ones have to be escalated, all of them and nobody else.

Evidence: a person with 500 records, once spread over partners and purposes as in life, once all about the very
disclosure that is asked for; the ratio is to fetching the same rows in the same process.
"""

import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from joserfc.jwk import OKPKey
from kombu import Connection, Consumer, Exchange, Producer, Queue

from services.command.demo.world import AGENCY, public_part
from services.consent.domain.consent import GiveConsent
from services.consent.projections import REGISTER, declaration
from services.consent.queries import EvidenceQuestion, Register
from shared.domain import Receipt
from shared.eventstore import catch_up
from tests.bench.disclosure import bare
from tests.bench.table import Row, latencies, options, percentile, report_groups
from tests.journeys.acting import INFORMED, Office, new_key
from tests.journeys.plain_httpx import acknowledgement
from tests.support.local_platform import local_platform
from tests.support.platform import Platform, deployed
from tests.support.servers import Postgres, postgres
from tests.support.workplace import Workplace, fresh, terms_of

Json = dict[str, Any]
CATEGORY, PURPOSE = "coaching_content", "referral"
FACTS = {"necessary": True, "basis_communicated_was_consent_only": False, "requested_by_private_recipient": False}
WAITING = 5
GROUP = "withdrawal"
LET_GO = ("permitted", "handed_over", "acknowledged")
"""How a disclosure may stand when its request is answered: delivery does not wait for the answer."""


class PartnerProgram(threading.Thread):
    """Reads its queue and acknowledges over the broker, as the reference program does; a silent one does not.

    What is not confirmed is said again under the same key when somebody sets `repeat`, as after an answer 503.
    """

    def __init__(self, platform: Platform, partner_id: str, keys: Json) -> None:
        super().__init__(daemon=True)
        self.url, self.partner_id, self.keys = platform.broker_url(partner_id), partner_id, keys
        self.silent = False
        self.received: set[str] = set()
        self.said: dict[str, Json] = {}
        self.ends, self.repeat = threading.Event(), threading.Event()

    def run(self) -> None:
        with Connection(self.url) as connection, connection.channel() as channel:
            inbox = Producer(channel, Exchange("handschlag.inbox", type="topic", no_declare=True))

            def say(order: Json) -> None:
                inbox.publish(order, routing_key="acknowledgement", user_id=self.partner_id, declare=[])

            def take(body: Any, message: Any) -> None:
                document = body if isinstance(body, dict) else json.loads(body)
                if not (self.silent and document["type"] == "handschlag.retraction.v1"):
                    order = {
                        "type": "exchange.acknowledge",
                        "idempotency_key": f"ack-{document['id']}-{document['sequence']}",
                        "body": {"signed": acknowledgement(document, self.keys)},
                    }
                    self.said[str(document["id"])] = order
                    say(order)
                message.ack()
                self.received.add(str(document["id"]))

            queue = Queue(f"partner.{self.partner_id}", no_declare=True)
            with Consumer(channel, [queue], callbacks=[take], accept=["json"]):
                while not self.ends.is_set():
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=1)
                    if self.repeat.is_set():
                        self.repeat.clear()
                        for order in list(self.said.values())[-2:]:
                            say(order)


class Stage:
    """The partners of the measurement at a running platform."""

    def __init__(self, platform: Platform, server: Postgres, ids: list[str], silent: int) -> None:
        self.platform, self.office = platform, Office(platform).open()
        url = server.database("handschlag_exchange").replace("postgresql:", "postgresql+psycopg:", 1)
        self.database = sa.create_engine(url)
        self.keys = {name: _keys() for name in (*ids, *(f"fetching-{n}" for n in range(WAITING)))}
        self.fetching = list(self.keys)[len(ids) :]
        self._add_accounts(ids)
        for name, keys in self.keys.items():
            channel = "feed" if name in self.fetching else "amqp"
            described = {"partner_id": name, "name": name, "kind": {"body": "measure_provider", "domain": "provider"}}
            public = {use: public_part(jwk) for use, jwk in keys.items()}
            self.office.operator.post("/partners", {**described, "channel": channel, **public}, new_key())
            signed = {"on": datetime.now(UTC).date().isoformat(), "text_version": "1"}
            self.office.operator.post(f"/partners/{name}/commitment", signed, new_key())
        self.ids, self.silent = ids, silent
        self.turn, self.were_silent = 0, set[str]()
        self.programs = [PartnerProgram(platform, name, self.keys[name]) for name in ids]
        for program in self.programs:
            program.start()

    def _add_accounts(self, ids: list[str]) -> None:
        file = self.platform.settings.state / "demo.json"
        known = json.loads(file.read_text("utf-8"))
        known["clients"] += [
            {"client_id": name, "secret": name, "role": "partner_system", "agency": AGENCY, "partner": name}
            | {"broker_user": name}
            for name in ids
        ]
        file.write_text(json.dumps(known), "utf-8")

    def round(self) -> tuple[float, float]:
        """Seconds from the request to the last stop and to the last acknowledgement."""
        silent = self._next_silent()
        person, worker = self.office.person("Messperson"), self.office.worker
        entry = {"person_id": person, "category": CATEGORY, "content": "Text"}
        worker.post("/entries", entry, new_key())
        sheet = {
            "person_id": person,
            "purpose": PURPOSE,
            "form": "electronic",
            "given_by": ["data_subject"],
            "information": INFORMED,
            "voluntary": True,
            "cells": [{"recipient": name, "category": CATEGORY, "yes": True} for name in self.keys],
        }
        worker.post("/consents/sheets", sheet, new_key())
        made = {name: self._disclose(person, name) for name in self.keys}
        for program in self.programs:
            _wait(lambda program=program: made[program.partner_id] in program.received)
        reached = [made[name] for name in self.ids]
        self._until("DisclosureAcknowledged", reached)
        began = datetime.now(UTC)
        worker.post("/consents/withdrawals", {"person_id": person}, new_key())
        waiting = [made[name] for name in self.fetching]
        speaking = [made[name] for name in self.ids if name not in silent]
        self._until("DisclosureStopped", waiting)
        self._until("RetractionAcknowledged", speaking)
        return (
            (self._last("DisclosureStopped", waiting) - began).total_seconds(),
            (self._last("RetractionAcknowledged", speaking) - began).total_seconds(),
        )

    def _next_silent(self) -> list[str]:
        """Each time others: who has confirmed nothing for long gets no further data."""
        silent = [self.ids[(self.turn * self.silent + n) % len(self.ids)] for n in range(self.silent)]
        self.turn += 1
        for program in self.programs:
            program.silent = program.partner_id in silent
        self.were_silent.update(silent)
        return silent

    def escalated(self) -> tuple[int, list[str]]:
        """With the clock beyond the term: how many retractions are missing, and whose silence was escalated."""
        part = self.platform.parts["exchange"]
        part.kill()
        part.environment = {**part.environment, "HANDSCHLAG_CLOCK_SHIFT": "4"}
        part.start()
        missing = self._missing()
        ends = time.monotonic() + 60
        while not all(each["escalated_at"] for each in missing) and time.monotonic() < ends:
            time.sleep(0.5)
            missing = self._missing()
        return len(missing), sorted({each["partner_id"] for each in missing if each["escalated_at"]})

    def close(self) -> None:
        for program in self.programs:
            program.ends.set()
        for program in self.programs:
            program.join()
        self.database.dispose()

    def _missing(self) -> list[Json]:
        while True:
            with suppress(Exception):
                return list(self.office.auditor.get("/withdrawals")["items"])
            time.sleep(0.5)

    def _disclose(self, person: str, partner_id: str) -> str:
        about = {"person_id": person, "partner_id": partner_id, "categories": [CATEGORY], "purpose": PURPOSE}
        answered_for = {"facts": FACTS, "reasons": "Messung", "decided_by": "demo-fachkraft"}
        made = self.office.worker.post("/disclosures", {**about, **answered_for}, new_key())
        assert made["state"] in LET_GO, (made["state"], made["answer"])
        return str(made["disclosure_id"])

    def _until(self, event: str, ids: list[str]) -> None:
        """Until it has happened to all of them; every ten seconds the partners repeat what they said last."""
        for _ in range(12):
            with suppress(TimeoutError):
                _wait(lambda: self._count(event, ids) == len(ids), 10)
                return
            for program in self.programs:
                program.repeat.set()
        message = f"{event}: {self._count(event, ids)} of {len(ids)}"
        raise TimeoutError(message)

    def _count(self, event: str, ids: list[str]) -> int:
        return int(self._asked("count(*)", event, ids))

    def _last(self, event: str, ids: list[str]) -> datetime:
        found: datetime = self._asked("max(recorded_at)", event, ids)
        return found

    def _asked(self, what: str, event: str, ids: list[str]) -> Any:
        streams = [f"disclosure-{each}" for each in ids]
        statement = sa.text(f"select {what} from events where agency = :a and stream = any(:s) and type = :e")
        with self.database.connect() as connection:
            return connection.execute(statement, {"a": AGENCY, "s": streams, "e": event}).scalar_one()


def withdrawal(partners: int, silent: int, rounds: int) -> list[Row]:
    ids = [f"messpartner-{number:02d}" for number in range(partners)]
    quiet = {"HANDSCHLAG_LOG_LEVEL": "warning", "HANDSCHLAG_SPANS": ""}
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() as server,
        deployed(Path(folder), server, more_partners=ids, **quiet) as platform,
    ):
        stage = Stage(platform, server, ids, silent)
        stage.round()
        times = [stage.round() for _ in range(rounds)]
        plain = [sum(bare(platform) for _ in range(partners)) / 1000 for _ in range(3)]
        missing, escalated = stage.escalated()
        stage.close()
    of, least = f"{partners} partners, {rounds} rounds", percentile(plain, 0.5)
    stopped, heard = [first for first, _ in times], [last for _, last in times]
    told = "all of them escalated" if escalated == sorted(stage.were_silent) else "NOT ALL ESCALATED"
    return [
        *latencies(
            GROUP, f"→ last waiting delivery stopped, {of}", stopped, limit=least, unit="s", notes=("", "goal: 1 s")
        ),
        *latencies(GROUP, f"→ last acknowledgement, {of}", heard, limit=least, unit="s", notes=("", "goal: 5 s")),
        Row(GROUP, "acknowledgements missing at the end", missing, unit="", note=told),
    ]


def evidence(records: int = 500, count: int = 400) -> list[Row]:
    """Milliseconds inside the service, on SQLite: catching up, reading, and putting the answer together."""
    rows: list[Row] = []
    for name, partners, purposes in (("as in life", 10, ("referral", "case_conference")), ("all alike", 1, (PURPOSE,))):
        with tempfile.TemporaryDirectory() as folder, local_platform(Path(folder)) as platform:
            at = Workplace.of(platform)
            for number in range(records):
                terms = terms_of("p-1", f"p{number % partners}", CATEGORY, purpose=purposes[number % len(purposes)])
                at.ask("consent", "give_consent", GiveConsent(consent_id=fresh("c"), terms=terms), Receipt)
            context = platform.contexts["consent"]
            store, today = context.store.agency(at.agency), context.clock.today()
            asked = EvidenceQuestion(person_id="p-1", partner_id="p0", purpose=PURPOSE, categories=(CATEGORY,))
            same = sa.select(declaration).where(
                declaration.c.agency == at.agency,
                declaration.c.person_id == "p-1",
                declaration.c.recipient == "p0",
                declaration.c.purpose == PURPOSE,
            )
            times, raw = [], []
            for _ in range(count):
                began = time.perf_counter()
                catch_up(context.store, REGISTER)
                with context.database.read() as tx:
                    Register(store, today).evidence(tx, asked)
                times.append((time.perf_counter() - began) * 1000)
                began = time.perf_counter()
                with context.database.read() as tx:
                    tx.execute(same).all()
                raw.append((time.perf_counter() - began) * 1000)
        case, least = f"{records} records, {name}", percentile(raw, 0.5)
        rows += latencies("evidence", case, times, limit=least, notes=("", "goal: 5 ms"))
    return rows


def _keys() -> Json:
    encryption, signing = OKPKey.generate_key("X25519"), OKPKey.generate_key("Ed25519")
    return {"encryption_key": encryption.as_dict(private=True), "signing_key": signing.as_dict(private=True)}


def _wait(done: Any, patience: float = 120) -> None:
    ends = time.monotonic() + patience
    while not done():
        if time.monotonic() > ends:
            message = "the platform did not get there"
            raise TimeoutError(message)
        time.sleep(0.02)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--silent", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=("evidence", "withdrawal"))
    chosen = parser.parse_args()
    measurements = {
        "evidence": evidence,
        "withdrawal": lambda: withdrawal(chosen.partners, chosen.silent, chosen.rounds),
    }
    wanted = [chosen.only] if chosen.only else list(measurements)
    report_groups((measurements[name]() for name in wanted), chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
