"""Which version of a norm held on which day, how it is cited then, and how sure its reading is (versions.yaml)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from shared.policy.citation import Place, is_citation, places, statute
from shared.policy.reading import Document, Flaw, LawError
from shared.policy.words import check_follow, listed

CERTAINTIES = frozenset({"text", "secondary", "unverified", "conservative"})
_KEYS = {"norm", "versions"}
_VERSION_KEYS = {"valid_from", "valid_until", "cite", "certainty", "de", "en"}


@dataclass(frozen=True, eq=False)
class NormVersion:
    """One version of a norm, or of a whole statute: from `valid_from` until the day before `valid_until`.

    `cite` is how the norm is cited on these days; `certainty` how its reading is known; `says` the note for readers.
    """

    norm: str
    valid_from: date
    valid_until: date
    cite: str
    certainty: tuple[str, ...]
    says: Mapping[str, str]

    def in_force(self, day: date) -> bool:
        return self.valid_from <= day < self.valid_until


class NormVersions:
    """All dated norms of one version of the law."""

    def __init__(self, versions: Mapping[str, tuple[NormVersion, ...]]) -> None:
        self.all = versions
        self._statutes = {norm: statute(norm) for norm in versions}
        self._places = {norm: places(norm) for norm in versions}
        self._cited = frozenset(norm for norm, found in versions.items() if any(each.cite != norm for each in found))
        self._met: dict[str, tuple[str, ...]] = {}

    def dated(self, norms: Iterable[str]) -> bool:
        """Whether one of the norms is cited differently on some day."""
        return not self._cited.isdisjoint(norms)

    def cites(self, norm: str) -> tuple[str, ...]:
        """Every way in which the norm is cited on some day, if it is dated itself."""
        return tuple(dict.fromkeys(each.cite for each in self.all.get(norm, ())))

    def cite(self, norms: Iterable[str], day: date) -> tuple[str, ...]:
        """The norms as they are cited on the day."""
        return tuple(
            next((each.cite for each in self.all[norm] if each.in_force(day)), norm) if norm in self._cited else norm
            for norm in norms
        )

    def on(self, norm: str, day: date) -> tuple[NormVersion, ...]:
        """The versions that matter to a citation of the norm on that day: its own, and that of its statute."""
        return tuple(each for name in self.names(norm) for each in self.all[name] if each.in_force(day))

    def names(self, norm: str) -> tuple[str, ...]:
        """The dated norms that matter to a citation of the norm: itself, what it is part of, its statute."""
        met = self._met.get(norm)
        if met is None:
            wanted = places(norm)
            met = self._met[norm] = tuple(name for name in self.all if self._meets(name, wanted))
        return met

    def certainty(self, norm: str, marks: Sequence[str], day: date) -> tuple[str, ...]:
        """The marks of a rule led by the norm: where the text of the day was not read, it is no longer `text`."""
        found = list(marks)
        for version in self.on(norm, day):
            if "text" not in version.certainty:
                found = [*version.certainty, *(mark for mark in found if mark != "text")]
        return tuple(dict.fromkeys(found))

    def _meets(self, name: str, wanted: tuple[Place, ...]) -> bool:
        if self._statutes[name]:
            return any(place.law == name for place in wanted)
        return any(
            own.law == place.law and own.path == place.path[: len(own.path)]
            for own in self._places[name]
            for place in wanted
        )


NO_VERSIONS = NormVersions({})


def norm_versions(document: Document) -> NormVersions:
    """The dated norms in their file; raises LawError with every flaw."""
    flaws: list[Flaw] = []
    found: dict[str, tuple[NormVersion, ...]] = {}
    data = document.data if isinstance(document.data, list) else []
    if not data:
        flaws.append(document.flaw((), "the file is not a list of norms", "Begin each entry with '- norm:'."))
    for index, entry in enumerate(data):
        if not isinstance(entry, dict) or entry.keys() != _KEYS or not isinstance(entry.get("versions"), list):
            flaws.append(document.flaw((index,), "a dated norm has norm and versions only", "Write both."))
            continue
        norm = str(entry["norm"])
        if not (is_citation(norm) or statute(norm)):
            remedy = "Write § 15 SGB II, or SGB II for all of it."
            flaws.append(document.flaw((index, "norm"), f"'{norm}' is not a citation", remedy))
        if norm in found:
            flaws.append(document.flaw((index,), f"duplicate id '{norm}'", "Keep one of the two."))
        found[norm] = _of(document, index, norm, entry["versions"], flaws)
    if flaws:
        raise LawError(flaws)
    return NormVersions(found)


def _of(document: Document, index: int, norm: str, spans: list[Any], flaws: list[Flaw]) -> tuple[NormVersion, ...]:
    before = len(flaws)
    for number, span in enumerate(spans):
        path = (index, "versions", number)
        if not isinstance(span, dict):
            flaws.append(document.flaw(path, "a version is not a map", "Give it days, certainty, de and en."))
            continue
        known = f"Known: {listed(_VERSION_KEYS)}."
        unknown = span.keys() - _VERSION_KEYS
        flaws.extend(document.flaw((*path, key), f"unknown key '{key}'", known) for key in unknown)
        marks = span.get("certainty")
        if not isinstance(marks, list) or not marks or not set(marks) <= CERTAINTIES:
            remedy = f"A list of {listed(CERTAINTIES)}."
            flaws.append(document.flaw((*path, "certainty"), f"'{marks}' is no list of marks", remedy))
        if ("de" in span) != ("en" in span):
            flaws.append(document.flaw(path, "the note is not given in both languages", "Write de and en."))
        if "cite" in span and not is_citation(str(span["cite"])):
            flaws.append(document.flaw((*path, "cite"), f"'{span['cite']}' is not a citation", "Write § 15 SGB II."))
    if len(flaws) > before or not check_follow(document, (index, "versions"), spans, norm, flaws):
        return ()
    return tuple(
        NormVersion(
            norm=norm,
            valid_from=span.get("valid_from") or date.min,
            valid_until=span.get("valid_until") or date.max,
            cite=str(span.get("cite") or norm),
            certainty=tuple(span["certainty"]),
            says={"de": str(span.get("de") or ""), "en": str(span.get("en") or "")},
        )
        for span in spans
    )
