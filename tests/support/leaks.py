"""A search for what must not be in the open: through files, databases and queues, in every spelling that hides little.

The words are looked for as they are, without case, in UTF-8 and UTF-16, escaped as JSON does it, in base64 at each of
its three offsets, and in hex.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Leak:
    """Where a word stands in the open."""

    place: str
    word: str


def spellings(word: str) -> list[bytes]:
    """How `word` may look in a file or a message."""
    plain = [word, word.upper(), word.lower(), json.dumps(word)[1:-1]]
    found = {text.encode() for text in plain} | {word.encode("utf-16-le"), word.encode().hex().encode()}
    for offset in range(3):
        padded = b"\x00" * offset + word.encode()
        inner = base64.b64encode(padded)[4 if offset else 0 : -4]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return sorted(each for each in found if len(each) >= 6)


def leaks_in(place: str, data: bytes, words: Iterable[str]) -> Iterator[Leak]:
    """Every word that stands in `data`."""
    lowered = data.lower()
    for word in words:
        if any(each in data or each.lower() in lowered for each in spellings(word)):
            yield Leak(place, word)


def leaks_under(folder: Path, words: Iterable[str], but: Iterable[str] = ()) -> Iterator[Leak]:
    """Every word that stands in a file below `folder`; `but` names files that belong to somebody else."""
    excepted = set(but)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in excepted:
            yield from leaks_in(str(path.relative_to(folder)), path.read_bytes(), words)
            yield from leaks_in(f"name of {path.relative_to(folder)}", path.name.encode(), words)
