"""How fast the law is asked: the delivered rules, what is missing, two thousand rules, and Cedar on the same requests.

    python -m tests.bench.law [--requests 3000] [--json FILE]

Where `cedarpy` is installed (requirements/bench.in), it decides the same requests in the same run, by the same rules:
with the policies parsed once, and with their text handed over at each call. Cedar answers yes or no and names the
policies; our decision also cites norms, obligations and, when it is a no, what is missing.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

from shared.policy import Request, RuleSet, decide, present_law
from shared.policy.engine import known_facts
from tests.bench.table import Row, latencies, options, report_groups
from tests.policy.worlds import Worlds

MANY = 2000
TEXT_CALLS = 50


def each(action: Callable[[Any], Any], over: Iterable[Any]) -> list[float]:
    """How long each call took, in microseconds."""
    times = []
    for item in over:
        started = time.perf_counter()
        action(item)
        times.append((time.perf_counter() - started) * 1e6)
    return times


def many_rules(law: RuleSet, count: int) -> RuleSet:
    """The law with copies of its rules under other ids until there are so many, each for a sixth of the purposes."""
    purposes = sorted(law.vocabulary.purposes)
    rules = list(law.rules)
    number = 0
    while len(rules) < count:
        number += 1
        few = frozenset(purposes[number % 6 :: 6])
        for rule in law.rules:
            if not rule.default and len(rules) < count and rule.scope.purposes & few:
                scope = replace(rule.scope, purposes=rule.scope.purposes & few)
                rules.append(replace(rule, id=f"{rule.id}-{number}", scope=scope))
    return RuleSet(tuple(rules), law.vocabulary, law.obligations, "many", law.content)


def ours(law: RuleSet, requests: list[Request]) -> dict[str, list[float]]:
    """Each request once before, as in a process that has been running."""
    for request in requests:
        decide(law, request)
    answers = [decide(law, request) for request in requests]
    refused = [asked for asked, answer in zip(requests, answers, strict=True) if not answer.permitted]
    permitted = [asked for asked, answer in zip(requests, answers, strict=True) if answer.permitted]
    return {
        "all": each(lambda asked: decide(law, asked), requests),
        "permitted": each(lambda asked: decide(law, asked), permitted),
        "refused, with what is missing": each(lambda asked: decide(law, asked), refused),
    }


def cedar(law: RuleSet, requests: list[Request]) -> dict[str, float | None]:
    """The mean time of Cedar; None where it is not installed."""
    try:
        import cedarpy

        from shared.policy.cedar import policies
        from tests.policy.cedar import Cedar
    except ImportError:
        return {"policies parsed once": None, "policies as text": None}
    engine, text = Cedar(law), policies(law)
    asked = [engine.asked(request, known_facts(law, request, request.categories[0])) for request in requests]
    return {
        "policies parsed once": mean(each(lambda it: cedarpy.is_authorized(it, engine.policies, []), asked)),
        "policies as text": mean(each(lambda it: cedarpy.is_authorized(it, text, []), asked[:TEXT_CALLS])),
    }


def rows_of(name: str, taken: Mapping[str, list[float]]) -> list[Row]:
    return [row for which, times in taken.items() for row in latencies("law", f"{name}, {which}", times, unit="us")]


def groups(count: int) -> Iterator[list[Row]]:
    law = present_law()
    requests = _requests(law, count)
    delivered = f"{len(law.rules)} rules"
    taken = ours(law, requests)
    yield rows_of(delivered, taken)
    yield [
        Row("law", f"{delivered}, mean; Cedar with its {how}", mean(taken["all"]), peer, unit="us")
        for how, peer in cedar(law, requests).items()
    ]
    yield rows_of(f"{delivered}, a tenth of the facts open", ours(law, _requests(law, count, unknown=0.1)))
    yield rows_of(f"{MANY:,} rules", ours(many_rules(law, MANY), requests))


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    chosen = parser.parse_args()
    report_groups(groups(chosen.requests), chosen.json)
    return 0


def _requests(law: RuleSet, count: int, *, unknown: float = 0.0) -> list[Request]:
    worlds = Worlds(law, seed=20260706, unknown=unknown)
    return [worlds.request() for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
