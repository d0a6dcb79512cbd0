"""Files that are written once: keys, secrets, the demonstration world."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_once(path: Path, make: Callable[[], str | bytes], mode: int = 0o600) -> None:
    """Write the whole content or nothing; leave the file that is there. Safe in two processes at once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        content = make()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
