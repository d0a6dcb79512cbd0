"""The partner's word that it received something: signed with its key, about an entry of the log that names it.

Somebody who acknowledges what is not theirs learns nothing: unknown, foreign and unsigned read alike.
"""

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass

from services.exchange import partner_queue
from services.exchange.documents import LogKey
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
    """Takes acknowledgements for one agency."""

    agency: str
    store: AgencyStore
    database: Database
    clock: Clock
    log_key: LogKey

    def take(self, asked: Acknowledge) -> Acknowledged:
        """Verify and record. The same acknowledgement again changes nothing. Raises `Invalid` for all that is not
        this partner's signed word about a delivery of its own.
        """
        partner = Exchange(self.store).partner(asked.partner_id)
        origin, index = _entry_named(asked.signed)
        with self.database.read() as tx:
            disclosure_id = Exchange(self.store).about_entry(tx, origin, index)
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
            self._record_notice(disclosure_id, notice.notice_id, asked.signed, cosigned)
            return Acknowledged(result=said.result.value)
        self._record(disclosure_id, said, asked.signed, cosigned, of_retraction=of_retraction)
        return Acknowledged(result=said.result.value)

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
            row = partner_queue.find(tx, self.agency, disclosure_id, kind)
            if row:
                partner_queue.move(tx, row.id, Place.DONE, only_from=partner_queue.IN_WINDOW)
            reminder = partner_queue.find(tx, self.agency, disclosure_id, Kind.REMINDER) if of_retraction else None
            if reminder:
                partner_queue.move(tx, reminder.id, Place.DONE, only_from=(Place.QUEUED, *partner_queue.IN_WINDOW))

    def _record_notice(
        self, disclosure_id: str, notice_id: str, signed: str, cosigned: list[CheckpointCosigned]
    ) -> None:
        now = self.clock.now()

        def acknowledged(known: Disclosure) -> list[DisclosureEvent]:
            events = known.acknowledge_notice(notice_id, signed, now)
            return [*events, *cosigned] if events else []

        with self.database.write() as tx:
            command_id = f"{disclosure_id}:acknowledge-notice-{notice_id}"
            self.store.change(Disclosure, disclosure_id, acknowledged, command_id=command_id, tx=tx)
            row = partner_queue.find(tx, self.agency, disclosure_id, Kind.of_notice(notice_id))
            if row:
                partner_queue.move(tx, row.id, Place.DONE, only_from=partner_queue.IN_WINDOW)


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
