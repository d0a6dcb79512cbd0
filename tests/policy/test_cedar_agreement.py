"""An engine of another kind, fed with the same rules, must decide the same for the same reasons.

A few random requests here; a hundred thousand of them in test_prove.py.
"""

from dataclasses import replace

import cedarpy
import pytest

from shared.policy import present_law
from shared.policy.cases import request_part
from shared.policy.cedar import policies, schema
from shared.policy.request import request_from_json
from tests.policy.cedar import Cedar
from tests.policy.samples import against_cedar, differences
from tests.policy.small_law import law, rule
from tests.policy.worked import CASES
from tests.policy.worlds import Worlds

LAW = present_law()
CEDAR = Cedar(LAW)
REQUESTS = 1000


def test_random_requests_are_decided_alike_by_the_same_rules():
    different, permits = against_cedar(20260706, REQUESTS)
    assert different == []
    assert REQUESTS // 10 < permits < REQUESTS * 9 // 10, "the requests must be worth asking"


def test_the_exported_policies_are_valid_under_the_exported_schema():
    checked = cedarpy.validate_policies(policies(LAW), schema(LAW.vocabulary))
    assert checked.validation_passed, checked.errors


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
