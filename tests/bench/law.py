"""How fast the law is asked: the delivered rules, what is missing, two thousand rules, and Cedar on the same requests.

    python -m tests.bench.law [--requests 3000]

Where `cedarpy` is installed (requirements/bench.in), it decides the same requests in the same run, by the same rules:
with the policies parsed once, and with their text handed over at each call. Cedar answers yes or no and names the
policies; our decision also cites norms, obligations and, when it is a no, what is missing.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from shared.policy import Request, RuleSet, decide, present_law
from shared.policy.engine import known_facts
from tests.policy.worlds import Worlds

MANY = 2000
TEXT_CALLS = 50


def each(action: Callable[[Any], Any], over: Iterable[Any]) -> list[float]:
    """How long each call took, in milliseconds."""
    times = []
    for item in over:
        started = time.perf_counter()
        action(item)
        times.append((time.perf_counter() - started) * 1000)
    return times


def told(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "mean_ms": statistics.mean(times)}


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


def ours(law: RuleSet, requests: list[Request]) -> dict[str, dict[str, float]]:
    """Each request once before, as in a process that has been running."""
    for request in requests:
        decide(law, request)
    answers = [decide(law, request) for request in requests]
    refused = [asked for asked, answer in zip(requests, answers, strict=True) if not answer.permitted]
    permitted = [asked for asked, answer in zip(requests, answers, strict=True) if answer.permitted]
    return {
        "all": told(each(lambda asked: decide(law, asked), requests)),
        "permitted": told(each(lambda asked: decide(law, asked), permitted)),
        "refused, with what is missing": told(each(lambda asked: decide(law, asked), refused)),
    }


def cedar(law: RuleSet, requests: list[Request]) -> dict[str, dict[str, float]]:
    try:
        import cedarpy

        from shared.policy.cedar import policies
        from tests.policy.cedar import Cedar
    except ImportError:
        return {}
    engine, text = Cedar(law), policies(law)
    asked = [engine.asked(request, known_facts(law, request, request.categories[0])) for request in requests]
    return {
        "parsed once": told(each(lambda question: cedarpy.is_authorized(question, engine.policies, []), asked)),
        "from text": told(each(lambda question: cedarpy.is_authorized(question, text, []), asked[:TEXT_CALLS])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    chosen = parser.parse_args()
    law = present_law()
    requests = _requests(law, chosen.requests)
    large = many_rules(law, MANY)
    measured: dict[str, dict[str, dict[str, float]]] = {
        f"{len(law.rules)} rules": ours(law, requests),
        f"{len(law.rules)} rules, a tenth of the facts open": ours(law, _requests(law, chosen.requests, unknown=0.1)),
        f"{len(large.rules)} rules": ours(large, requests),
        "cedar": cedar(law, requests),
    }
    if measured["cedar"]:
        mean = measured[f"{len(law.rules)} rules"]["all"]["mean_ms"]
        measured["how often ours fits into one of Cedar's"] = {
            name: {"mean": times["mean_ms"] / mean} for name, times in measured["cedar"].items()
        }
    print(json.dumps(_rounded(measured), indent=2, ensure_ascii=False))


def _requests(law: RuleSet, count: int, *, unknown: float = 0.0) -> list[Request]:
    worlds = Worlds(law, seed=20260706, unknown=unknown)
    return [worlds.request() for _ in range(count)]


def _rounded(measured: Any) -> Any:
    if isinstance(measured, dict):
        return {name: _rounded(value) for name, value in measured.items()}
    return round(measured, 4)


if __name__ == "__main__":
    main()
