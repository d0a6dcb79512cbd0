"""Use cases of partner exchange.

The order of a disclosure is fixed (`contracts/decisions/`): the content is put aside, the audit service decides and
logs, the receipt is verified, only then is anything encrypted, and only then does it wait for the partner. A process
that dies between two steps finds each of them again by the id of the disclosure.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from services.exchange import partner_queue
from services.exchange.asks import Asks, AuthorizeDisclosure
from services.exchange.documents import LogKey, disclosure_document
from services.exchange.domain.agency import Agency, RegisterAgency
from services.exchange.domain.disclosure import Disclosure, RequestDisclosure, Ruling, State
from services.exchange.domain.pairwise_reference import PairwiseReference
from services.exchange.domain.partner import Partner, RegisterPartner
from services.exchange.queries import AgencyView, Exchange, PartnerView
from shared.audit import commitment
from shared.clock import Clock
from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import Erased, Json, Receipt, known
from shared.envelope import DEFAULT_SUITE, seal
from shared.eventstore import AgencyStore
from shared.identity import Caller
from shared.law import check_kind, check_request


def register_agency(command: RegisterAgency, store: AgencyStore, *, command_id: str) -> Receipt:
    check_kind(command.kind.body, command.kind.domain)
    return store.change(Agency, command.agency_id, lambda agency: agency.register(command), command_id=command_id)


def register_partner(command: RegisterPartner, store: AgencyStore, *, command_id: str) -> Receipt:
    check_kind(command.kind.body, command.kind.domain)
    return store.change(Partner, command.partner_id, lambda partner: partner.register(command), command_id=command_id)


def suite_for(encryption_key: Mapping[str, object]) -> str:
    """The algorithms that fit the kind of key which the partner registered (`contracts/formats/envelope.md`)."""
    return "RSA-OAEP-256/A256GCM" if encryption_key.get("kty") == "RSA" else DEFAULT_SUITE


@dataclass(frozen=True)
class Draft:
    """The content of a request as it was when it was asked for, and the key of each category's commitment."""

    content: Mapping[str, Json]
    keys: Mapping[str, bytes]

    @property
    def commitments(self) -> dict[str, str]:
        return {f"content.{name}": commitment(self.keys[name], held) for name, held in self.content.items()}

    def to_bytes(self) -> bytes:
        keys = {name: urlsafe_b64encode(key).decode() for name, key in self.keys.items()}
        return orjson.dumps({"content": dict(self.content), "keys": keys})

    @staticmethod
    def from_bytes(data: bytes) -> "Draft":
        stored = orjson.loads(data)
        return Draft(stored["content"], {name: urlsafe_b64decode(key) for name, key in stored["keys"].items()})


@dataclass(frozen=True)
class Desk:
    """Carries one agency's disclosures from the request to the partner's queue."""

    agency: str
    store: AgencyStore
    database: Database
    keys: PersonKeys
    clock: Clock
    asks: Asks
    log_key: LogKey

    def request(self, command: RequestDisclosure, caller: Caller) -> None:
        """Decide and, if lawful, put sealed into the partner's queue. Sent twice it happens once.

        Raises `Invalid` or `NotFound` before anything is written, and `Unavailable` when the ruling cannot be had:
        then nothing has left, and the same command may be sent again.
        """
        partner = Exchange(self.store).partner(command.partner_id)
        sender = Exchange(self.store).agency(self.agency)
        check_request(self._in_words(command, sender, partner))
        person = self.asks.person(command.person_id)
        self.store.change(
            Disclosure,
            command.disclosure_id,
            lambda disclosure: disclosure.request(command),
            command_id=caller.command_id,
        )
        disclosure, _ = self.store.load(Disclosure, command.disclosure_id)
        disclosure.request(command)  # the store answers a command id that it knows without asking
        if disclosure.state is State.REQUESTED:
            age = person.age(self.clock.today())
            facts = {**known(command.facts, {}), **({} if age is None else {"age": age})}
            self._decide(replace(command, facts=facts), sender, partner)

    def _in_words(self, command: RequestDisclosure, sender: AgencyView, partner: PartnerView) -> Json:
        """The request in the vocabulary of the law."""
        return {
            "date": self.clock.today().isoformat(),
            "sender": {"body": sender.kind.body, "domain": sender.kind.domain},
            "recipient": {"body": partner.kind.body, "domain": partner.kind.domain},
            "categories": list(command.categories),
            "purpose": command.purpose,
            "facts": dict(known(command.facts, {})),
            "facts_by_category": dict(known(command.facts_by_category, {})),
            "basis": command.basis,
        }

    def _decide(self, command: RequestDisclosure, sender: AgencyView, partner: PartnerView) -> None:
        draft = self._draft(command)
        ruling = self.asks.authorize(
            AuthorizeDisclosure(
                disclosure_id=command.disclosure_id,
                person_id=command.person_id,
                case_id=command.case_id,
                sender=sender.kind,
                partner_id=partner.partner_id,
                recipient=partner.kind,
                categories=command.categories,
                held=tuple(draft.content),
                purpose=command.purpose,
                basis=command.basis,
                extent=command.extent,
                facts=command.facts,
                facts_by_category=command.facts_by_category,
                commitments=draft.commitments,
                reasons=command.reasons,
            )
        )
        if ruling.sent:
            self._queue(command, partner, draft, ruling)
        else:
            self._close(command, ruling)

    def _close(self, command: RequestDisclosure, ruling: Ruling) -> None:
        held_back = any(not category.permitted for category in ruling.categories)
        with self.database.write() as tx:
            self.store.change(
                Disclosure,
                command.disclosure_id,
                lambda disclosure: disclosure.deny(ruling) if held_back else disclosure.find_nothing(ruling),
                command_id=f"{command.disclosure_id}:ruling",
                tx=tx,
            )
            partner_queue.drop_draft(tx, self.agency, command.disclosure_id)

    def _queue(self, command: RequestDisclosure, partner: PartnerView, draft: Draft, ruling: Ruling) -> None:
        receipt = self.log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        envelope = seal(
            receipt,
            {name: draft.content[name] for name in ruling.sent},
            {name: draft.keys[name] for name in ruling.sent},
            partner.encryption_key,
            sender=self.agency,
            recipient=partner.partner_id,
            purpose=command.purpose,
            categories=ruling.sent,
            reference=self._reference(command.person_id, partner.partner_id),
            suite=suite_for(partner.encryption_key),
        )
        document = disclosure_document(
            command.disclosure_id,
            receipt,
            envelope,
            obligations=ruling.obligations,
        )
        with self.database.write() as tx:
            self.store.change(
                Disclosure,
                command.disclosure_id,
                lambda disclosure: disclosure.permit(ruling, sha256(envelope.encode()).hexdigest()),
                command_id=f"{command.disclosure_id}:ruling",
                tx=tx,
            )
            partner_queue.put(
                tx,
                agency=self.agency,
                partner_id=partner.partner_id,
                kind=partner_queue.Kind.DISCLOSURE,
                disclosure_id=command.disclosure_id,
                channel=partner.channel,
                document=document,
                consents=ruling.consents,
                now=self.clock.now(),
            )
            partner_queue.drop_draft(tx, self.agency, command.disclosure_id)

    def _draft(self, command: RequestDisclosure) -> Draft:
        """The draft of this request: the one put aside before, or a new one."""
        with self.database.read() as tx:
            sealed = partner_queue.kept_draft(tx, self.agency, command.disclosure_id)
        if sealed is None:
            return self._put_aside(command)
        opened = self.keys.open(self.agency, command.person_id, sealed, self._bound_to(command))
        return Draft({}, {}) if isinstance(opened, Erased) else Draft.from_bytes(opened)

    def _put_aside(self, command: RequestDisclosure) -> Draft:
        content = self.asks.content(command.person_id, command.categories, command.case_id)
        draft = Draft(content, {name: secrets.token_bytes(32) for name in content})
        with self.database.write() as tx:
            kept = partner_queue.kept_draft(tx, self.agency, command.disclosure_id)
            if kept is None:
                sealed = self.keys.seal(self.agency, command.person_id, draft.to_bytes(), self._bound_to(command), tx)
                now = self.clock.now()
                partner_queue.keep_draft(tx, self.agency, command.disclosure_id, sealed, now)
        return draft if kept is None else self._draft(command)

    def _bound_to(self, command: RequestDisclosure) -> bytes:
        return f"draft\n{self.agency}\n{command.disclosure_id}".encode()

    def _reference(self, person_id: str, partner_id: str) -> str:
        key = f"{person_id}.{partner_id}"
        fresh = secrets.token_hex(16)
        self.store.change(
            PairwiseReference,
            key,
            lambda known: known.assign(person_id, partner_id, fresh),
            command_id=f"reference:{key}",
        )
        return self.store.load(PairwiseReference, key)[0].reference
