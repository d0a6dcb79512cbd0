"""Files that are written once: keys, secrets, the demonstration world."""

import os
from collections.abc import Callable
from pathlib import Path


def write_once(path: Path, make: Callable[[], str], mode: int = 0o600) -> None:
    """Write the whole text or nothing; leave the file that is there. Safe in two processes at once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as out:
        out.write(make())
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
