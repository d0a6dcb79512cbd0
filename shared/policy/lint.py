"""Faults of a law that loads: exceptions that can never apply, rules without cases, invariants that do not hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Invalid
from shared.policy.cases import check_one, request_part
from shared.policy.decision import CategoryDecision
from shared.policy.engine import decide
from shared.policy.model import ALWAYS, Rule, RuleHolds, all_exemptions
from shared.policy.request import request_from_json
from shared.policy.ruleset import RuleSet


@dataclass(frozen=True)
class Finding:
    """One fault, with the rule and the place it concerns."""

    rule: str
    place: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"rule": self.rule, "place": self.place, "detail": self.detail}


def lint(law: RuleSet, cases: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Every fault found in the rules and in the cases that are to exercise them."""
    return [*dead_exceptions(law), *uncovered_rules(law, list(cases))]


def dead_exceptions(law: RuleSet) -> list[Finding]:
    """Exceptions that refer to a rule which never meets the one it is to lift."""
    found: list[Finding] = []
    for rule in law.rules:
        for exemption in all_exemptions(rule.unless):
            when = exemption.when
            if isinstance(when, RuleHolds) and not any(meets(rule, other) for other in law.versions(when.rule)):
                detail = f"the exception by '{when.rule}' can never apply: the two never speak about one disclosure"
                found.append(Finding(rule.id, f"{rule.file}:{rule.line}", detail))
    return found


def uncovered_rules(law: RuleSet, cases: list[Mapping[str, Any]]) -> list[Finding]:
    """Rules without a case in which they determine the decision, and one in which they do not although they apply."""
    decided = [item for case in cases for item in _decided(law, case)]
    held = {rule for item in decided for rule in item.rules}
    failed = {a.rule for item in decided for a in item.applicable if a.truth is not True}
    lifted = {(used.rule, used.norm) for item in decided for used in item.exceptions}
    if any(item.permitted for item in decided):
        failed.update(rule.id for rule in law.rules if rule.default)
    found: list[Finding] = []
    for rule in law.rules:
        place = f"{rule.file}:{rule.line}"
        if rule.id not in held:
            found.append(Finding(rule.id, place, "no case in which this rule determines the decision"))
        if rule.id not in failed and not _unconditional(rule):
            found.append(Finding(rule.id, place, "no case in which this rule applies but does not hold"))
        found.extend(
            Finding(rule.id, place, f"no case uses the exception {exemption.norm}")
            for exemption in rule.unless
            if rule.effect == "forbid" and (rule.id, exemption.norm) not in lifted
        )
    return found


def _decided(law: RuleSet, case: Mapping[str, Any]) -> tuple[CategoryDecision, ...]:
    try:
        return decide(law, request_from_json(request_part(case), unnamed="no", ruleset=law)).categories
    except Invalid:
        return ()


def broken_cases(law: RuleSet, cases: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Cases of which the law says something else."""
    return [
        Finding("", miss.case, f"{miss.what}: expected {miss.expected}, decided {miss.decided}")
        for case in cases
        for miss in check_one(law, case)
    ]


def meets(left: Rule, right: Rule) -> bool:
    """Whether two rules can speak about one disclosure on one day."""
    scopes = (left.scope, right.scope)
    senders, recipients, categories, purposes = (
        getattr(scopes[0], name) & getattr(scopes[1], name)
        for name in ("senders", "recipients", "categories", "purposes")
    )
    later = max(left.valid_from, right.valid_from)
    ends = [rule.valid_until for rule in (left, right) if rule.valid_until is not None]
    return bool(senders and recipients and categories and purposes) and all(later < end for end in ends)


def _unconditional(rule: Rule) -> bool:
    return not rule.unless and not rule.default and rule.when == ALWAYS
