"""Which messages of others matter to the log: what became of a disclosure after its intent was logged, and what
partners cosigned.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.audit.activation import configure
from services.audit.domain.erasure import AuditDataErased
from services.audit.event_log import log_batch
from services.audit.evidence import audit_log
from services.audit.handlers import Office
from services.audit.retention import forget_person, log_erasures
from services.audit.witnessing import keep_partners_cosignature
from shared import telemetry
from shared.domain import value
from shared.erasure import ORDERED, ErasureSeen, erase
from shared.event_hashes import Batch, EventsHashed, message_type, unsealed
from shared.merkle import NotProven
from shared.messaging import Message
from shared.notes import Malformed, VerifierKey
from shared.runtime import Handler, ServiceContext


@value
class OutcomeSeen:
    disclosure_id: str
    result: str


@value
class StopSeen:
    disclosure_id: str
    result: str
    reason: str


@value
class ConfiguredSeen:
    setting: str
    name: str
    change: str
    digest: str


@value
class CosignedSeen:
    witness_key: str
    checkpoint: str


def log_the_outcome(context: ServiceContext, seen: OutcomeSeen, message: Message) -> None:
    store = context.store.agency(message.agency, trace=message.trace)
    office = Office(message.agency, store, audit_log(context), context.clock)
    office.record_outcome(seen.disclosure_id, "outcome", seen.result, message.id)


def keep_the_cosignature(context: ServiceContext, seen: CosignedSeen, message: Message) -> None:
    """What does not hold is not kept, and does not stop what comes after it."""
    try:
        key = VerifierKey.parse(seen.witness_key)
        keep_partners_cosignature(context.database, message.agency, seen.checkpoint, key)
    except (NotProven, Malformed) as error:
        telemetry.logger("audit").warning("a partner's cosignature is not kept", code=error.code)


def log_the_stop(context: ServiceContext, seen: StopSeen, message: Message) -> None:
    store = context.store.agency(message.agency, trace=message.trace)
    office = Office(message.agency, store, audit_log(context), context.clock)
    office.record_outcome(seen.disclosure_id, "outcome", seen.result, message.id, reason=seen.reason)


def log_the_configuration(context: ServiceContext, seen: ConfiguredSeen, message: Message) -> None:
    configure(
        audit_log(context),
        message.agency,
        setting=seen.setting,
        name=seen.name,
        change=seen.change,
        digest=seen.digest,
        key=f"message-{message.id}",
    )


def log_hashes(context: ServiceContext, seen: EventsHashed, message: Message) -> None:
    """Commit to the hashes of another service's events. The second time it is the same entry."""
    service = message.type.partition(".")[0]
    batch = unsealed(context.identity, service, message.agency, seen)
    log_batch(audit_log(context), batch, f"message-{message.id}")


def log_own_hashes(context: ServiceContext, batches: Sequence[Batch]) -> None:
    """Commit to the hashes of this service's own events, without a detour."""
    for batch in batches:
        log_batch(audit_log(context), batch, f"events-{batch.service}-{batch.key.hex()}")


def erase_person(context: ServiceContext, seen: ErasureSeen, message: Message) -> None:
    """The log forgets who and what, says so in an entry of its own, and still verifies. The second time is harmless."""
    now = context.clock.now()
    erased = AuditDataErased(person_id=seen.person_id, erasure_id=seen.erasure_id)

    def forget(tx: Connection, agency: str, person_id: str) -> None:
        forget_person(tx, agency, person_id, seen.erasure_id, now)

    erase(context, message, seen, erased, forget)
    log_erasures(audit_log(context), context.database)


OUTCOMES = (
    "DisclosureConfirmed",
    "DisclosureDeclined",
    "DisclosureHandedOver",
    "DisclosureAcknowledged",
    "DisclosureStopped",
    "RetractionAcknowledged",
    "RetractionHandedOver",
    "RetractionReminded",
    "RetractionEscalated",
    "NoticeAcknowledged",
    "BreakGlassReviewed",
    "DisclosureFetchedAgain",
)
CONFIGURED = (
    "AgencyRegistered",
    "PartnerRegistered",
    "MedicalKeyRegistered",
    "WitnessKeyRegistered",
    "CommitmentRecorded",
)
HASHED = ("consent", "cases", "health", "exchange")
HANDLERS = {
    **{f"exchange.{name}.v1": Handler(OutcomeSeen, log_the_outcome, transactional=False) for name in OUTCOMES},
    "exchange.DisclosureStopped.v2": Handler(StopSeen, log_the_stop, transactional=False),
    **{
        f"exchange.{each}.v1": Handler(ConfiguredSeen, log_the_configuration, transactional=False)
        for each in CONFIGURED
    },
    **{message_type(each): Handler(EventsHashed, log_hashes, transactional=False) for each in HASHED},
    "exchange.CheckpointCosigned.v1": Handler(CosignedSeen, keep_the_cosignature, transactional=False),
    ORDERED: Handler(ErasureSeen, erase_person, transactional=False),
}
