"""The law as an engine: load(), decide(), explain(). The rules are data in contracts/law/.

    law = load("contracts/law")
    decision = decide(law, request_from_json(json, unnamed="unknown"))

Pure: no clock, no network, no database. PyYAML is used for loading only.
"""

from shared.policy.consent import ConsentRecord, ResearchApproval, SecrecyRelease
from shared.policy.decision import CategoryDecision, Decision
from shared.policy.engine import decide, would_permit
from shared.policy.explain import explain
from shared.policy.loading import load, restore
from shared.policy.reading import LawError
from shared.policy.request import Party, Request, present_law, request_from_json
from shared.policy.ruleset import RuleSet

__all__ = [
    "CategoryDecision",
    "ConsentRecord",
    "Decision",
    "LawError",
    "Party",
    "Request",
    "ResearchApproval",
    "RuleSet",
    "SecrecyRelease",
    "decide",
    "explain",
    "load",
    "present_law",
    "request_from_json",
    "restore",
    "would_permit",
]
