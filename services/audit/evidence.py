"""The one audit log of a process, put together from its settings and keys."""

import json
from datetime import date
from threading import Event, Lock
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.sequencer import AuditLog
from shared.config import Settings
from shared.database import Database
from shared.errors import Invalid, Unavailable
from shared.notes import Malformed
from shared.runtime import ServiceContext
from shared.witness import Policy

_logs: "WeakKeyDictionary[Database, AuditLog]" = WeakKeyDictionary()
_guard = Lock()


def audit_log(context: ServiceContext) -> AuditLog:
    """The log over this service's database. Its signing key lies with the keys, its kept heads beside the database."""
    with _guard:
        if context.database not in _logs:
            _logs[context.database] = _opened(context)
        return _logs[context.database]


def sequence(context: ServiceContext, stop: Event) -> None:
    """The loop that puts entries into the tree and signs."""
    log = audit_log(context)
    log.start()
    try:
        stop.wait()
    finally:
        log.stop()


def _opened(context: ServiceContext) -> AuditLog:
    try:
        known = json.loads((context.settings.keys / "log.json").read_text("utf-8"))
    except FileNotFoundError:
        raise Unavailable("audit.key_missing", "the log has no key", "run handschlag migrate") from None
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["private_key"]))
    heads = context.settings.state / "heads"
    before = known.get("former", [])
    signs = bool(before) and context.clock.today() <= date.fromisoformat(before[0]["until"])
    return AuditLog(
        context.database,
        signer,
        known["origin_prefix"],
        heads,
        context.clock,
        former=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(before[0]["private_key"])) if signs else None,
        retired=[bytes.fromhex(each["public_key"]) for each in (before[1:] if signs else before)],
        policy=policy_of(context.settings),
    )


def key_overlap(settings: Settings) -> str:
    """Until which day the key from before the last change signs too; empty when the key was never changed."""
    before = json.loads((settings.keys / "log.json").read_text("utf-8")).get("former", [])
    return str(before[0]["until"]) if before else ""


def policy_of(settings: Settings) -> Policy:
    """The witnesses that `HANDSCHLAG_WITNESSES` names; without it, none. `Invalid` for a file that cannot be read."""
    if settings.witnesses is None:
        return Policy()
    try:
        return Policy.parse(settings.witnesses.read_bytes())
    except (OSError, Malformed) as error:
        detail = getattr(error, "detail", "") or "it cannot be read"
        raise Invalid("config.invalid", f"HANDSCHLAG_WITNESSES: {detail}", "see c2sp.org/tlog-policy") from None
