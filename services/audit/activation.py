"""What decides and what signs is in the log too: the rules in force, the log's key, who receives, who witnesses.

Each entry follows from what stood before it, so that a start that is repeated logs nothing anew, and going back to an
earlier rule set is an entry of its own.
"""

from hashlib import sha256

from services.audit.sequencer import AuditLog
from shared.audit import Leaf
from shared.clock import Clock
from shared.policy import present_law

RULE_SET, CONFIGURATION, KEY_CHANGE = "rule_set", "configuration", "key_change"
PAGE = 500


def activate_rules(log: AuditLog, clock: Clock, agency: str) -> bool:
    """Log that the rules in force are these from today on, unless the last such entry says so; whether it was new.

    Raises `Unavailable` when the log cannot sign: then nothing is decided by these rules.
    """
    present, before = present_law().hash, log.latest(agency, RULE_SET)
    if before is not None and before.rule_set == present:
        return False
    day = clock.today().isoformat()
    leaf = Leaf(kind=RULE_SET, sender=agency, rule_set=present, details={"day": day})
    log.append(agency, leaf, key=f"rule-set-{present}-after-{before.nonce if before else 'nothing'}")
    return True


def announce_key(log: AuditLog, agency: str, until: str) -> bool:
    """Log that a new key signs, beside the one before up to the day `until`; whether it was new."""
    origin = log.origins(agency)[-1]
    former = log.former_keys(origin)
    if not former:
        return False
    key = f"key-change-{log.verifier_key(origin).rpartition('+')[2]}"
    if log.find(agency, key) is not None:
        return False
    details = {"verifier_key": log.verifier_key(origin), "former": former[0], "until": until}
    log.append(agency, Leaf(kind=KEY_CHANGE, sender=agency, details=details), key=key)
    return True


def configure(log: AuditLog, agency: str, *, setting: str, name: str, change: str, digest: str, key: str) -> None:
    """Log a change of what decides where data may go: a partner, its keys, an agency. The same `key` is one entry."""
    details = {"setting": setting, "name": name, "change": change, "digest": digest}
    log.append(agency, Leaf(kind=CONFIGURATION, sender=agency, details=details), key=key)


def configure_witnesses(log: AuditLog, agency: str, policy: bytes | None) -> bool:
    """Log which policy of witnesses holds, unless the last such entry says so; whether it was new. None: no policy."""
    digest = sha256(policy).hexdigest() if policy is not None else "none"
    before = _configured(log, agency, "witnesses")
    known = before.details["digest"] if before else "none"
    if known == digest:
        return False
    after = before.nonce if before else "nothing"
    key = f"configuration-witnesses-{digest}-after-{after}"
    configure(log, agency, setting="witnesses", name="policy", change="set", digest=digest, key=key)
    return True


def _configured(log: AuditLog, agency: str, setting: str) -> Leaf | None:
    """The newest entry about a setting."""
    found, after = None, ("", -1)
    while page := log.of_kind(agency, CONFIGURATION, after, PAGE):
        leaves = [Leaf.parse(each.leaf_bytes or b"") for each in page]
        mine = [leaf for leaf in leaves if leaf.details.get("setting") == setting]
        found = mine[-1] if mine else found
        after = (page[-1].origin, page[-1].idx)
    return found
