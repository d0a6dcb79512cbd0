"""The one audit log of a process, put together from its settings and keys."""

import json
from threading import Event, Lock
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.sequencer import AuditLog
from shared.database import Database
from shared.errors import Unavailable
from shared.runtime import ServiceContext

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
    return AuditLog(context.database, signer, known["origin_prefix"], heads, context.clock)
