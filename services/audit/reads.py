"""Every read of the log about a person is itself an entry: who, why, by which way; about whom as a commitment only."""

from services.audit.domain.reading import LogRead, Reading
from services.audit.sequencer import AuditLog, LoggedEntry
from shared.audit import Leaf, Opening
from shared.clock import Clock
from shared.domain import Json, known
from shared.errors import Invalid, Refused
from shared.eventstore import AgencyStore

LOG_READ = "log_read"


def log_read(
    store: AgencyStore,
    log: AuditLog,
    clock: Clock,
    *,
    read_id: str,
    by: str,
    role: str,
    way: str,
    reason: str,
    person_id: str | None = None,
    query: Json | None = None,
) -> LoggedEntry:
    """Log the reading, and only then show anything: the entry stands, with its receipt, when this returns.

    `read_id` names the reading (the id of its command, or a fresh one); the same one again is the same entry. `way` is
    a token such as `search` or `export`, `query` what was asked for in strings and integers. Person, reader, reason and
    query stand in the entry as commitments only; the reason is kept sealed with the person's key (with the reader's
    own, where no person is named or the person was erased). Raises `Invalid` without reader or reason, `Unavailable`
    when the log cannot sign: then nothing may be shown.
    """
    _check(by=by, reason=reason)
    key = f"read-{read_id}"
    reading, _ = store.load(Reading, read_id)
    if reading.read is None:
        values: Json = {"person": person_id, "by": by, "reason": reason, "query": query}
        leaf = Leaf(kind=LOG_READ, time=clock.now(), sender=store.name, details={"way": way, "role": role})
        leaf, openings = leaf.committing({name: value for name, value in values.items() if value is not None})
        fresh = LogRead(
            person_id=person_id or by,
            by=by,
            role=role,
            way=way,
            entry=leaf.to_bytes().decode(),
            reason=reason,
            openings={name: {"key": each.key.hex(), "value": each.value} for name, each in openings.items()},
        )
        reading = _noted(store, read_id, fresh, by)
    if reading.read is None:
        raise Refused("reading.not_noted")
    kept = known(reading.read.openings, {})
    opened = {name: Opening(bytes.fromhex(each["key"]), each["value"]) for name, each in kept.items()}
    person = person_id if kept and reading.read.person_id == person_id else None
    return log.append(store.name, Leaf.parse(reading.read.entry.encode()), key=key, openings=opened, person=person)


def _noted(store: AgencyStore, read_id: str, fresh: LogRead, reader: str) -> Reading:
    """Sealed for the person; for the reader when nothing can be sealed for that person any more."""
    try:
        store.change(Reading, read_id, lambda known: known.note(fresh), command_id=f"{read_id}:read")
    except Refused as error:
        if error.code != "person.erased" or fresh.person_id == reader:
            raise
        own = LogRead(**{**vars(fresh), "person_id": reader})
        store.change(Reading, read_id, lambda known: known.note(own), command_id=f"{read_id}:read")
    return store.load(Reading, read_id)[0]


def _check(**given: str) -> None:
    remedies = {"by": "sign in with an account that names somebody", "reason": "say why the log is read"}
    faults = [(f"/{name}", "this is missing", remedies[name]) for name, text in given.items() if not text.strip()]
    if faults:
        raise Invalid("log.reading_unexplained", faults[0][1], faults[0][2], faults)
