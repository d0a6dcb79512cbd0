"""The rules as Cedar policies: an independent engine that must come to the same decision by the same rules."""

from datetime import date

import cedarpy

from shared.policy import Request, RuleSet
from shared.policy.model import AllOf, AnyOf, Condition, Exemption, FactIs, Not, Rule, RuleHolds


def number(day: date) -> int:
    return day.year * 10000 + day.month * 100 + day.day


class Cedar:
    """A law exported to Cedar. Cedar denies by default, so the default rules stay out."""

    def __init__(self, law: RuleSet) -> None:
        self.law = law
        self.rules = [rule for rule in law.rules if not rule.default]
        self.policies = "\n".join(self._policy(rule) for rule in self.rules)

    def decide(self, worlds: list[tuple[Request, dict[str, bool]]]) -> list[tuple[bool, frozenset[str]]]:
        """Allowed or not, and the ids of the rules that determine it, for requests with fully known facts."""
        asked = [
            {
                "principal": 'Agency::"a"',
                "action": 'Action::"disclose"',
                "resource": 'Data::"d"',
                "context": {
                    "sender": request.sender.body,
                    "recipient": request.recipient.body,
                    "category": request.categories[0],
                    "purpose": request.purpose,
                    "day": number(request.day),
                    **facts,
                },
            }
            for request, facts in worlds
        ]
        answers = cedarpy.is_authorized_batch(asked, self.policies, [])
        found = []
        for answer in answers:
            assert not answer.diagnostics.errors, answer.diagnostics.errors
            ids = frozenset(self.rules[int(name.removeprefix("policy"))].id for name in answer.diagnostics.reasons)
            found.append((answer.allowed, ids))
        return found

    def _policy(self, rule: Rule) -> str:
        return f"{rule.effect}(principal, action, resource) when {{ {self._applies(rule)} }};"

    def _applies(self, rule: Rule) -> str:
        scope = rule.scope
        parts = [
            f"context.day >= {number(rule.valid_from)}",
            *([f"context.day < {number(rule.valid_until)}"] if rule.valid_until else []),
            self._among("sender", scope.senders, self.law.vocabulary.bodies),
            self._among("recipient", scope.recipients, self.law.vocabulary.bodies),
            self._among("category", scope.categories, self.law.vocabulary.categories),
            self._among("purpose", scope.purposes, self.law.vocabulary.purposes),
            self._unless(rule.when, rule.unless),
        ]
        return " && ".join(part for part in parts if part)

    def _among(self, name: str, chosen: frozenset[str], known) -> str:
        if len(chosen) == len(known):
            return ""
        words = ", ".join(f'"{word}"' for word in sorted(chosen))
        return f"[{words}].contains(context.{name})"

    def _unless(self, when: Condition, exemptions: tuple[Exemption, ...]) -> str:
        text = self._condition(when)
        for exemption in exemptions:
            text += f" && !({self._exemption(exemption)})"
        return f"({text})"

    def _exemption(self, exemption: Exemption) -> str:
        text = self._unless(exemption.when, exemption.unless)
        if exemption.valid_from:
            text += f" && context.day >= {number(exemption.valid_from)}"
        if exemption.valid_until:
            text += f" && context.day < {number(exemption.valid_until)}"
        return text

    def _condition(self, condition: Condition) -> str:
        match condition:
            case FactIs(fact=name, wanted=wanted):
                return f"context.{name}" if wanted else f"!context.{name}"
            case RuleHolds(rule=name):
                return "(" + " || ".join(f"({self._applies(rule)})" for rule in self.law.versions(name)) + ")"
            case Not(part=part):
                return f"!({self._condition(part)})"
            case AllOf(parts=parts):
                return "(" + (" && ".join(self._condition(part) for part in parts) or "true") + ")"
            case AnyOf(parts=parts):
                return "(" + " || ".join(self._condition(part) for part in parts) + ")"
