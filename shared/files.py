"""Files that are written once, or replaced as a whole: keys, secrets, the demonstration world."""

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
    draft = _drafted(path, make(), mode)
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def replace_file(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """The old content or the new one stands there, whenever the power fails."""
    _drafted(path, content, mode).replace(path)


def _drafted(path: Path, content: str | bytes, mode: int) -> Path:
    """The content in a file of its own beside `path`, safe on the disk."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
