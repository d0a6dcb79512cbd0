"""The story: one lawful disclosure from the consent to the acknowledgement, and what a withdrawal changes.

Every step goes through the public interfaces and fails unless it did what it says.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from services.command.demo.partner import DemoPartner, FeedInbox, Inbox, QueueInbox
from services.command.demo.platform_client import As, PlatformClient, Unexpected
from services.command.demo.world import (
    AGENCY,
    PARTNERS,
    PERSON_BIRTH_DATE,
    PERSON_CONTACT,
    PERSON_NAME,
    World,
    public_part,
)
from shared.audit import verify_receipt
from shared.notes import claimed_checkpoint

Json = dict[str, Any]
PENSION, HEALTH = PARTNERS
CONFERENCE = "participation_plan_conference"
CATEGORIES = ["master_data", "health_data"]
FACTS = {
    "necessary": True,
    "participation_plan_procedure_open": True,
    "basis_communicated_was_consent_only": False,
    "requested_by_private_recipient": False,
}
ANSWERS = {f"item_{number}": str(answer) for number, answer in enumerate((1, 2, 1, 1, 0, 1, 1, 0, 0), start=1)}


@dataclass
class Step:
    """What one step tells: a headline in German, some lines below it, and how long it took."""

    title: str
    lines: list[str] = field(default_factory=list)
    milliseconds: int = 0

    def tell(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class Story:
    """Plays against a running platform. `broker` is the RabbitMQ at which the pension insurer has its queue, if any.

    `on_step` is called with each finished step. A run has an id of its own, so the story may be played again and again.
    """

    platform: PlatformClient
    world: World
    on_step: Callable[[Step], None] = lambda _: None
    broker: str = ""
    run: str = field(default_factory=lambda: uuid4().hex)
    _words: dict[str, str] = field(init=False, default_factory=dict)

    def play(self) -> list[Step]:
        """All steps; raises `Unexpected` at the first that did not do what it says."""
        self.steps: list[Step] = []
        self.operator = self._machine("betrieb-demo")
        self.specialist = self._machine("fachverfahren-demo")
        self.auditor = self._machine("datenschutz-demo")
        self.citizen = self.platform.person("demo-buergerin")
        self.pension = self._partner(PENSION)
        self._register()
        self._open_case()
        self._record_assessment()
        self._refuse_without_consent()
        self._give_consent()
        self._disclose()
        self._receive()
        self._prove()
        self._withdraw()
        self._refuse_afterwards()
        return self.steps

    def _register(self) -> None:
        with self._step("Ein Jobcenter und zwei Partnerstellen sind eingetragen") as step:
            kind = {"body": "jobcenter", "domain": "sgb_ii"}
            agency = {"agency_id": AGENCY, "name": "Jobcenter Demo", "kind": kind}
            self.operator.post("/agencies", agency, "agency")
            for partner_id, (name, body, domain) in PARTNERS.items():
                keys = self.world.partner_keys(partner_id)
                partner = {
                    "partner_id": partner_id,
                    "name": name,
                    "kind": {"body": body, "domain": domain},
                    "channel": "amqp" if self.broker and partner_id == PENSION else "feed",
                    **{use: public_part(jwk) for use, jwk in keys.items()},
                    "witness_key": self.world.witness_key(partner_id),
                }
                self.operator.post("/partners", partner, f"partner-{partner_id}-{partner['channel']}-witness")
                step.tell(f"{name} ({domain}), eigener Schlüssel, holt über {partner['channel']} ab")

    def _open_case(self) -> None:
        with self._step("Eine Person und ihr Fall mit Hauptbegleitperson") as step:
            person = {
                "person_id": self.world.person_id,
                "name": PERSON_NAME,
                "birth_date": PERSON_BIRTH_DATE,
                "contact": PERSON_CONTACT,
            }
            self.specialist.post("/persons", person, "person")
            case = {"case_id": self._id("case"), "person_id": self.world.person_id, "main_companion": "demo-fachkraft"}
            opened = self.specialist.post("/cases", case, self._key("case"))
            step.tell(f"Hauptbegleitperson {opened['main_companion']}, eröffnet {opened['opened_on']}")

    def _record_assessment(self) -> None:
        with self._step("Ein PHQ-9 wird erfasst, versiegelt mit dem Schlüssel der Person") as step:
            assessment = {
                "assessment_id": self._id("assessment"),
                "person_id": self.world.person_id,
                "instrument": "phq-9",
                "instrument_version": "1",
                "answers": {**ANSWERS, "difficulty": "missing"},
                "taken_on": (datetime.now(UTC).date() - timedelta(days=1)).isoformat(),
            }
            found = self.specialist.post("/assessments", assessment, self._key("assessment"))
            _require(found["total"] == sum(map(int, ANSWERS.values())), "the total is not the sum of the items")
            step.tell(f"Summe {found['total']}, Stufe {found['band']}")

    def _refuse_without_consent(self) -> None:
        with self._step("Ohne Einwilligung: abgelehnt, und die Ablehnung steht im Protokoll") as step:
            denied = self._request("too-early", PENSION)
            _require(denied["state"] == "denied", f"the request was {denied['state']}, not denied")
            self._tell_ruling(step, denied)
            to_citizen = self.citizen.get(f"/disclosures/{denied['disclosure_id']}")
            _require(to_citizen["ruling"] is None, "the reasons are for the staff of the agency")
            step.tell(f"Allen anderen sagt die Plattform nur: «{to_citizen['answer']}»")

    def _give_consent(self) -> None:
        with self._step("Die Person willigt ein: ein Empfänger, ein Zweck, zwei Datenarten, mit Enddatum") as step:
            until = (date.fromisoformat(PERSON_BIRTH_DATE).replace(year=datetime.now(UTC).year + 1)).isoformat()
            terms = {
                "person_id": self.world.person_id,
                "recipient": PENSION,
                "purpose": CONFERENCE,
                "categories": CATEGORIES,
                "form": "electronic",
                "given_by": ["data_subject"],
                "information": {
                    "text_version": "demo-1",
                    "language": "de",
                    "purpose": True,
                    "consequences_of_refusal": True,
                    "right_to_withdraw": True,
                },
                "voluntary": True,
                "valid_until": until,
            }
            body = {"consent_id": self._id("consent"), "terms": terms}
            given = self.citizen.post("/consents", body, self._key("consent"))
            _require(given["status"] == "given", f"the consent is {given['status']}")
            step.tell(f"Einwilligung gilt bis {until} (§ 67b Abs. 2 SGB X, Art. 7 DSGVO)")

    def _disclose(self) -> None:
        with self._step("Das Jobcenter fragt; die Regeln erlauben; erst das Protokoll, dann die Daten") as step:
            permitted = self._request("disclosure", PENSION, basis="§ 67b Abs. 2 SGB X")
            _require(permitted["state"] != "denied", f"the request was denied: {permitted['answer']}")
            self._tell_ruling(step, permitted)

    def _receive(self) -> None:
        with self._step("Die Rentenversicherung holt ab, prüft den Beleg, entschlüsselt und quittiert") as step:
            self.pension.wait_for(self._id("disclosure"), self.platform.patience)
            opened = self.pension.opened[self._id("disclosure")]
            _require(sorted(opened.content) == sorted(CATEGORIES), "the content is not what was asked for")
            found = self._until("disclosure", "acknowledged")
            content = ", ".join(map(self._word, sorted(opened.content)))
            step.tell(f"Inhalt: {content}; Nummer {found['sequence']} dieser Stelle")
            step.tell(f"Quittung: {found['match']}")
            seen = claimed_checkpoint(self.pension.receipts[self._id("disclosure")]["checkpoint"])
            _require(self.pension.cosigned.get(seen.origin) == seen.size, "the partner did not cosign the log")
            step.tell(f"Als Zeugin mitgezeichnet: {seen.origin} mit {seen.size} Einträgen")

    def _prove(self) -> None:
        with self._step("Die Datenschutzbeauftragte prüft den Beleg selbst, ohne der Plattform zu glauben") as step:
            receipt = self.auditor.get(f"/log/receipts/{self._id('disclosure')}")
            key = str(self.auditor.get("/log/key")["key"])
            verified = verify_receipt(receipt["receipt"], receipt["leaf"].encode(), key)
            sent = self.pension.receipts[self._id("disclosure")]
            _require(verified.leaf_bytes == sent["leaf"].encode(), "partner and log do not show the same entry")
            step.tell(f"Blatt {verified.index} von {verified.origin}, {verified.leaf_hash.hex()[:16]}…: bewiesen")
            outcome = self._outcome(verified.index)
            step.tell(f"Ergebnis im Protokoll: {outcome}")

    def _withdraw(self) -> None:
        with self._step("Die Person widerruft, ohne Grund; wer etwas hat, wird informiert und bestätigt") as step:
            consent_id = self._id("consent")
            self.citizen.post(f"/consents/{consent_id}/withdrawal", {}, self._key("withdrawal"))
            self.pension.wait_for(f"{self._id('disclosure')}-retraction", self.platform.patience)
            report = self._poll(
                lambda: self.citizen.get(f"/consents/{consent_id}/withdrawal"),
                lambda found: [r["state"] for r in found["recipients"]] == ["retraction_acknowledged"],
                "the retraction was not confirmed",
            )
            (told,) = report["recipients"]
            informed, confirmed = told["retracted_at"][11:19], told["acknowledged_at"][11:19]
            step.tell(f"{told['partner_id']}: informiert {informed}, bestätigt {confirmed} UTC")

    def _refuse_afterwards(self) -> None:
        with self._step("Die nächste Anfrage wird abgelehnt") as step:
            denied = self._request("too-late", PENSION)
            _require(denied["state"] == "denied", f"the request was {denied['state']}, not denied")
            self._tell_ruling(step, denied)

    def _request(self, name: str, partner_id: str, basis: str | None = None) -> Json:
        body = {
            "disclosure_id": self._id(name),
            "person_id": self.world.person_id,
            "partner_id": partner_id,
            "categories": CATEGORIES,
            "purpose": CONFERENCE,
            "basis": basis,
            "facts": FACTS,
            "reasons": "Vorbereitung der Teilhabeplankonferenz",
            "decided_by": "demo-fachkraft",
        }
        return self.specialist.post("/disclosures", body, self._key(name))

    def _tell_ruling(self, step: Step, disclosure: Json) -> None:
        ruling = disclosure["ruling"]
        for category in ruling["categories"]:
            sign = "erlaubt" if category["permitted"] else "abgelehnt"
            step.tell(f"{self._word(category['category'])}: {sign} nach {'; '.join(category['norms'][:3])}")
            if category["missing"]:
                step.tell(f"  möglich, wenn: {' und '.join(map(self._word, category['missing'][0]))}")
        step.tell(f"Beleg: Blatt {ruling['index']} in {ruling['origin']}, Regelwerk {ruling['rule_set'][:12]}…")

    def _word(self, word: str) -> str:
        """The German term of a word of the law."""
        if not self._words:
            vocabulary = self.specialist.get("/vocabulary")
            self._words = {each["id"]: each["de"] for kind in ("categories", "facts") for each in vocabulary[kind]}
        return self._words.get(word, word)

    def _until(self, name: str, state: str) -> Json:
        found: Json = self._poll(
            lambda: self.specialist.get(f"/disclosures/{self._id(name)}"),
            lambda found: found["state"] == state,
            f"the disclosure did not become {state}",
        )
        return found

    def _outcome(self, intent: int) -> str:
        def outcomes() -> list[str]:
            entries = self.auditor.get("/log/entries", after=intent, limit=500)["items"]
            leaves = [json.loads(entry["leaf"]) for entry in entries if entry["leaf"]]
            return [leaf["result"] for leaf in leaves if (leaf["about"] or {}).get("index") == intent]

        found = self._poll(outcomes, lambda results: "matched" in results, "the log does not show the outcome")
        return ", ".join(found)

    def _poll(self, read: Callable[[], Any], good: Callable[[Any], bool], otherwise: str) -> Any:
        ends = time.monotonic() + self.platform.patience
        while not good(found := read()):
            _require(time.monotonic() < ends, otherwise)
            time.sleep(0.05)
        return found

    def _machine(self, client_id: str) -> As:
        return self.platform.machine(client_id, self.world.secret(client_id))

    def _partner(self, partner_id: str) -> DemoPartner:
        platform = self._machine(partner_id)
        inbox: Inbox = FeedInbox(platform)
        if self.broker:
            inbox = QueueInbox(self.broker, f"partner.{partner_id}")
        memory = self.world.witness_folder(partner_id)
        return DemoPartner(partner_id, self.world.partner_keys(partner_id), platform, inbox, memory)

    def _id(self, name: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"handschlag:{self.run}:{name}"))

    def _key(self, name: str) -> str:
        return f"{self.run}-{name}"

    @contextmanager
    def _step(self, title: str) -> Iterator[Step]:
        step, began = Step(title), time.monotonic()
        yield step
        step.milliseconds = round((time.monotonic() - began) * 1000)
        self.steps.append(step)
        self.on_step(step)


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    if not condition:
        raise Unexpected(otherwise)
