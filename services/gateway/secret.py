"""The gateway's own secret, from which its keys for cookies and fingerprints are derived.

Made on the first start, readable by its owner only. Who has it can forge sessions of the console; it opens no data.
"""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

NAME = "gateway-secret"


class Secret:
    """Keys for named uses; the same file gives the same keys."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    @classmethod
    def open(cls, folder: Path) -> "Secret":
        """Read it, or make it; of two processes that make it at once, both get the same."""
        path = folder / NAME
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = folder / f".{NAME}-{secrets.token_hex(8)}"
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(made, path)
            made.unlink()
        return cls(path.read_bytes())

    def key(self, use: str) -> bytes:
        return hmac.digest(self._root, f"handschlag gateway {use}".encode(), "sha256")

    def fingerprint(self, use: str, content: bytes) -> str:
        """A keyed hash: tells whether two contents are equal, and to others nothing."""
        return hmac.digest(self.key(use), content, "sha256").hex()
