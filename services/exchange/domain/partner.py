"""Partner (Partnerstelle): a body of another legal domain to which an agency may disclose.

Each agency keeps its own register. A partner has a key to which disclosures are encrypted and a key with which
it signs acknowledgements; both are public keys as JWK (RFC 7517). Its medical service may have an encryption key of
its own (§ 76 SGB X), and the partner a key with which it cosigns our log as a witness. A body outside § 35 SGB I
commits itself and its staff to purpose and secrecy (§ 78 SGB X).
"""

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

from services.exchange.domain.agency import Kind
from shared.domain import Command, Event, Json, command, event
from shared.errors import Invalid, Refused

SHORTEST_RSA_BYTES = 512
"""4096 bits (`contracts/formats/envelope.md`)."""

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Channel(StrEnum):
    """How a partner fetches: from its own broker queue, or over HTTP from its feed."""

    AMQP = "amqp"
    FEED = "feed"


@command
class RegisterPartner(Command):
    partner_id: str
    name: str
    kind: Kind
    channel: Channel
    encryption_key: Json
    signing_key: Json
    medical_encryption_key: Json | None = None
    witness_key: str | None = None


@command
class RecordCommitment(Command):
    """The partner undertook to keep purpose and secrecy and has instructed its staff, by the text of that version."""

    partner_id: str
    on: date
    text_version: str


@event(version=1)
class PartnerRegistered(Event):
    name: str
    kind: Kind
    channel: Channel
    encryption_key: Json
    signing_key: Json


@event(version=1)
class MedicalKeyRegistered(Event):
    """Only the partner's medical service has the private part."""

    encryption_key: Json


@event(version=1)
class WitnessKeyRegistered(Event):
    """A verifier key (C2SP signed-note) of type 4: the partner cosigns checkpoints of our log with it, nothing else."""

    key: str


@event(version=1)
class CommitmentRecorded(Event):
    on: date
    text_version: str


PartnerEvent = PartnerRegistered | MedicalKeyRegistered | WitnessKeyRegistered | CommitmentRecorded


@dataclass(frozen=True)
class Partner:
    registered: PartnerRegistered | None = None
    medical_key: Json | None = None
    witness_key: str | None = None
    commitment: CommitmentRecorded | None = None

    def register(self, wanted: RegisterPartner) -> list[PartnerEvent]:
        """Once; the same again changes nothing. A key of the medical service or of the witness may be added later."""
        _check_key("/encryption_key", wanted.encryption_key, {("OKP", "X25519"), ("RSA", "")})
        _check_key("/signing_key", wanted.signing_key, {("OKP", "Ed25519")})
        made = PartnerRegistered(
            name=wanted.name,
            kind=wanted.kind,
            channel=wanted.channel,
            encryption_key=wanted.encryption_key,
            signing_key=wanted.signing_key,
        )
        medical = wanted.medical_encryption_key
        if medical is not None:
            _check_key("/medical_encryption_key", medical, {("OKP", "X25519"), ("RSA", "")})
        witness = wanted.witness_key
        other_key = medical is not None and self.medical_key not in (None, medical)
        other_key = other_key or (witness is not None and self.witness_key not in (None, witness))
        if self.registered not in (None, made) or other_key:
            raise Refused("partner.already_registered", "this id is taken", "choose another partner id")
        added = medical if self.medical_key is None else None
        return [
            *([] if self.registered else [made]),
            *([] if added is None else [MedicalKeyRegistered(encryption_key=added)]),
            *([] if witness is None or self.witness_key else [WitnessKeyRegistered(key=witness)]),
        ]

    def commit(self, wanted: RecordCommitment, today: date) -> list[PartnerEvent]:
        """The newest text counts; the same commitment again changes nothing."""
        if wanted.on > today:
            fault = ("/on", "this day is still to come", "name the day on which it was signed")
            raise Invalid("partner.commitment_invalid", fault[1], fault[2], [fault])
        made = CommitmentRecorded(on=wanted.on, text_version=wanted.text_version)
        return [] if self.commitment == made else [made]

    def apply(self, event: PartnerEvent) -> "Partner":
        match event:
            case PartnerRegistered():
                return replace(self, registered=event)
            case MedicalKeyRegistered():
                return replace(self, medical_key=event.encryption_key)
            case WitnessKeyRegistered():
                return replace(self, witness_key=event.key)
            case CommitmentRecorded():
                return replace(self, commitment=event)


def _check_key(pointer: str, key: Mapping[str, Any], allowed: set[tuple[str, str]]) -> None:
    kind = (str(key.get("kty", "")), str(key.get("crv", "")))
    if kind not in allowed:
        wanted = " or ".join(" ".join(part for part in one if part) for one in sorted(allowed))
        fault = (pointer, "not a kind of key that is agreed here", f"send a public JWK of kind {wanted}")
    elif PRIVATE_MEMBERS & key.keys():
        fault = (pointer, "this is a private key", "keep it, make a new pair, and send only the public part")
    elif kind[0] == "RSA" and _length(key.get("n")) < SHORTEST_RSA_BYTES:
        fault = (pointer, "this key is too short", "an RSA key has at least 4096 bits")
    elif kind[0] == "OKP" and _length(key.get("x")) != 32:
        fault = (pointer, "this is no whole key", "send kty, crv and x of the public JWK (RFC 8037)")
    else:
        return
    raise Invalid("partner.key_invalid", fault[1], fault[2], [fault])


def _length(encoded: object) -> int:
    """How many bytes a base64url member of a JWK has; 0 when it is none."""
    try:
        return len(urlsafe_b64decode(str(encoded or "") + "=="))
    except ValueError:
        return 0
