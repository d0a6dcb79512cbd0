"""The partner's word that it received something: signed with its key, about an entry of the log that names it.

Somebody who acknowledges what is not theirs learns nothing: unknown, foreign and unsigned read alike.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass

from services.exchange import partner_queue
from services.exchange.documents import LogKey, own_entry
from services.exchange.domain.disclosure import CheckpointCosigned, Disclosure, DisclosureEvent, Match
from services.exchange.partner_queue import Kind, Place
from services.exchange.queries import Acknowledge, Acknowledged, Exchange, PartnerView
from shared import telemetry
from shared.clock import Clock
from shared.database import Database
from shared.envelope import Acknowledgement, verify_acknowledgement
from shared.errors import HandschlagError, Invalid
from shared.eventstore import AgencyStore
from shared.notes import VerifierKey
from shared.witness import KnownWitness, Policy

REMEDY = "sign {log, index, leaf_hash, result, at} of a delivery with the key registered for you"


@dataclass(frozen=True)
class Desk:
    """Takes acknowledgements for one agency. `catch_up` brings the directory on when an entry is not known yet."""

    agency: str
    store: AgencyStore
    database: Database
    clock: Clock
    log_key: LogKey
    catch_up: Callable[[], object] = lambda: None

    def take(self, asked: Acknowledge) -> Acknowledged:
        """Verify and record. The same acknowledgement again changes nothing. Raises `Invalid` for all that is not
        this partner's signed word about a delivery of its own.
        """
        partner = Exchange(self.store).partner(asked.partner_id)
        origin, index = _entry_named(asked.signed)
        disclosure_id = self._about(partner.partner_id, origin, index)
        disclosure, _ = self.store.load(Disclosure, disclosure_id or "none")
        mine = disclosure.requested is not None and disclosure.requested.partner_id == asked.partner_id
        if disclosure_id is None or not mine or disclosure.ruling is None:
            raise _refused()
        entry = disclosure.retracted.entry if disclosure.retracted else None
        of_retraction = entry is not None and (entry.origin, entry.index) == (origin, index)
        notice = disclosure.notice_at(origin, index)
        place = notice.entry if notice else entry if entry and of_retraction else disclosure.ruling
        receipt = self.log_key.verify(self.agency, place.origin, place.leaf, place.receipt)
        try:
            said = verify_acknowledgement(asked.signed, partner.signing_key, receipt)
        except HandschlagError:
            raise _refused() from None
        cosigned = self._cosigned(partner, place.origin, said)
        if notice:
            self._record_notice(asked.partner_id, disclosure_id, notice.notice_id, asked.signed, cosigned)
            return Acknowledged(result=said.result.value)
        self._record(asked.partner_id, disclosure_id, said, asked.signed, cosigned, of_retraction=of_retraction)
        return Acknowledged(result=said.result.value)

    def _about(self, partner_id: str, origin: str, index: int) -> str | None:
        """The disclosure that the entry is about; what lies with the partner is found before the directory knows."""
        with self.database.read() as tx:
            exchange = Exchange(self.store)
            if known := exchange.about_entry(tx, origin, index):
                return known
            for row in partner_queue.handed_to(tx, self.agency, partner_id):
                if own_entry(row.document) == (origin, index):
                    return str(row.disclosure_id)
        self.catch_up()
        with self.database.read() as tx:
            return exchange.about_entry(tx, origin, index)

    def _cosigned(self, partner: PartnerView, origin: str, said: Acknowledgement) -> list[CheckpointCosigned]:
        """The checkpoint of our log that the partner cosigned as a witness, if it did. A cosignature that does not
        hold makes the acknowledgement no worse: it is left out, and a line of our own log says so.
        """
        if said.cosigned is None or partner.witness_key is None:
            return []
        try:
            witness = VerifierKey.parse(partner.witness_key)
            Policy(witnesses={"partner": KnownWitness("partner", witness)}, quorum="partner").check(
                said.cosigned, [self.log_key.of(origin)]
            )
        except HandschlagError as error:
            telemetry.logger("exchange").warning("a partner's cosignature does not hold", code=error.code)
            return []
        return [CheckpointCosigned(witness_key=partner.witness_key, checkpoint=said.cosigned)]

    def _record(
        self,
        partner_id: str,
        disclosure_id: str,
        said: Acknowledgement,
        signed: str,
        cosigned: list[CheckpointCosigned],
        *,
        of_retraction: bool,
    ) -> None:
        kind = Kind.RETRACTION if of_retraction else Kind.DISCLOSURE
        now = self.clock.now()

        def acknowledged(known: Disclosure) -> list[DisclosureEvent]:
            match = Match(said.result.value)
            events = (
                known.acknowledge_retraction(signed, now) if of_retraction else known.acknowledge(match, signed, now)
            )
            return [*events, *cosigned] if events else []

        with self.database.write() as tx:
            self.store.change(
                Disclosure,
                disclosure_id,
                acknowledged,
                command_id=f"{disclosure_id}:acknowledge-{kind.value}",
                tx=tx,
            )
            document = (tx, self.agency, partner_id, disclosure_id)
            partner_queue.close(*document, kind, only_from=partner_queue.IN_WINDOW)
            if of_retraction:
                there = (Place.QUEUED, *partner_queue.IN_WINDOW)
                partner_queue.close(*document, Kind.REMINDER, only_from=there)

    def _record_notice(
        self, partner_id: str, disclosure_id: str, notice_id: str, signed: str, cosigned: list[CheckpointCosigned]
    ) -> None:
        now = self.clock.now()

        def acknowledged(known: Disclosure) -> list[DisclosureEvent]:
            events = known.acknowledge_notice(notice_id, signed, now)
            return [*events, *cosigned] if events else []

        with self.database.write() as tx:
            command_id = f"{disclosure_id}:acknowledge-notice-{notice_id}"
            self.store.change(Disclosure, disclosure_id, acknowledged, command_id=command_id, tx=tx)
            kind, there = Kind.of_notice(notice_id), partner_queue.IN_WINDOW
            partner_queue.close(tx, self.agency, partner_id, disclosure_id, kind, only_from=there)


def _entry_named(signed: str) -> tuple[str, int]:
    """Which entry the acknowledgement speaks of, not yet believed."""
    try:
        payload = signed.split(".")[1]
        named = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        log, index = named["log"], named["index"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise _refused() from None
    if not isinstance(log, str) or not log.isprintable() or type(index) is not int or not 0 <= index < 1 << 53:
        raise _refused()
    return log, index


def _refused() -> Invalid:
    fault = ("/signed", "this is not your signed acknowledgement of a delivery to you", REMEDY)
    return Invalid("acknowledgement.not_proven", fault[1], fault[2], [fault])
