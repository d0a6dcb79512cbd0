"""Cedar as a second opinion: an independent engine that must come to the same decision by the same rules."""

import cedarpy

from shared.policy import Request, RuleSet
from shared.policy.cedar import context, exported, policies
from shared.policy.model import FactIs, RuleHolds, leaves


class Cedar:
    """A law exported to Cedar, parsed once."""

    def __init__(self, law: RuleSet) -> None:
        self.law = law
        self.rules = exported(law)
        self.policies = cedarpy.PolicySet.from_str(policies(law))
        self.read = {rule.id: self._facts(rule) for rule in law.rules}

    def decide(self, worlds: list[tuple[Request, dict[str, bool]]]) -> list[tuple[bool, frozenset[str]]]:
        """Allowed or not, and the ids of the rules that determine it, for requests with fully known facts.

        A request is given the facts that rules about it read. Cedar reports an error for any other that it needed.
        """
        answers = cedarpy.is_authorized_batch([self.asked(*world) for world in worlds], self.policies, [])
        found = []
        for answer in answers:
            assert not answer.diagnostics.errors, answer.diagnostics.errors
            ids = frozenset(self.rules[int(name.removeprefix("policy"))].id for name in answer.diagnostics.reasons)
            found.append((answer.allowed, ids))
        return found

    def asked(self, request: Request, facts: dict[str, bool]) -> dict[str, object]:
        where = (request.sender.body, request.recipient.body, request.categories[0], request.purpose)
        read = {name for item in self.law.speaking(*where) for name in self.read[item.id]}
        known = {name: value for name, value in facts.items() if name in read}
        return {
            "principal": 'Agency::"a"',
            "action": 'Action::"disclose"',
            "resource": 'Data::"d"',
            "context": context(request, request.categories[0], known),
        }

    def _facts(self, rule) -> frozenset[str]:
        own = {leaf.fact for leaf in leaves(rule) if isinstance(leaf, FactIs)}
        named = {leaf.rule for leaf in leaves(rule) if isinstance(leaf, RuleHolds)}
        return frozenset(own).union(*(self._facts(other) for name in named for other in self.law.versions(name)))
