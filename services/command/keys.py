"""The keys of an installation: a pair of pairs for each service, and the signing key of the audit log.

Development custody: files with mode 0600 in the folder of keys. What is there is never overwritten.
"""

import json
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services import SERVICES
from shared.config import Settings
from shared.errors import Refused
from shared.files import replace_file, write_once
from shared.identity import create_identities

CALLERS = (*SERVICES, "gateway")
ORIGIN_PREFIX = "handschlag.example"


def change_log_key(settings: Settings, until: date) -> str:
    """Make a new signing key for the audit log; answers its public key in hex. The one before signs beside it up to
    the day `until`, and what it signed counts for ever. The audit service takes both with its next start.

    Raises `Refused` while an earlier change is still in its overlap: two keys at once are enough.
    """
    private, public = settings.keys / "log.json", settings.keys / "log-public.json"
    known = json.loads(private.read_text("utf-8"))
    former = known.get("former", [])
    if former and settings.clock().today() <= date.fromisoformat(former[0]["until"]):
        raise Refused("log.key_overlap", "the key was changed a short time ago", "wait until its overlap has ended")
    old = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["private_key"]))
    gone = [{"public_key": each["public_key"], "until": each["until"]} for each in former]
    kept = {"private_key": known["private_key"], "public_key": _public(old), "until": until.isoformat()}
    fresh = Ed25519PrivateKey.generate()
    prefix = {"origin_prefix": known["origin_prefix"]}
    replace_file(
        public, json.dumps(prefix | {"public_key": _public(fresh), "former": [_public(old), *_hex(gone)]}), mode=0o644
    )
    replace_file(
        private, json.dumps(prefix | {"private_key": fresh.private_bytes_raw().hex(), "former": [kept, *gone]})
    )
    return _public(fresh)


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _hex(keys: list[dict[str, str]]) -> list[str]:
    return [each["public_key"] for each in keys]


def provide_keys(settings: Settings, origin_prefix: str = ORIGIN_PREFIX) -> None:
    """Make the keys that are missing. Twice, or in two processes at once, it makes them once."""
    settings.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    create_identities(settings.keys, CALLERS)

    def signing_key() -> str:
        key = Ed25519PrivateKey.generate().private_bytes_raw()
        return json.dumps({"origin_prefix": origin_prefix, "private_key": key.hex()})

    def public_key() -> str:
        known = json.loads((settings.keys / "log.json").read_text("utf-8"))
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["private_key"])).public_key()
        return json.dumps({"origin_prefix": known["origin_prefix"], "public_key": key.public_bytes_raw().hex()})

    write_once(settings.keys / "log.json", signing_key)
    write_once(settings.keys / "log-public.json", public_key, mode=0o644)
