"""One agency at work on a local platform: what its case workers ask, and what its partners do with what they receive.

Every workplace is an agency of its own, so that many of them share one platform without seeing each other.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from joserfc.jwk import OKPKey

from services.audit.queries import EntriesPage, EntriesQuestion
from services.cases.domain.case import OpenCase
from services.cases.domain.file_entry import RecordEntry
from services.cases.domain.person import RegisterPerson
from services.consent.domain.consent import GiveConsent, RefuseConsent, WithdrawConsent
from services.consent.domain.terms import Form, Giver, Information, Terms
from services.exchange.domain.agency import Kind, RegisterAgency
from services.exchange.domain.disclosure import ConfirmDisclosure, Extent, RequestDisclosure
from services.exchange.domain.partner import Channel, RegisterPartner
from services.exchange.queries import (
    Acknowledge,
    Acknowledged,
    DisclosureQuestion,
    DisclosureView,
    FeedPage,
    FeedQuestion,
)
from services.health.domain.assessment import RecordAssessment
from services.health.domain.finding import RecordFinding
from shared.audit import VerifiedReceipt, verify_receipt
from shared.domain import Json, Receipt
from shared.envelope import Acknowledgement, Opened, Result, open_envelope, sign_acknowledgement
from shared.errors import NotFound
from shared.notes import log_verifier_key
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform

T = TypeVar("T")

REFERRAL = "referral"
STATUTORY_TASK = "recipient_statutory_task"
STATED: Json = {
    "necessary": True,
    "basis_communicated_was_consent_only": False,
    "requested_by_private_recipient": False,
}
INFORMED = Information(
    text_version="1", language="de", purpose=True, consequences_of_refusal=True, right_to_withdraw=True
)
ANSWERS = {f"item_{number}": "1" for number in range(1, 10)} | {"item_9": "0", "difficulty": "missing"}
NAME = "Ute Beispiel"
ABOUT_THE_SYSTEM = ("year_opened", "rule_set", "configuration", "key_change", "event")


def fresh(kind: str) -> str:
    """A new id."""
    return f"{kind}-{uuid4().hex[:12]}"


@dataclass(frozen=True)
class PartnerDesk:
    """A partner with its own keys, which fetches from its feed, verifies, opens and acknowledges."""

    workplace: "Workplace"
    partner_id: str
    encryption: OKPKey = field(default_factory=lambda: OKPKey.generate_key("X25519"))
    medical: OKPKey = field(default_factory=lambda: OKPKey.generate_key("X25519"))
    signing: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))

    def fetch(self, after: int = 0, limit: int = 20) -> FeedPage:
        question = FeedQuestion(partner_id=self.partner_id, after=after, limit=limit)
        return self.workplace.ask("exchange", "feed", question, FeedPage, role="partner_system")

    def documents(self, after: int = 0) -> list[Json]:
        return [item.document for item in self.fetch(after).items]

    def receipt(self, document: Json) -> VerifiedReceipt:
        """The receipt that came with it, believed only because the log signed it."""
        key = self.workplace.log_key(document["receipt"])
        return verify_receipt(document["receipt"], document["leaf"].encode(), key)

    def opened(self, document: Json, *, by_the_medical_service: bool = False) -> Opened:
        key = (self.medical if by_the_medical_service else self.encryption).as_dict(private=True)
        return open_envelope(document["envelope"], key, self.receipt(document), recipient=self.partner_id)

    def signed(self, document: Json, result: Result = Result.MATCHED, **changed: Any) -> str:
        """Its word about a document; `changed` says something else about the entry."""
        receipt = self.receipt(document)
        named = {"log": receipt.origin, "index": receipt.index, "leaf_hash": receipt.leaf_hash.hex(), **changed}
        said = Acknowledgement(result=result, at=datetime(2026, 3, 2, 12, tzinfo=UTC), **named)
        return sign_acknowledgement(said, self.signing.as_dict(private=True))

    def acknowledge(self, signed: str) -> Acknowledged:
        question = Acknowledge(partner_id=self.partner_id, signed=signed)
        return self.workplace.ask("exchange", "acknowledge", question, Acknowledged, role="partner_system")


@dataclass(frozen=True)
class Workplace:
    """The case workers of one agency."""

    platform: LocalPlatform
    agency: str

    @staticmethod
    def of(platform: LocalPlatform, body: str = "jobcenter", domain: str = "sgb_ii") -> "Workplace":
        """A new agency of that kind."""
        made = Workplace(platform, fresh("agency"))
        kind = Kind(body=body, domain=domain)
        made.ask("exchange", "register_agency", RegisterAgency(agency_id=made.agency, name="Amt", kind=kind), Receipt)
        return made

    def ask(
        self,
        service: str,
        method: str,
        question: object,
        answer: type[T],
        *,
        role: str = "case_worker",
        command_id: str | None = None,
        actor: str = "tester",
    ) -> T:
        return self.platform.ask(
            service, method, question, answer, agency=self.agency, role=role, command_id=command_id, actor=actor
        )

    def partner(self, body: str = "pension_insurer", domain: str = "sgb_vi", *, medical: bool = False) -> PartnerDesk:
        """A new partner of that kind, known to this agency."""
        desk = PartnerDesk(self, fresh("partner"))
        wanted = RegisterPartner(
            partner_id=desk.partner_id,
            name="Partner",
            kind=Kind(body=body, domain=domain),
            channel=Channel.FEED,
            encryption_key=desk.encryption.as_dict(private=False),
            signing_key=desk.signing.as_dict(private=False),
            medical_encryption_key=desk.medical.as_dict(private=False) if medical else None,
        )
        self.ask("exchange", "register_partner", wanted, Receipt)
        return desk

    def person(self, name: str = NAME, contact: str | None = "0151 000417") -> str:
        person_id = fresh("person")
        wanted = RegisterPerson(person_id=person_id, name=name, birth_date=date(1990, 2, 3), contact=contact)
        self.ask("cases", "register_person", wanted, Receipt)
        return person_id

    def case(self, person_id: str, main_companion: str = "adler") -> str:
        case_id = fresh("case")
        wanted = OpenCase(case_id=case_id, person_id=person_id, main_companion=main_companion)
        self.ask("cases", "open_case", wanted, Receipt)
        return case_id

    def entry(self, person_id: str, category: str, content: str = "Text der Akte") -> str:
        entry_id = fresh("entry")
        wanted = RecordEntry(entry_id=entry_id, person_id=person_id, category=category, content=content)
        self.ask("cases", "record_entry", wanted, Receipt)
        return entry_id

    def finding(self, person_id: str, category: str, content: str = "Befundtext") -> str:
        finding_id = fresh("finding")
        wanted = RecordFinding(
            finding_id=finding_id, person_id=person_id, category=category, content=content, origin="doctor"
        )
        self.ask("health", "record_finding", wanted, Receipt)
        return finding_id

    def assessment(self, person_id: str, answers: Mapping[str, str] = ANSWERS, on: date = date(2026, 3, 2)) -> str:
        assessment_id = fresh("assessment")
        wanted = RecordAssessment(
            assessment_id=assessment_id,
            person_id=person_id,
            instrument="phq-9",
            instrument_version="1",
            answers=dict(answers),
            taken_on=on,
        )
        self.ask("health", "record_assessment", wanted, Receipt)
        return assessment_id

    def consent(self, person_id: str, recipient: str, *categories: str, purpose: str = REFERRAL, **terms: Any) -> str:
        """The person says yes; `terms` changes what is usual."""
        consent_id = fresh("consent")
        wanted = terms_of(person_id, recipient, *categories, purpose=purpose, **terms)
        self.ask("consent", "give_consent", GiveConsent(consent_id=consent_id, terms=wanted), Receipt)
        return consent_id

    def refusal(self, person_id: str, recipient: str, *categories: str, purpose: str = REFERRAL) -> str:
        """The person says no."""
        consent_id = fresh("refusal")
        wanted = terms_of(person_id, recipient, *categories, purpose=purpose)
        self.ask("consent", "refuse_consent", RefuseConsent(consent_id=consent_id, terms=wanted), Receipt)
        return consent_id

    def withdraw(self, consent_id: str) -> Receipt:
        return self.ask("consent", "withdraw_consent", WithdrawConsent(consent_id=consent_id), Receipt)

    def request(self, wanted: RequestDisclosure, *, role: str = "case_worker", command_id: str = "") -> DisclosureView:
        """Ask for a disclosure, as a repeatable command."""
        command = command_id or f"command-{wanted.disclosure_id}"
        return self.ask("exchange", "request_disclosure", wanted, DisclosureView, role=role, command_id=command)

    def confirm(
        self, wanted: RequestDisclosure, by: str, *, yes: bool = True, role: str = "case_worker", command_id: str = ""
    ) -> DisclosureView:
        """`by` decides about what was prepared."""
        said = ConfirmDisclosure(
            disclosure_id=wanted.disclosure_id, person_id=wanted.person_id, confirm=yes, reason="geprüft"
        )
        asked = {"role": role, "command_id": command_id or None, "actor": by}
        return self.ask("exchange", "confirm_disclosure", said, DisclosureView, **asked)  # type: ignore[arg-type]

    def disclosure(self, disclosure_id: str, role: str = "case_worker") -> DisclosureView:
        question = DisclosureQuestion(disclosure_id=disclosure_id)
        return self.ask("exchange", "disclosure", question, DisclosureView, role=role)

    def leaves(self) -> list[Json]:
        """What stands in this agency's log about persons, without what it says about the system itself."""
        try:
            found = self.ask("audit", "entries", EntriesQuestion(limit=500), EntriesPage, role="auditor")
        except NotFound:
            return []
        leaves = [json.loads(item.leaf) for item in found.items if item.leaf]
        return [leaf for leaf in leaves if leaf["kind"] not in ABOUT_THE_SYSTEM]

    def log_key(self, receipt: str) -> str:
        """The verifier key of the log that a receipt names, from the installation's public key."""
        known = json.loads((self.platform.contexts["audit"].settings.keys / "log-public.json").read_text("utf-8"))
        origin = next(line for line in receipt.splitlines() if line.startswith(f"{known['origin_prefix']}/"))
        return log_verifier_key(origin, bytes.fromhex(known["public_key"]))


def terms_of(person_id: str, recipient: str, *categories: str, purpose: str = REFERRAL, **changed: Any) -> Terms:
    """Complete terms of a consent."""
    usual: dict[str, Any] = {
        "form": Form.WRITTEN,
        "given_by": (Giver.DATA_SUBJECT,),
        "information": INFORMED,
        "voluntary": True,
    }
    made = usual | changed
    return Terms(person_id=person_id, recipient=recipient, purpose=purpose, categories=categories, **made)


def request_of(person_id: str, partner: PartnerDesk, *categories: str, **changed: Any) -> RequestDisclosure:
    """A request that the law carries without consent for general data, if the partner is a benefit carrier."""
    usual: dict[str, Any] = {
        "disclosure_id": fresh("disclosure"),
        "purpose": STATUTORY_TASK,
        "facts": STATED,
        "extent": Extent.ALL,
        "reasons": "wird für die Bearbeitung gebraucht",
        "decided_by": "beck",
    }
    made = usual | changed
    return RequestDisclosure(person_id=person_id, partner_id=partner.partner_id, categories=categories, **made)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """One platform for all tests of a module; every workplace on it is an agency of its own."""
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


@pytest.fixture
def jobcenter(platform: LocalPlatform) -> Workplace:
    """A new agency for every test."""
    return Workplace.of(platform)
