"""The highest signed checkpoint of each log, in files outside the database.

A database that was restored from a backup does not know what it signed afterwards; these files do. They must
not be part of the same backup. Whoever can write here can make the log stop, or, together with an older copy
of the database, make it fork; a partner or witness who holds a newer checkpoint sees that.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.audit.domain.log import LogName, may_be_signed
from shared.notes import Checkpoint, VerifierKey, open_checkpoint

_FILE = re.compile(r"(\d{4})-([1-9]\d*)\.checkpoint")


class KeptHeads:
    """`<folder>/<agency>/<year>-<part>.checkpoint`, each a signed note, replaced in one durable step."""

    def __init__(self, folder: Path, prefix: str, public_keys: Iterable[bytes]) -> None:
        self._folder = folder
        self.prefix = prefix
        self._public_keys = tuple(public_keys)

    def newest(self, agency: str) -> LogName | None:
        """The latest log of which a head was kept."""
        folder = self._folder / LogName(agency, 1).agency
        matches = [_FILE.fullmatch(each.name) for each in folder.iterdir()] if folder.is_dir() else []
        return max((LogName(agency, int(m[1]), int(m[2])) for m in matches if m), default=None)

    def note(self, name: LogName) -> str | None:
        path = self._path(name)
        return path.read_bytes().decode() if path.exists() else None

    def head(self, name: LogName) -> Checkpoint | None:
        """Raises unless the kept note is signed with our key and speaks of this log."""
        note = self.note(name)
        if note is None:
            return None
        origin = name.origin(self.prefix)
        return open_checkpoint(note, [VerifierKey(origin, key) for key in self._public_keys])

    def keep(self, name: LogName, checkpoint: Checkpoint, note: str) -> None:
        """Durable when this returns.

        Raises `Refused` rather than replace a head by one that does not go on from it; the caller has shown
        the consistency of any smaller head. Two processes that keep at once take turns.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path.with_suffix(".lock")):
            kept = self.head(name)
            if kept:
                same = kept.root == checkpoint.root or kept.size < checkpoint.size
                may_be_signed(checkpoint.size, kept.size, same_root=same)
            if self.note(name) != note:
                _replace(path, note)

    def _path(self, name: LogName) -> Path:
        return self._folder / name.agency / f"{name.year}-{name.part}.checkpoint"


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    """The old text or the new one stands there, whenever the power fails."""
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
