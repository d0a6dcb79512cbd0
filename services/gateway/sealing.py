"""Bodies that only the gateway can read: compact JWE (RFC 7516) by ECDH-ES+A256KW with A256GCM (RFC 7518).

A sealed body names in `apu` who sealed it (RFC 7518, section 4.6.1.2), which goes into the agreed key: whoever copies
somebody else's message cannot send it as their own. The `typ` keeps it apart from what services seal for each other.
The broker, its disks and its operator see ids and sizes; who holds the gateway's key file reads everything.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from shared.domain import Json
from shared.errors import HandschlagError, Invalid
from shared.identity import ServiceIdentity

GATEWAY = "gateway"
TYP = "handschlag-body+jwe"
ALGORITHM = "ECDH-ES+A256KW"
REMEDY = "seal it for the key at /v1/keys, with your broker user as apu"


@dataclass(frozen=True)
class Seal:
    """The gateway's key pair for bodies, in the folder `keys`."""

    keys: Path

    def public_key(self) -> Json:
        """What to seal for, as a JWK (RFC 7517) without the private part."""
        public = self._identity().directory[GATEWAY].seal
        described: Json = dict(public.as_dict(private=False))
        return described | {"kid": public.thumbprint(), "use": "enc", "alg": ALGORITHM}

    def opened(self, sealed: str, sender: str) -> bytes:
        """What `sender` sealed. Raises `Invalid` when it was sealed by or for somebody else, or changed."""
        try:
            header = json.loads(_decoded(sealed.partition(".")[0]))
            genuine = header.get("typ") == TYP and _decoded(header.get("apu", "")) == sender.encode()
            content = self._identity().unseal(sealed) if genuine else None
        except (HandschlagError, ValueError, TypeError, AttributeError):
            content = None
        if content is None:
            fault = ("/sealed", "not sealed by this sender for the gateway", REMEDY)
            raise Invalid("inbox.seal_broken", "the sealed body cannot be opened", REMEDY, [fault])
        return content

    def _identity(self) -> ServiceIdentity:
        return ServiceIdentity.load(self.keys, GATEWAY)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
