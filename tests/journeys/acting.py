"""What the journeys do again and again: register a person, consent, ask for a disclosure."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from services.command.demo.platform_client import As
from services.command.demo.world import AGENCY, PARTNERS, public_part
from tests.support.platform import Platform

Json = dict[str, Any]
CONFERENCE = "participation_plan_conference"
FACTS = {
    "necessary": True,
    "participation_plan_procedure_open": True,
    "basis_communicated_was_consent_only": False,
    "requested_by_private_recipient": False,
}
ANSWERED_FOR = {"reasons": "Vorbereitung der Konferenz", "decided_by": "demo-fachkraft"}
INFORMED = {
    "text_version": "1",
    "language": "de",
    "purpose": True,
    "consequences_of_refusal": True,
    "right_to_withdraw": True,
}


@dataclass
class Office:
    """The demonstration agency at work, through the public interface."""

    platform: Platform
    worker: As = field(init=False)
    operator: As = field(init=False)
    auditor: As = field(init=False)

    def __post_init__(self) -> None:
        self.worker = self.platform.machine("fachverfahren-demo")
        self.operator = self.platform.machine("betrieb-demo")
        self.auditor = self.platform.machine("datenschutz-demo")

    def open(self) -> "Office":
        """Agency and partners, as the story registers them."""
        kind = {"body": "jobcenter", "domain": "sgb_ii"}
        self.operator.post("/agencies", {"agency_id": AGENCY, "name": "Jobcenter Demo", "kind": kind}, "agency")
        for number, (partner_id, (name, body, domain)) in enumerate(PARTNERS.items()):
            channel = "amqp" if self.platform.broker and number == 0 else "feed"
            keys = {use: public_part(jwk) for use, jwk in self.platform.world.partner_keys(partner_id).items()}
            partner = {"partner_id": partner_id, "name": name, "kind": {"body": body, "domain": domain}}
            self.operator.post("/partners", {**partner, "channel": channel, **keys}, f"partner-{partner_id}-{channel}")
        return self

    def person(self, name: str = "Testperson", birth_date: str = "1980-05-05") -> str:
        person_id = str(uuid4())
        self.worker.post("/persons", {"person_id": person_id, "name": name, "birth_date": birth_date}, new_key())
        return person_id

    def consent(self, person_id: str, partner_id: str, categories: list[str], purpose: str = CONFERENCE) -> str:
        terms = {
            "person_id": person_id,
            "recipient": partner_id,
            "purpose": purpose,
            "categories": categories,
            "form": "written",
            "given_by": ["data_subject"],
            "information": INFORMED,
            "voluntary": True,
        }
        return str(self.worker.post("/consents", {"terms": terms}, new_key())["consent_id"])

    def disclose(self, person_id: str, partner_id: str, categories: list[str], **more: Any) -> Json:
        body = {
            "person_id": person_id,
            "partner_id": partner_id,
            "categories": categories,
            "purpose": CONFERENCE,
            "facts": FACTS,
            **ANSWERED_FOR,
            **more,
        }
        return self.worker.post("/disclosures", body, new_key())


def new_key() -> str:
    return uuid4().hex
