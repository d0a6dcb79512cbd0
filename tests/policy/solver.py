"""The law as a formula for z3: a second, independent proof of the sentences."""

import z3

from shared.policy import RuleSet
from shared.policy.cedar import number
from shared.policy.invariants import Invariant
from shared.policy.model import AllOf, AnyOf, Condition, Exemption, FactIs, Not, Rule, RuleHolds, Scope, leaves


class Formula:
    def __init__(self, law: RuleSet, without: Rule | None = None) -> None:
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
        self.known = {} if without is None else {id(without): z3.BoolVal(False)}  # noqa: FBT003 - z3's signature

    def permitted(self) -> z3.BoolRef:
        permits = [self.applies(rule) for rule in self.law.rules if rule.effect == "permit"]
        forbids = [self.applies(rule) for rule in self.law.rules if rule.effect == "forbid" and not rule.default]
        return z3.And(z3.Or(permits), z3.Not(z3.Or(forbids)))

    def anywhere(self) -> z3.BoolRef:
        """Every word is one of the vocabulary."""
        return z3.And([z3.And(self.where[name] >= 0, self.where[name] < len(self.index[name])) for name in self.index])

    def given(self, invariant: Invariant) -> z3.BoolRef:
        return z3.And(
            self.among(invariant.scope),
            self.day >= number(invariant.day_from),
            self.day < number(invariant.day_until),
            *(self.facts[name] == value for name, value in invariant.facts.items()),
        )

    def held(self, ids: tuple[str, ...]) -> z3.BoolRef:
        return z3.Or([self.applies(rule) for id_ in ids for rule in self.law.versions(id_)])

    def opened(self, invariant: Invariant, fact: str, *, after: bool) -> z3.BoolRef:
        """A no that becomes a yes when the fact takes this value, by none of the excepted rules that name it."""

        def at(formula: z3.BoolRef, value) -> z3.BoolRef:
            return z3.substitute(formula, (self.facts[fact], z3.BoolVal(value)))

        turning = [
            self.applies(rule)
            for id_ in invariant.excepted
            for rule in self.law.versions(id_)
            if any(isinstance(leaf, FactIs) and leaf.fact == fact for leaf in leaves(rule))
        ]
        turned = z3.Or([z3.Xor(at(rule, after), at(rule, not after)) for rule in turning])
        return z3.And(at(self.permitted(), after), z3.Not(at(self.permitted(), not after)), z3.Not(turned))

    def lifted(self, rule: Rule, exemption: Exemption) -> z3.BoolRef:
        """The rule would hold, and this exception alone keeps it from that."""
        others = [self.exemption(other) for other in rule.unless if other is not exemption]
        return z3.And(self.dated(rule), self.condition(rule.when), self.exemption(exemption), *map(z3.Not, others))

    def among(self, scope: Scope) -> z3.BoolRef:
        return z3.And(
            [
                z3.Or([self.where[name] == index[word] for word in sorted(getattr(scope, name))])
                for name, index in self.index.items()
            ]
        )

    def applies(self, rule: Rule) -> z3.BoolRef:
        if id(rule) not in self.known:
            self.known[id(rule)] = z3.And(self.dated(rule), self.unless(rule.when, rule.unless))
        return self.known[id(rule)]

    def dated(self, rule: Rule) -> z3.BoolRef:
        until = [self.day < number(rule.valid_until)] if rule.valid_until else []
        return z3.And(self.day >= number(rule.valid_from), *until, self.among(rule.scope))

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


class Kleene:
    """A rule as two formulas: it is surely true, and it is surely false, given which facts are known."""

    def __init__(self, law: RuleSet) -> None:
        self.law = law
        self.known = {name: z3.Bool(f"{name}?") for name in law.vocabulary.facts}
        self.facts = {name: z3.Bool(name) for name in law.vocabulary.facts}

    def rule(self, rule: Rule) -> tuple[z3.BoolRef, z3.BoolRef]:
        return self.unless(rule.when, rule.unless)

    def unless(self, when: Condition, exemptions: tuple[Exemption, ...]) -> tuple[z3.BoolRef, z3.BoolRef]:
        lifted = [self.unless(item.when, item.unless) for item in exemptions]
        return both([self.condition(when), *((no, yes) for yes, no in lifted)])

    def condition(self, condition: Condition) -> tuple[z3.BoolRef, z3.BoolRef]:
        match condition:
            case FactIs(fact=name, wanted=wanted):
                known, value = self.known[name], self.facts[name] if wanted else z3.Not(self.facts[name])
                return z3.And(known, value), z3.And(known, z3.Not(value))
            case RuleHolds(rule=name):
                return either([self.rule(rule) for rule in self.law.versions(name)])
            case Not(part=part):
                yes, no = self.condition(part)
                return no, yes
            case AllOf(parts=parts):
                return both([self.condition(part) for part in parts])
            case AnyOf(parts=parts):
                return either([self.condition(part) for part in parts])


def both(pairs):
    return z3.And([yes for yes, _ in pairs]), z3.Or([no for _, no in pairs])


def either(pairs):
    return z3.Or([yes for yes, _ in pairs]), z3.And([no for _, no in pairs])
