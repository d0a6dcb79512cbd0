"""Use cases of partner exchange.

The order of a disclosure is fixed (`contracts/decisions/`): the content is put aside, the audit service decides and
logs, a named person confirms where the law wants one, the receipt is verified, only then is anything encrypted, and
only then does it wait for the partner. A process that dies between two steps finds each of them again by the id of the
disclosure.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256

import orjson

from services.exchange import obligations, partner_queue
from services.exchange.asks import Asks, Authorized, AuthorizeDisclosure, PersonKnown
from services.exchange.documents import LogKey, disclosure_document
from services.exchange.domain.agency import Agency, RegisterAgency
from services.exchange.domain.disclosure import (
    ConfirmDisclosure,
    Disclosure,
    DisclosureEvent,
    DisclosureRequested,
    RequestDisclosure,
    ReviewBreakGlass,
    Ruling,
    State,
)
from services.exchange.domain.pairwise_reference import PairwiseReference
from services.exchange.domain.partner import Partner, RecordCommitment, RegisterPartner
from services.exchange.queries import AgencyView, Exchange, PartnerView
from shared.audit import commitment
from shared.clock import Clock
from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import Erased, Json, Receipt, known
from shared.envelope import DEFAULT_SUITE, seal
from shared.errors import Forbidden, Invalid, NotFound, Refused
from shared.eventstore import AgencyStore
from shared.identity import Caller
from shared.law import check_kind, check_request
from shared.notes import COSIGNATURE, Malformed, VerifierKey

CASE_WORKER = "case_worker"


def register_agency(command: RegisterAgency, store: AgencyStore, *, command_id: str) -> Receipt:
    check_kind(command.kind.body, command.kind.domain)
    return store.create(Agency, command.agency_id, lambda agency: agency.register(command), command_id=command_id)


def register_partner(command: RegisterPartner, store: AgencyStore, *, command_id: str) -> Receipt:
    check_kind(command.kind.body, command.kind.domain)
    if command.witness_key is not None:
        check_witness_key(command.witness_key)
    return store.create(Partner, command.partner_id, lambda partner: partner.register(command), command_id=command_id)


def check_witness_key(text: str) -> None:
    """Raises `Invalid` unless this is the verifier key of a cosigner, in the one spelling of C2SP signed-note."""
    try:
        kind = VerifierKey.parse(text).kind
    except Malformed:
        kind = None
    if kind != COSIGNATURE:
        remedy = "send name+id+base64 of an Ed25519 key of type 4, as handschlag witness key prints it"
        fault = ("/witness_key", "not the verifier key of a witness", remedy)
        raise Invalid("partner.key_invalid", fault[1], fault[2], [fault])


def record_commitment(command: RecordCommitment, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    """Raises `NotFound` when the agency knows no such partner."""
    Exchange(store).partner(command.partner_id)
    return store.change(
        Partner, command.partner_id, lambda partner: partner.commit(command, today), command_id=command_id
    )


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


def days_of(content: Json) -> tuple[date, ...]:
    """The first and last day of the entries; empty for what has none."""
    days = sorted(entry["on"] for entry in content.get("entries", ()) if isinstance(entry.get("on"), str))
    return tuple(map(date.fromisoformat, (days[0], days[-1]))) if days else ()


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
        """Decide and, if lawful, put sealed into the partner's queue, or wait for a person. Sent twice it happens once.

        Raises `Invalid`, `NotFound` or `Refused` before anything is written, and `Unavailable` when the ruling cannot
        be had: then nothing has left, and the same command may be sent again.
        """
        partner = Exchange(self.store).partner(command.partner_id)
        sender = Exchange(self.store).agency(self.agency)
        check_request(self._in_words(command, sender, partner))
        person = self.asks.person(command.person_id)
        disclosure, _ = self.store.load(Disclosure, command.disclosure_id)
        if disclosure.state is State.UNKNOWN:
            self._begin(command, person, caller)
            disclosure, _ = self.store.load(Disclosure, command.disclosure_id)
        disclosure.request(command, self.clock.now())
        if disclosure.state is State.REQUESTED:
            age = person.age(self.clock.today())
            facts = {**known(command.facts, {}), **({} if age is None else {"age": age})}
            self._decide(replace(command, facts=facts), sender, partner, caller, restricted=person.restricted)

    def confirm(self, command: ConfirmDisclosure, caller: Caller) -> None:
        """What a named person decides about a prepared disclosure: it leaves, or it is closed. Twice is once.

        Raises `Forbidden` unless a case worker decides, and `Refused` where that person may not, or too late.
        """
        disclosure = self._prepared(command.disclosure_id, command.person_id, caller)
        now = self.clock.now()
        if not command.confirm:
            self._decline(command, caller, now)
        elif disclosure.confirm(caller.actor, command.reason, now):
            self._let_go(command, disclosure, caller, now)

    def review(self, command: ReviewBreakGlass, caller: Caller) -> None:
        """Somebody else looked at an emergency afterwards. Raises `Refused` when it was their own."""
        self._prepared(command.disclosure_id, command.person_id, caller)
        now = self.clock.now()
        self.store.change(
            Disclosure,
            command.disclosure_id,
            lambda disclosure: disclosure.review(caller.actor, command.finding, now),
            command_id=caller.command_id,
        )

    def _prepared(self, disclosure_id: str, person_id: str, caller: Caller) -> Disclosure:
        disclosure, _ = self.store.load(Disclosure, disclosure_id)
        if not disclosure.requested or disclosure.requested.person_id != person_id:
            raise NotFound("disclosure.unknown")
        if caller.role != CASE_WORKER or not caller.actor:
            raise Forbidden("role.not_allowed", "a named case worker decides this", "sign in as one")
        return disclosure

    def _begin(self, command: RequestDisclosure, person: PersonKnown, caller: Caller) -> None:
        """The request and the draft of what would travel, together; content that may not travel so is refused."""
        now = self.clock.now()
        command.check(now, self.clock.today())
        obligations.check_way(command)
        held = self.asks.content(command.person_id, command.categories, command.case_id)
        held = {name: found for name, each in held.items() if (found := command.within(each))}
        content = obligations.fit_to_leave(held, person.identity)
        draft = Draft(content, {name: secrets.token_bytes(32) for name in content})
        begun: list[DisclosureEvent] = []

        def decide(disclosure: Disclosure) -> list[DisclosureEvent]:
            begun[:] = disclosure.request(command, now)
            return begun

        with self.database.write() as tx:
            self.store.change(Disclosure, command.disclosure_id, decide, command_id=caller.command_id, tx=tx)
            if begun:
                bound = self._bound_to(command.disclosure_id)
                sealed = self.keys.seal(self.agency, command.person_id, draft.to_bytes(), bound, tx)
                partner_queue.keep_draft(tx, self.agency, command.disclosure_id, sealed, now)

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

    def _decide(
        self,
        command: RequestDisclosure,
        sender: AgencyView,
        partner: PartnerView,
        caller: Caller,
        *,
        restricted: bool,
    ) -> None:
        draft = self._draft(command.disclosure_id, command.person_id)
        answer = self.asks.authorize(
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
                decided_by=command.decided_by,
                undertaking_given=partner.committed_on is not None,
                unable=obligations.unable(self._partner(partner.partner_id)),
                restricted=restricted,
                days={name: days_of(each) for name, each in draft.content.items()},
            )
        )
        if not answer.sent:
            self._close(command, answer.ruling)
        elif obligations.needs_confirmation(command.purpose, answer.obligations):
            self._await(command.disclosure_id, answer, caller)
        else:
            self._permit(command.disclosure_id, partner, draft, answer)

    def _await(self, disclosure_id: str, answer: Authorized, caller: Caller) -> None:
        """Prepared: the draft stays sealed with the person's key, and nothing is sealed for the partner yet."""
        self.store.change(
            Disclosure,
            disclosure_id,
            lambda disclosure: disclosure.await_confirmation(
                answer.ruling,
                asker=caller.actor,
                four_eyes=obligations.needs_four_eyes(answer.obligations),
                erase_by=answer.erase_by,
            ),
            command_id=f"{disclosure_id}:ruling",
        )

    def _decline(self, command: ConfirmDisclosure, caller: Caller, now: datetime) -> None:
        with self.database.write() as tx:
            self.store.change(
                Disclosure,
                command.disclosure_id,
                lambda disclosure: disclosure.decline(caller.actor, command.reason, now),
                command_id=caller.command_id,
                tx=tx,
            )
            partner_queue.drop_draft(tx, self.agency, command.disclosure_id)

    def _let_go(self, command: ConfirmDisclosure, disclosure: Disclosure, caller: Caller, now: datetime) -> None:
        """The confirmation, the permit and the queue in one transaction; an emergency stands in the log before."""
        asked, awaited = disclosure.requested, disclosure.awaited
        if not asked or not awaited:
            raise Refused("disclosure.nothing_to_confirm")
        draft = self._draft(command.disclosure_id, asked.person_id)
        if not set(awaited.ruling.sent) <= draft.content.keys():
            raise Refused("disclosure.content_gone", "what was prepared was erased meanwhile", "decline it")
        if disclosure.glass:
            self.asks.log_break_glass(command.disclosure_id, disclosure.glass)
        self._queue(
            command.disclosure_id,
            asked,
            draft,
            lambda known, fingerprint: known.confirm(caller.actor, command.reason, now, fingerprint),
            partner=Exchange(self.store).partner(asked.partner_id),
            ruling=awaited.ruling,
            erase_by=awaited.erase_by,
            until=disclosure.glass.ends_at if disclosure.glass else None,
            command_id=caller.command_id,
        )

    def _permit(self, disclosure_id: str, partner: PartnerView, draft: Draft, answer: Authorized) -> None:
        asked = self.store.load(Disclosure, disclosure_id)[0].requested
        if asked:
            self._queue(
                disclosure_id,
                asked,
                draft,
                lambda known, fingerprint: known.permit(answer.ruling, fingerprint),
                partner=partner,
                ruling=answer.ruling,
                erase_by=answer.erase_by,
                until=None,
                command_id=f"{disclosure_id}:ruling",
            )

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

    def _queue(
        self,
        disclosure_id: str,
        asked: DisclosureRequested,
        draft: Draft,
        permit: Callable[[Disclosure, str], list[DisclosureEvent]],
        *,
        partner: PartnerView,
        ruling: Ruling,
        erase_by: date | None,
        until: datetime | None,
        command_id: str,
    ) -> None:
        receipt = self.log_key.verify(self.agency, ruling.origin, ruling.leaf, ruling.receipt)
        key = obligations.key_for(self._partner(partner.partner_id), ruling.obligations)
        envelope = seal(
            receipt,
            {name: draft.content[name] for name in ruling.sent},
            {name: draft.keys[name] for name in ruling.sent},
            key,
            sender=self.agency,
            recipient=partner.partner_id,
            purpose=asked.purpose,
            categories=ruling.sent,
            reference=self._reference(asked.person_id, partner.partner_id),
            suite=suite_for(key),
        )
        document = disclosure_document(
            disclosure_id,
            receipt,
            envelope,
            obligations=obligations.binding(ruling.obligations),
            erase_by=erase_by,
        )
        fingerprint = sha256(envelope.encode()).hexdigest()
        with self.database.write() as tx:
            self.store.change(
                Disclosure,
                disclosure_id,
                lambda disclosure: permit(disclosure, fingerprint),
                command_id=command_id,
                tx=tx,
            )
            partner_queue.put(
                tx,
                agency=self.agency,
                partner_id=partner.partner_id,
                kind=partner_queue.Kind.DISCLOSURE,
                disclosure_id=disclosure_id,
                channel=partner.channel,
                document=document,
                consents=ruling.consents,
                until=until,
                now=self.clock.now(),
            )
            partner_queue.drop_draft(tx, self.agency, disclosure_id)

    def _partner(self, partner_id: str) -> Partner:
        return self.store.load(Partner, partner_id)[0]

    def _draft(self, disclosure_id: str, person_id: str) -> Draft:
        """What was put aside with the request; nothing, when the person was erased since."""
        with self.database.read() as tx:
            sealed = partner_queue.kept_draft(tx, self.agency, disclosure_id)
        if sealed is None:
            return Draft({}, {})
        opened = self.keys.open(self.agency, person_id, sealed, self._bound_to(disclosure_id))
        return Draft({}, {}) if isinstance(opened, Erased) else Draft.from_bytes(opened)

    def _bound_to(self, disclosure_id: str) -> bytes:
        return f"draft\n{self.agency}\n{disclosure_id}".encode()

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
