"""The keys of an installation: a pair of pairs for each service, and the signing key of the audit log.

Development custody: files with mode 0600 in the folder of keys. What is there is never overwritten.
"""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services import SERVICES
from shared.config import Settings
from shared.files import write_once
from shared.identity import create_identities

CALLERS = (*SERVICES, "gateway")
ORIGIN_PREFIX = "handschlag.example"


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
