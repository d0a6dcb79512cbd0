"""Worked cases: a disclosure, a day, and what the law is expected to say about it.

In a case file a fact that is not mentioned means: asked, and the answer was no.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Invalid
from shared.policy.decision import CategoryDecision, Decision
from shared.policy.engine import decide, would_permit
from shared.policy.reading import Flaw, LawError, read
from shared.policy.request import request_from_json
from shared.policy.ruleset import RuleSet

DESCRIPTION_KEYS = frozenset({"id", "description_de", "description_en", "certainty", "source"})
EXPECTATION_KEYS = frozenset(
    {
        *("expected", "expected_by_category", "expected_basis", "expected_rules", "expected_obligations"),
        *("expected_exceptions", "missing"),
    }
)
_RESULTS = {True: "permit", False: "forbid"}


@dataclass(frozen=True)
class Mismatch:
    """A case in which the law says something else than the case expects."""

    case: str
    what: str
    expected: str
    decided: str

    def to_json(self) -> dict[str, str]:
        return {"case": self.case, "what": self.what, "expected": self.expected, "decided": self.decided}


def read_cases(text: str, file: str) -> list[Any]:
    """The cases in a YAML or JSON text: a list, a map with the list under `cases`, a single one, or JSON lines.

    Raises LawError when the text cannot be read.
    """
    data = _json(text, file) if text.lstrip()[:1] in ("{", "[") else read(text, file, marks=False).data
    if isinstance(data, Mapping) and "cases" in data:
        data = data["cases"]
    if isinstance(data, Mapping):
        return [data]
    if not isinstance(data, list):
        raise LawError([Flaw(file, 1, "there are no cases", "Write a list under 'cases:'.")])
    return data


def is_case(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is a worked case (described, or with an expectation) and not a bare request."""
    return bool((DESCRIPTION_KEYS | EXPECTATION_KEYS) & entry.keys() - {"id"})


def request_part(case: Mapping[str, Any]) -> dict[str, Any]:
    """What of a case is the request; description and expectations are left out."""
    known = DESCRIPTION_KEYS | EXPECTATION_KEYS
    return {key: value for key, value in case.items() if key not in known}


def check(law: RuleSet, cases: Iterable[Any]) -> list[Mismatch]:
    """Every difference between what the cases expect and what the law says."""
    found: list[Mismatch] = []
    for index, case in enumerate(cases):
        if not isinstance(case, Mapping):
            found.append(Mismatch(f"#{index + 1}", "form", "a case", type(case).__name__))
            continue
        found.extend(check_one(law, case, f"#{index + 1}"))
    return found


def check_one(law: RuleSet, case: Mapping[str, Any], position: str = "") -> list[Mismatch]:
    """The differences of one case; none means the law says what the case expects."""
    name = str(case.get("id", position))
    if case.get("expected") not in _RESULTS.values():
        return [Mismatch(name, "form", "expected: permit or forbid", str(case.get("expected")))]
    try:
        decision = decide(law, request_from_json(request_part(case), unnamed="no", ruleset=law))
    except Invalid as error:
        detail = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in error.problems)
        return [Mismatch(name, "form", "a request in the words of the vocabulary", detail)]
    found: list[Mismatch] = []

    def compare(what: str, expected: object, decided: object, *, same: bool) -> None:
        if not same:
            found.append(Mismatch(name, what, _text(expected), _text(decided)))

    expected = case["expected"]
    compare("decision", expected, _RESULTS[decision.permitted], same=expected == _RESULTS[decision.permitted])
    for category, result in _each(case, decision).items():
        decided = next((_RESULTS[c.permitted] for c in decision.categories if c.category == category), "not asked")
        compare(f"category {category}", result, decided, same=result == decided)
    for norm in case.get("expected_basis") or ():
        compare("basis", norm, decision.cited(), same=decision.cites(norm))
    rules = {rule for item in decision.categories for rule in item.rules}
    for rule in case.get("expected_rules") or ():
        compare("rule", rule, sorted(rules), same=rule in rules)
    lifted = {used.rule for item in decision.categories for used in item.exceptions}
    for rule in case.get("expected_exceptions") or ():
        compare("exception", rule, sorted(lifted), same=rule in lifted)
    for duty in case.get("expected_obligations") or ():
        compare("obligation", duty, decision.obligations, same=duty in decision.obligations)
    found.extend(_missing(name, law, case, decision))
    return found


def _each(case: Mapping[str, Any], decision: Decision) -> Mapping[str, str]:
    stated = case.get("expected_by_category")
    if isinstance(stated, Mapping):
        return stated
    if case["expected"] == "permit" or len(decision.categories) == 1:
        return {item.category: case["expected"] for item in decision.categories}
    return {}


def _missing(name: str, law: RuleSet, case: Mapping[str, Any], decision: Decision) -> list[Mismatch]:
    """`missing` names what a minimal set, or a duty of a permit that came close, would need; `not_curable` says that
    there is none.

    `alternative_...` names another lawful way in words of its own and is not compared.
    """
    wanted = [str(item) for item in case.get("missing") or () if not str(item).startswith("alternative_")]
    refused = [item for item in decision.categories if not item.permitted]
    if "not_curable" in wanted:
        curable = bool(refused) and all(item.missing or item.unanswered for item in refused)
        return [Mismatch(name, "missing", "not curable", _text(decision.missing))] if curable else []
    named = {fact for item in refused for names in (*item.missing, item.unanswered) for fact in names}
    named |= {duty for item in refused for duty in item.obligations}
    near = (miss.rule for item in refused for miss in decision.near_misses[item.category])
    named |= {duty for id_ in near for rule in law.versions(id_) for duty in rule.obligations}
    return [
        Mismatch(name, "missing", item, _text([list(c.missing) for c in refused]))
        for item in wanted
        if item not in named and not _would_help(law, decision, refused, item)
    ]


def _would_help(law: RuleSet, decision: Decision, refused: list[CategoryDecision], fact: str) -> bool:
    return any(fact in names for item in refused for names in would_permit(law, decision.request, item.category))


def _json(text: str, file: str) -> Any:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise LawError([Flaw(file, 1, "a key stands twice in one object", "Keep one of the two.")])
        return found

    try:
        return json.loads(text, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip()[:1] == "{":
            return _json_lines(text, file)
        try:
            return read(text, file, marks=False).data
        except LawError:
            pass
        raise LawError([Flaw(file, error.lineno, f"not JSON: {error.msg}", "Check the brackets.")]) from error


def _json_lines(text: str, file: str) -> list[Any]:
    found: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise LawError([Flaw(file, number, f"not JSON: {error.msg}", "Write one object on each line.")]) from error
    return found


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value) or "-"
    return str(value)
