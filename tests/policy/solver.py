"""The law as a formula for z3: a second, independent proof of the invariants."""

import z3

from shared.policy import RuleSet
from shared.policy.invariants import Invariant
from shared.policy.model import AllOf, AnyOf, Condition, Exemption, FactIs, Not, Rule, RuleHolds, Scope
from tests.policy.cedar import number


class Formula:
    def __init__(self, law: RuleSet) -> None:
        self.law = law
        words = law.vocabulary
        self.index = {
            "senders": {name: i for i, name in enumerate(words.bodies)},
            "recipients": {name: i for i, name in enumerate(words.bodies)},
            "categories": {name: i for i, name in enumerate(words.categories)},
            "purposes": {name: i for i, name in enumerate(words.purposes)},
        }
        self.where = {name: z3.Int(name) for name in self.index}
        self.day = z3.Int("day")
        self.facts = {name: z3.Bool(name) for name in words.facts}
        self.known: dict[int, z3.BoolRef] = {}

    def permitted(self) -> z3.BoolRef:
        permits = [self.applies(rule) for rule in self.law.rules if rule.effect == "permit"]
        forbids = [self.applies(rule) for rule in self.law.rules if rule.effect == "forbid" and not rule.default]
        return z3.And(z3.Or(permits), z3.Not(z3.Or(forbids)))

    def given(self, invariant: Invariant) -> z3.BoolRef:
        return z3.And(
            self.among(invariant.scope),
            self.day >= number(invariant.day_from),
            self.day < number(invariant.day_until),
            *(self.facts[name] == value for name, value in invariant.facts.items()),
        )

    def among(self, scope: Scope) -> z3.BoolRef:
        return z3.And(
            [
                z3.Or([self.where[name] == index[word] for word in sorted(getattr(scope, name))])
                for name, index in self.index.items()
            ]
        )

    def applies(self, rule: Rule) -> z3.BoolRef:
        if id(rule) not in self.known:
            until = [self.day < number(rule.valid_until)] if rule.valid_until else []
            self.known[id(rule)] = z3.And(
                self.day >= number(rule.valid_from), *until, self.among(rule.scope), self.unless(rule.when, rule.unless)
            )
        return self.known[id(rule)]

    def unless(self, when: Condition, exemptions: tuple[Exemption, ...]) -> z3.BoolRef:
        return z3.And(self.condition(when), *(z3.Not(self.exemption(item)) for item in exemptions))

    def exemption(self, exemption: Exemption) -> z3.BoolRef:
        dated = []
        if exemption.valid_from:
            dated.append(self.day >= number(exemption.valid_from))
        if exemption.valid_until:
            dated.append(self.day < number(exemption.valid_until))
        return z3.And(self.unless(exemption.when, exemption.unless), *dated)

    def condition(self, condition: Condition) -> z3.BoolRef:
        match condition:
            case FactIs(fact=name, wanted=wanted):
                return self.facts[name] if wanted else z3.Not(self.facts[name])
            case RuleHolds(rule=name):
                return z3.Or([self.applies(rule) for rule in self.law.versions(name)])
            case Not(part=part):
                return z3.Not(self.condition(part))
            case AllOf(parts=parts):
                return z3.And([self.condition(part) for part in parts])
            case AnyOf(parts=parts):
                return z3.Or([self.condition(part) for part in parts])
