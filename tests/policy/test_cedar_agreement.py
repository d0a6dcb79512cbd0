"""An engine of another kind, fed with the same rules, must decide the same for the same reasons.

HANDSCHLAG_CEDAR_REQUESTS raises the number of random requests, to 100000 for a thorough run.
"""

import os
from dataclasses import replace

import pytest

from shared.policy import decide, present_law
from shared.policy.cases import request_part
from shared.policy.engine import known_facts
from shared.policy.request import request_from_json
from tests.policy.cedar import Cedar
from tests.policy.small_law import law, rule
from tests.policy.worked import CASES
from tests.policy.worlds import Worlds

LAW = present_law()
CEDAR = Cedar(LAW)
DEFAULTS = {item.id for item in LAW.rules if item.default}
REQUESTS = int(os.environ.get("HANDSCHLAG_CEDAR_REQUESTS", "1000"))


def differences(rules, cedar, requests):
    defaults = {item.id for item in rules.rules if item.default}
    worlds = [(request, known_facts(rules, request, request.categories[0])) for request in requests]
    found = []
    for (request, _), (allowed, reasons) in zip(worlds, cedar.decide(worlds), strict=True):
        ours = decide(rules, request).categories[0]
        if (ours.permitted, frozenset(ours.rules) - defaults) != (allowed, reasons):
            found.append((request, ours.permitted, ours.rules, allowed, reasons))
    return found


def test_random_requests_are_decided_alike_by_the_same_rules():
    worlds = Worlds(LAW, seed=20260706)
    permits = 0
    for start in range(0, REQUESTS, 500):
        requests = [worlds.request() for _ in range(min(500, REQUESTS - start))]
        assert differences(LAW, CEDAR, requests) == []
        permits += sum(decide(LAW, request).permitted for request in requests)
    assert REQUESTS // 10 < permits < REQUESTS * 9 // 10, "the requests must be worth asking"


def test_every_worked_case_is_decided_alike():
    requests = [
        replace(request, categories=(category,))
        for case in CASES
        for request in [request_from_json(request_part(case), unnamed="no")]
        for category in request.categories
    ]
    assert differences(LAW, CEDAR, requests) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("effect: permit", "effect: forbid"),
        ("is: true", "is: false"),
        ("valid_from: 2018-05-25", "valid_from: 2030-01-01"),
    ],
)
def test_the_comparison_notices_a_difference(old, new):
    text = rule("task", when="{fact: necessary, is: true}")
    one, other = law(rule("open"), text), law(rule("open"), text.replace(old, new))
    requests = Worlds(one, seed=1)
    assert differences(one, Cedar(other), [requests.request() for _ in range(60)])
