"""Which events of partner exchange leave, and as which message: what the log hears of, outcomes and cosignatures."""

from dataclasses import replace
from hashlib import sha256

from services.exchange.domain.agency import AgencyRegistered
from services.exchange.domain.disclosure import (
    BreakGlassReviewed,
    CheckpointCosigned,
    DisclosureAcknowledged,
    DisclosureConfirmed,
    DisclosureDeclined,
    DisclosureFetchedAgain,
    DisclosureHandedOver,
    DisclosureStopped,
    NoticeAcknowledged,
    RetractionAcknowledged,
)
from services.exchange.domain.erasure import ExchangeDataErased
from services.exchange.domain.partner import (
    CommitmentRecorded,
    MedicalKeyRegistered,
    PartnerRegistered,
    WitnessKeyRegistered,
)
from services.exchange.domain.retraction import RetractionEscalated, RetractionHandedOver, RetractionReminded
from shared.canonical import canonical
from shared.domain import Event, Recorded, value
from shared.erasure import ErasureConfirmed
from shared.messaging import Message, message_of
from shared.schema import dump

CONFIGURED: dict[type, str] = {
    AgencyRegistered: "registered",
    PartnerRegistered: "registered",
    MedicalKeyRegistered: "medical_key",
    WitnessKeyRegistered: "witness_key",
    CommitmentRecorded: "undertaking",
}
"""Events that change to whom data may go, and what the log calls them."""


@value
class Outcome:
    """`result`: confirmed, declined, handed_over, stopped, taken_back, retraction_acknowledged, reviewed, or the
    recipient's word on the match.
    """

    disclosure_id: str
    result: str


@value
class Cosigned:
    """`checkpoint` of the log of the disclosing agency, with the line of the witness that owns `witness_key`."""

    witness_key: str
    checkpoint: str


@value
class Stopped:
    """`result` is stopped or taken_back, `reason` a code such as consent_expired or law_changed."""

    disclosure_id: str
    result: str
    reason: str


@value
class Configured:
    """What decides who receives what has changed: an agency or a partner, registered or with a new key. `digest` is the
    SHA-256 of what was set.
    """

    setting: str
    name: str
    change: str
    digest: str


MESSAGES: dict[str, type] = {
    "exchange.DisclosureConfirmed.v1": Outcome,
    "exchange.DisclosureDeclined.v1": Outcome,
    "exchange.BreakGlassReviewed.v1": Outcome,
    "exchange.DisclosureHandedOver.v1": Outcome,
    "exchange.DisclosureAcknowledged.v1": Outcome,
    "exchange.DisclosureStopped.v1": Outcome,
    "exchange.DisclosureStopped.v2": Stopped,
    "exchange.DisclosureFetchedAgain.v1": Outcome,
    "exchange.RetractionAcknowledged.v1": Outcome,
    "exchange.RetractionHandedOver.v1": Outcome,
    "exchange.RetractionReminded.v1": Outcome,
    "exchange.RetractionEscalated.v1": Outcome,
    "exchange.CheckpointCosigned.v1": Cosigned,
    "exchange.ExchangeDataErased.v1": ErasureConfirmed,
    "exchange.NoticeAcknowledged.v1": Outcome,
    **{f"exchange.{each.__name__}.v1": Configured for each in CONFIGURED},
}
"""A stop was told as version 1 before its reason was; nobody tells that any more."""


RESULTS: dict[type[Event], str] = {
    DisclosureConfirmed: "confirmed",
    DisclosureDeclined: "declined",
    BreakGlassReviewed: "reviewed",
    DisclosureHandedOver: "handed_over",
    RetractionHandedOver: "retraction_handed_over",
    RetractionReminded: "retraction_reminded",
    RetractionEscalated: "retraction_escalated",
    RetractionAcknowledged: "retraction_acknowledged",
}


def outbound(record: Recorded) -> Message | None:
    match record.event:
        case DisclosureAcknowledged(match=found):
            result = found.value
        case DisclosureStopped(taken_back=taken_back, reason=reason):
            told = Stopped(disclosure_id=record.id, result="taken_back" if taken_back else "stopped", reason=reason)
            return replace(message_of("exchange", record, dump(told)), type="exchange.DisclosureStopped.v2")
        case DisclosureFetchedAgain():
            result = "fetched_again"
        case event if type(event) in CONFIGURED:
            return message_of("exchange", record, dump(_configured(record, CONFIGURED[type(event)])))
        case CheckpointCosigned(witness_key=key, checkpoint=note):
            return message_of("exchange", record, dump(Cosigned(witness_key=key, checkpoint=note)))
        case ExchangeDataErased(erasure_id=erasure_id):
            return message_of("exchange", record, dump(ErasureConfirmed(erasure_id=erasure_id)))
        case NoticeAcknowledged():
            result = "notice_acknowledged"
        case event if type(event) in RESULTS:
            result = RESULTS[type(event)]
        case _:
            return None
    return message_of("exchange", record, dump(Outcome(disclosure_id=record.id, result=result)))


def _configured(record: Recorded, change: str) -> Configured:
    """Which keys there are is told by a digest: whoever has them can compare, and nobody needs them here."""
    digest = sha256(canonical(dump(record.event))).hexdigest()
    return Configured(setting=record.category, name=record.id, change=change, digest=digest)
