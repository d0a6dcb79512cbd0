"""Random requests that the rules have something to say about, from a seed."""

import random
from datetime import date, timedelta

from shared.policy import ConsentRecord, Party, Request, ResearchApproval, RuleSet, SecrecyRelease
from shared.policy.model import FactIs, RuleHolds, leaves

DERIVED = ("consent_covers", "entrusting_consent_covers", "secrecy_release_covers", "research_approval_covers")
EVERYBODY = ("data_subject", "legal_guardian", "third_party")


class Worlds:
    """An endless supply of requests; `unknown` is the share of facts that are left open."""

    def __init__(self, law: RuleSet, seed: int, *, unknown: float = 0.0) -> None:
        self.law = law
        self.random = random.Random(seed)
        self.unknown = unknown
        self.rules = [rule for rule in law.rules if not rule.default]
        self.days = sorted({rule.valid_from for rule in law.rules} | {rule.valid_until for rule in law.rules} - {None})
        self.facts = {rule.id: self._facts_of(rule) for rule in law.rules}
        self.booleans = [word.id for word in law.vocabulary.facts.values() if word.kind == "boolean"]
        self.scopes = {
            rule.id: tuple(
                sorted(getattr(rule.scope, name)) for name in ("senders", "recipients", "categories", "purposes")
            )
            for rule in self.rules
        }

    def _facts_of(self, rule):
        found = {leaf.fact for leaf in leaves(rule) if isinstance(leaf, FactIs)}
        for leaf in leaves(rule):
            if isinstance(leaf, RuleHolds):
                for other in self.law.versions(leaf.rule):
                    found |= self._facts_of(other)
        return found

    def request(self) -> Request:
        pick = self.random
        senders, recipients, categories, purposes = self.scopes[pick.choice(self.rules).id]
        sender, recipient, category, purpose = (
            pick.choice(choice) for choice in (senders, recipients, categories, purposes)
        )
        day = pick.choice(self.days) + timedelta(days=pick.choice((-1, 0, 1, 40)))
        leaning = pick.choice((0.15, 0.5, 0.9))
        speaking = [
            item.rule
            for item in self.law.cell(sender, purpose)
            if recipient in item.recipients and category in item.categories
        ]
        asked = sorted({fact for rule in speaking for fact in self.facts[rule.id]})
        facts: dict[str, bool | int | None] = dict.fromkeys(self.booleans, False)
        facts.update({name: pick.random() < leaning for name in asked if name in facts})
        for name in ("erasure_due", "processing_restricted", "access_exception_83", "automated_retrieval"):
            facts[name] = pick.random() < 0.1
        for name in ("help_success_endangered", "minor"):
            facts[name] = False
        for name in facts:
            if pick.random() < self.unknown:
                facts[name] = None
        words = self.law.vocabulary
        return Request(
            day=day,
            sender=Party(sender, words.domain_of[sender]),
            recipient=Party(recipient, words.domain_of[recipient]),
            categories=(category,),
            purpose=purpose,
            facts=facts,
            **self._records(day, recipient, category, purpose),
        )

    def _records(self, day: date, recipient: str, category: str, purpose: str):
        pick = self.random
        declared = {
            "status": "given",
            "given_on": day,
            "form": "written",
            "recipients": (recipient,),
            "categories": (category,),
        }
        told = {"purposes": (purpose,), "informed_67b_2": True, "voluntary": True}
        consents = []
        if pick.random() < 0.3:
            consents.append(ConsentRecord(**declared, **told, given_by=EVERYBODY, id="person"))
        if pick.random() < 0.2:
            consents.append(ConsentRecord(**declared, **told, given_by=("entrusting_person",), id="entrusted"))
        releases = []
        if pick.random() < 0.3:
            releases.append(SecrecyRelease(**declared, given_by=EVERYBODY, professionals=("Dr. A.",), id="release"))
        approval = None
        if pick.random() < 0.5:
            approval = ResearchApproval(recipients=(recipient,), categories=(category,), valid_until=day)
        return {
            "consents": tuple(consents),
            "secrecy_releases": tuple(releases),
            "research_approval": approval,
        }
