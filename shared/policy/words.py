"""The words of the law from their files: vocabulary.yaml and obligations.yaml."""

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import pairwise
from typing import Any

from shared.policy.citation import is_citation
from shared.policy.model import CHANGES, FactWord, Obligation, Vocabulary, Word, WordVersion
from shared.policy.reading import Document, Flaw, LawError, Path

_NAMED = {"id", "de", "en"}
_DATED = _NAMED | {"norm", "versions"}
_NEEDED = {"id", "de"}
_VERSION_KEYS = {"valid_from", "valid_until", "de", "en"}


def listed(names: Iterable[Any]) -> str:
    """Names in one line, in order, for the remedy of a flaw."""
    return ", ".join(sorted(str(name) for name in names))


def entries(document: Document, key: str, allowed: set[str], needed: set[str], flaws: list[Flaw]) -> dict[str, Any]:
    """The entries under a key by id, each with exactly the expected fields."""
    found: dict[str, Any] = {}
    data = document.data if isinstance(document.data, dict) else {}
    for index, entry in enumerate(data.get(key) or []):
        path: Path = (key, index)
        if not isinstance(entry, dict):
            flaws.append(document.flaw(path, f"an entry of '{key}' is not a map", "Give it id and German term."))
            continue
        known = f"Known: {listed(allowed)}."
        flaws.extend(document.flaw((*path, name), f"unknown key '{name}'", known) for name in entry.keys() - allowed)
        missing = sorted(needed - entry.keys())
        flaws.extend(document.flaw(path, f"'{name}' is missing", "Every entry has it.") for name in missing)
        id_ = str(entry.get("id", ""))
        if id_ in found:
            flaws.append(document.flaw(path, f"duplicate id '{id_}' in '{key}'", "Keep one of the two."))
        found[id_] = entry
    if not found:
        flaws.append(document.flaw((), f"'{key}' is empty or missing", "Write the list."))
    return found


def check_follow(document: Document, path: Path, spans: list[Any], what: str, flaws: list[Flaw]) -> bool:
    """Whether dated parts, the oldest first, follow each other without gap or overlap; each fault becomes a flaw.

    The first may leave out `valid_from`, the last `valid_until`.
    """
    before = len(flaws)
    for index, span in enumerate(spans):
        for key in ("valid_from", "valid_until"):
            value = span.get(key) if isinstance(span, dict) else None
            if value is not None and not isinstance(value, date):
                flaws.append(
                    document.flaw((*path, index, key), f"'{value}' is not a day", "Write a day as 2026-07-01.")
                )
    if len(flaws) > before:
        return False
    for index, (earlier, later) in enumerate(pairwise(spans), start=1):
        end, start = earlier.get("valid_until"), later.get("valid_from")
        if end == start and end is not None:
            continue
        gap = end is not None and start is not None and end < start
        detail = f"a gap between two versions of '{what}'" if gap else f"two versions of '{what}' overlap"
        remedy = f"Let the earlier one end with valid_until: {start.isoformat()}." if start else "Give it valid_from."
        flaws.append(document.flaw((*path, index), detail, remedy))
    return len(flaws) == before


def vocabulary(document: Document) -> Vocabulary:
    """The vocabulary in its file; raises LawError with every flaw."""
    flaws: list[Flaw] = []
    domains = entries(document, "domains", _NAMED, _NEEDED, flaws)
    body_keys = {"id", "domain", "section35", "de"}
    bodies = entries(document, "bodies", body_keys | {"en"}, body_keys, flaws)
    group_keys = {"id", "de", "members"}
    groups = entries(document, "body_groups", group_keys | {"en"}, group_keys, flaws)
    categories = entries(document, "categories", _DATED | {"note"}, _NEEDED, flaws)
    category_groups = entries(document, "category_groups", group_keys | {"en"}, group_keys, flaws)
    purposes = entries(document, "purposes", _DATED, _NEEDED, flaws)
    fact_keys = {"id", "de", "question", "asserted_by"}
    facts = entries(document, "facts", fact_keys | {"en", "kind", "change", "excludes"}, fact_keys, flaws)
    for index, body in enumerate(bodies.values()):
        if body.get("domain") not in domains:
            detail = f"unknown legal domain '{body.get('domain')}'"
            flaws.append(document.flaw(("bodies", index), detail, f"Known: {listed(domains)}."))
    _check_members(document, "body_groups", groups, bodies, flaws)
    _check_members(document, "category_groups", category_groups, categories, flaws)
    _check_facts(document, facts, flaws)
    if flaws:
        raise LawError(flaws)
    kinds = {"domains": domains, "bodies": bodies, "categories": categories, "purposes": purposes}
    words = {kind: _words(document, kind, found, flaws) for kind, found in kinds.items()}
    if flaws:
        raise LawError(flaws)
    return Vocabulary(
        words=words,
        domain_of={id_: entry["domain"] for id_, entry in bodies.items()},
        section35=frozenset(id_ for id_, entry in bodies.items() if entry["section35"]),
        body_groups={id_: tuple(entry["members"]) for id_, entry in groups.items()},
        category_groups={id_: tuple(entry["members"]) for id_, entry in category_groups.items()},
        facts={
            id_: FactWord(
                id=id_,
                de=entry["de"],
                en=_english(entry),
                question=entry["question"],
                kind=entry.get("kind", "boolean"),
                asserted_by=tuple(entry["asserted_by"]),
                change=entry.get("change", ""),
                excludes=entry.get("excludes", ""),
            )
            for id_, entry in facts.items()
        },
    )


def obligations(document: Document) -> dict[str, Obligation]:
    """The obligations in their file; raises LawError with every flaw."""
    flaws: list[Flaw] = []
    keys = {"id", "de", "kind", "performed_by"}
    found = entries(document, "obligations", keys | {"en"}, keys, flaws)
    for index, entry in enumerate(found.values()):
        if entry.get("kind") not in ("required", "advisory"):
            detail = f"'{entry.get('kind')}' is no kind of obligation"
            flaws.append(document.flaw(("obligations", index), detail, "Write required or advisory."))
    if flaws:
        raise LawError(flaws)
    return {
        id_: Obligation(
            id=id_,
            de=str(entry["de"]),
            en=_english(entry),
            required=entry["kind"] == "required",
            performed_by=str(entry["performed_by"]),
        )
        for id_, entry in found.items()
    }


def _english(entry: Mapping[str, Any]) -> str:
    return str(entry.get("en") or str(entry["id"]).replace("_", " "))


def _words(document: Document, kind: str, found: Mapping[str, Any], flaws: list[Flaw]) -> dict[str, Word]:
    words: dict[str, Word] = {}
    for index, (id_, entry) in enumerate(found.items()):
        norm = entry.get("norm") or ""
        if norm and not is_citation(norm):
            flaws.append(document.flaw((kind, index, "norm"), f"'{norm}' is not a citation", "Write § 15 SGB II."))
        versions = _versions(document, (kind, index, "versions"), id_, entry.get("versions"), flaws)
        words[id_] = Word(id_, str(entry["de"]), _english(entry), norm, versions)
    return words


def _versions(document: Document, path: Path, id_: str, value: Any, flaws: list[Flaw]) -> tuple[WordVersion, ...]:
    """The names a word had, each for its days."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(span, dict) and {"de", "en"} <= span.keys() for span in value):
        flaws.append(document.flaw(path, f"the versions of '{id_}' are no list of names", "Give each de, en and days."))
        return ()
    for index, span in enumerate(value):
        known = f"Known: {listed(_VERSION_KEYS)}."
        unknown = span.keys() - _VERSION_KEYS
        flaws.extend(document.flaw((*path, index, key), f"unknown key '{key}'", known) for key in unknown)
    if not check_follow(document, path, value, id_, flaws):
        return ()
    return tuple(
        WordVersion(span.get("valid_from") or date.min, span.get("valid_until") or date.max, span["de"], span["en"])
        for span in value
    )


def _check_members(
    document: Document, key: str, groups: Mapping[str, Any], known: Mapping[str, Any], flaws: list[Flaw]
) -> None:
    for index, group in enumerate(groups.values()):
        for member in group.get("members", []):
            if member not in known:
                detail = f"unknown member '{member}' of the group '{group.get('id')}'"
                flaws.append(document.flaw((key, index, "members"), detail, f"Known: {listed(known)}."))


def _check_facts(document: Document, facts: Mapping[str, Any], flaws: list[Flaw]) -> None:
    for index, fact in enumerate(facts.values()):
        path: Path = ("facts", index)
        if fact.get("kind", "boolean") not in ("boolean", "integer", "derived"):
            flaws.append(document.flaw(path, "unknown kind of fact", "boolean, integer or derived."))
        if fact.get("change", "") not in ("", *CHANGES):
            flaws.append(document.flaw(path, "unknown kind of change", f"Known: {listed(CHANGES)}."))
        if fact.get("excludes") and fact["excludes"] not in facts:
            flaws.append(document.flaw(path, f"unknown fact '{fact['excludes']}'", "Name a fact of this list."))
