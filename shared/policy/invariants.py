"""Sentences about the law that must be true whatever is asked: how they are written and what refutes one.

`never` says what may not happen within `given`: that something is permitted, that a change of facts opens what was
closed, that a rule is redundant, an exception unreachable, or a rule applied outside its dates. `except` names the
rules that are allowed to bring it about.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from shared.policy import proof
from shared.policy.loading import ScopeReader
from shared.policy.model import Scope
from shared.policy.proof import Found
from shared.policy.reading import Flaw, LawError, read
from shared.policy.ruleset import RuleSet

_KEYS = {"id", "norm", "says", "given", "never", "change", "except"}
_GIVEN_KEYS = {"from", "to", "categories", "purposes", "facts", "day_from", "day_until"}
_KINDS = ("permitted", "opened", "redundant", "unreachable", "outside_dates")

Kind = Literal["permitted", "opened", "redundant", "unreachable", "outside_dates"]


@dataclass(frozen=True)
class Invariant:
    """In this scope and with these facts it never happens, unless by one of the excepted rules."""

    id: str
    norm: str
    says: Mapping[str, str]
    scope: Scope
    facts: Mapping[str, bool]
    day_from: date
    day_until: date
    never: Kind = "permitted"
    change: Mapping[str, bool] | None = None
    excepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counterexample:
    """What a sentence rules out and the law does all the same, with a request that shows it where there is one."""

    invariant: str
    found: Found

    def __str__(self) -> str:
        return str(self.found)


def load_invariants(law: RuleSet, file: Path) -> list[Invariant]:
    """The sentences of a file, every word checked; raises LawError."""
    document = read(file.read_text(encoding="utf-8"), file.name)
    flaws: list[Flaw] = []
    reader = ScopeReader(document, law.vocabulary, flaws)
    found = [_sentence(law, reader, entry, index) for index, entry in enumerate(document.data or [])]
    if flaws:
        raise LawError(flaws)
    return found


def _sentence(law: RuleSet, reader: ScopeReader, entry: dict[str, Any], index: int) -> Invariant:
    path = (index,)
    given = {**{key: ["any"] for key in ("from", "to", "categories", "purposes")}, **entry.get("given", {})}
    for key in (entry.keys() - _KEYS) | (given.keys() - _GIVEN_KEYS):
        reader.flaw(path, f"unknown key '{key}'", "See the head of the file.")
    never = entry.get("never")
    if never not in _KINDS:
        reader.flaw(path, f"'never: {never}' is not understood", f"Write one of {', '.join(_KINDS)}.")
    facts, change = (_facts(law, reader, part, path) for part in (given.get("facts"), entry.get("change")))
    if bool(change) != (never == "opened"):
        reader.flaw(path, "'change' belongs to 'never: opened'", "Name the facts that change, or leave it out.")
    excepted = reader.texts(entry, "except", path)
    for name in excepted:
        if not law.versions(name):
            reader.flaw(path, f"unknown rule '{name}' in 'except'", "Name a rule by its id.")
    reader.citation(entry.get("norm"), path)
    return Invariant(
        id=str(entry.get("id")),
        norm=str(entry.get("norm")),
        says=reader.both_languages(entry, "says", path),
        scope=reader.scope(given, (*path, "given")),
        facts=facts,
        day_from=reader.day(given, "day_from", path) or date.min,
        day_until=reader.day(given, "day_until", path) or date.max,
        never=never if never in _KINDS else "permitted",
        change=change or None,
        excepted=excepted,
    )


def _facts(law: RuleSet, reader: ScopeReader, facts: Any, path: tuple[int]) -> dict[str, bool]:
    """Facts with their values; `any` stands for every fact that is yes or no."""
    words = law.vocabulary.facts
    found: dict[str, bool] = {}
    for name, value in (facts or {}).items():
        if (name not in words and name != "any") or not isinstance(value, bool):
            reader.flaw(path, f"unknown fact or value '{name}'", "See vocabulary.yaml; write true or false.")
        elif name == "any":
            found.update({word.id: value for word in words.values() if word.kind != "integer"})
        else:
            found[name] = value
    return found


def counterexample(law: RuleSet, invariant: Invariant) -> Counterexample | None:
    """What breaks the sentence, or None when it is proved."""
    found = _refutation(law, invariant)
    return None if found is None else Counterexample(invariant.id, found)


def _refutation(law: RuleSet, invariant: Invariant) -> Found | None:
    where = proof.Where(invariant.scope, invariant.day_from, invariant.day_until, invariant.facts)
    match invariant.never:
        case "permitted":
            return proof.permitting(law, where, invariant.excepted)
        case "opened":
            return proof.opening(law, where, invariant.change or {}, invariant.excepted)
        case "redundant":
            return proof.redundant(law, invariant.excepted)
        case "unreachable":
            return proof.unreachable(law)
        case "outside_dates":
            return proof.outside_dates(law)


def broken(law: RuleSet, invariants: Iterable[Invariant]) -> list[Counterexample]:
    """Every sentence that does not hold, with what shows it."""
    return [found for invariant in invariants if (found := counterexample(law, invariant)) is not None]
