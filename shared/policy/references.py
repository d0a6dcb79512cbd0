"""What holds between the rules of a law: their references, their versions, their order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from shared.policy.model import Rule, RuleHolds, leaves
from shared.policy.reading import Flaw


def check_references(rules: Sequence[Rule], flaws: list[Flaw]) -> None:
    """Rules refer to rules that exist, never to the default, and in no circle."""
    graph: dict[str, set[str]] = {}
    for rule in rules:
        graph.setdefault(rule.id, set()).update(leaf.rule for leaf in leaves(rule) if isinstance(leaf, RuleHolds))
    for rule in rules:
        for name in sorted(graph[rule.id] - graph.keys()):
            detail = f"rule '{rule.id}' refers to unknown '{name}'"
            flaws += [Flaw(rule.file, rule.line, detail, "Name a rule.")]
        if _reaches(graph, rule.id, rule.id):
            detail = f"rule '{rule.id}' depends on itself through its references (a cycle)"
            flaws.append(Flaw(rule.file, rule.line, detail, "Remove one of the references."))
    defaults = {rule.id for rule in rules if rule.default}
    for rule in rules:
        for name in sorted(graph[rule.id] & defaults):
            detail = f"rule '{rule.id}' refers to the default rule '{name}'"
            flaws.append(Flaw(rule.file, rule.line, detail, "The default is decided last; refer to permits."))


def _reaches(graph: Mapping[str, set[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            todo.extend(graph.get(name, ()))
    return False


def check_versions(rules: Sequence[Rule], flaws: list[Flaw]) -> None:
    """Two rules of one id are versions of it: they follow each other without gap or overlap."""
    by_id: dict[str, list[Rule]] = {}
    for rule in rules:
        by_id.setdefault(rule.id, []).append(rule)
    for id_, versions in by_id.items():
        versions.sort(key=lambda rule: rule.valid_from)
        for earlier, later in pairwise(versions):
            if earlier.valid_from == later.valid_from:
                detail, remedy = f"duplicate id '{id_}'", "Give the rule an id of its own, or versions of it own dates."
            elif earlier.valid_until is None or earlier.valid_until > later.valid_from:
                detail = f"two versions of '{id_}' overlap"
                remedy = f"Let the earlier one end with valid_until: {later.valid_from.isoformat()}."
            elif earlier.valid_until < later.valid_from:
                detail = f"a gap between two versions of '{id_}'"
                remedy = f"Let the earlier one end with valid_until: {later.valid_from.isoformat()}."
            else:
                continue
            flaws.append(Flaw(later.file, later.line, detail, remedy))


def in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules after those they refer to; otherwise by id and date, so that the order of files says nothing."""
    by_id: dict[str, list[Rule]] = {}
    for rule in sorted(rules, key=lambda r: (r.id, r.valid_from)):
        by_id.setdefault(rule.id, []).append(rule)
    ordered: list[Rule] = []
    placed: set[str] = set()

    def place(id_: str) -> None:
        if id_ in placed:
            return
        placed.add(id_)
        for rule in by_id[id_]:
            for leaf in leaves(rule):
                if isinstance(leaf, RuleHolds):
                    place(leaf.rule)
        ordered.extend(by_id[id_])

    for id_ in by_id:
        place(id_)
    return tuple(ordered)
