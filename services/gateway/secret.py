"""The gateway's own secret, from which its keys for cookies and fingerprints are derived.

Made on the first start, readable by its owner only. Who has it can forge sessions of the console; it opens no data.
"""

import hmac
import secrets
from pathlib import Path

from shared.files import write_once

NAME = "gateway-secret"


class Secret:
    """Keys for named uses; the same file gives the same keys."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    @classmethod
    def open(cls, folder: Path) -> "Secret":
        """Read it, or make it; of two processes that make it at once, both get the same."""
        path = folder / NAME
        write_once(path, lambda: secrets.token_bytes(32))
        return cls(path.read_bytes())

    def key(self, use: str) -> bytes:
        return hmac.digest(self._root, f"handschlag gateway {use}".encode(), "sha256")

    def fingerprint(self, use: str, content: bytes) -> str:
        """A keyed hash: tells whether two contents are equal, and to others nothing."""
        return hmac.digest(self.key(use), content, "sha256").hex()
