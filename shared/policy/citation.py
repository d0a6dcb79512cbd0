"""Citations of the law: read them, write them, compare them.

`§ 76 Abs. 2 Nr. 1 SGB X`, `SGB X § 76 Abs. 2 Nr. 1` and one item of `SGB X § 76 Abs. 1, 2` name the same place.
A place covers another when one lies within the other: § 80 SGB X covers § 80 Abs. 1 SGB X and the other way round.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_RANK = {"§": 0, "Art.": 0, "Erwägungsgrund": 0, "Abs.": 1, "Satz": 2, "Halbsatz": 3, "Nr.": 3, "Buchst.": 4}
_ALIASES = {
    "§§": "§",
    "Artikel": "Art.",
    "Absatz": "Abs.",
    "S.": "Satz",
    "Nummer": "Nr.",
    "nos.": "Nr.",
    "Buchstabe": "Buchst.",
    "lit.": "Buchst.",
    "ErwGr.": "Erwägungsgrund",
    "Hs.": "Halbsatz",
}
_LAW = re.compile(r"SGB [IVX]+|KKG|StGB|DSGVO|BDSG|BGB")
_TOKEN = re.compile(r"§§?|[A-Za-zÄÖÜäöüß]+\.?|\d+[a-z]?|,")
_NUMBER = re.compile(r"\d+[a-z]?|[a-z]")


@dataclass(frozen=True)
class Place:
    """One place in one law: the path from the section down, such as (§ 76, Abs. 2, Nr. 1) in SGB X."""

    law: str
    path: tuple[tuple[str, str], ...]

    def covers(self, other: "Place") -> bool:
        """Whether one of the two lies within the other."""
        depth = min(len(self.path), len(other.path))
        return self.law == other.law and self.path[:depth] == other.path[:depth]


@lru_cache(maxsize=4096)
def places(citation: str) -> tuple[Place, ...]:
    """Every place a citation names; nothing when it is not a citation of a law known here."""
    plain = re.sub(r"\([^)]*\)", " ", citation)
    found: list[Place] = []
    law = ""
    for part in re.split(r"i\. ?V\. ?m\.|;", plain):
        named = _LAW.search(part)
        law = named.group(0) if named else law
        if law:
            found.extend(_within(law, _LAW.sub(" ", part)))
    return tuple(dict.fromkeys(found))


def statute(text: str) -> bool:
    """Whether the text names a whole law, such as SGB II, and nothing else."""
    return bool(_LAW.fullmatch(text))


def is_citation(text: str) -> bool:
    """Whether the text names at least one section or article of a law."""
    return bool(places(text))


def covered(wanted: str, cited: tuple[str, ...]) -> bool:
    """Whether every place of `wanted` is covered by something cited."""
    available = [place for citation in cited for place in places(citation)]
    needed = places(wanted)
    return bool(needed) and all(any(place.covers(item) for item in available) for place in needed)


def _within(law: str, text: str) -> list[Place]:
    found: list[Place] = []
    path: list[tuple[str, str]] = []
    keyword = ""
    until = False
    for raw in _TOKEN.findall(text):
        word = _ALIASES.get(raw, raw)
        if word in _RANK:
            keyword = word
        elif word == "bis":
            until = True
        elif keyword and _NUMBER.fullmatch(word):
            if until:
                found.extend(_range(law, path, keyword, word))
                until = False
                continue
            depth = next((i for i, (key, _) in enumerate(path) if _peer(key, keyword)), None)
            if depth is not None:
                found.append(Place(law, tuple(path)))
                del path[depth:]
            path.append((keyword, word))
    if path:
        found.append(Place(law, tuple(path)))
    return found


def _peer(earlier: str, keyword: str) -> bool:
    return earlier == keyword or (_RANK[earlier] == 0 and _RANK[keyword] == 0)


def _range(law: str, path: list[tuple[str, str]], keyword: str, last: str) -> list[Place]:
    if not path or path[-1][0] != keyword or not (path[-1][1].isdigit() and last.isdigit()):
        return []
    head = path[:-1]
    between = range(int(path[-1][1]), int(last))
    places_between = [Place(law, (*head, (keyword, str(number)))) for number in between]
    path[-1] = (keyword, last)
    return places_between
