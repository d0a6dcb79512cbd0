"""Large samples of requests, looked at in two processes: the engine against Cedar, and against its own three values."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from shared.policy import decide, present_law
from shared.policy.engine import known_facts
from tests.policy.cedar import Cedar
from tests.policy.worlds import Worlds

PROCESSES = 2
CHUNK = 500


def in_two_processes(look: Callable[[int, int], tuple[list[str], int]], samples: int) -> tuple[list[str], int]:
    """What a look at so many samples finds: findings, and how many were permits. Each process has its own seed."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        looked = list(pool.map(look, range(1, PROCESSES + 1), [samples // PROCESSES] * PROCESSES))
    return [finding for findings, _ in looked for finding in findings], sum(permits for _, permits in looked)


def differences(rules, cedar, requests):
    """Requests that Cedar decides otherwise, or by other rules."""
    defaults = {item.id for item in rules.rules if item.default}
    worlds = [(request, known_facts(rules, request, request.categories[0])) for request in requests]
    found, permits = [], 0
    for (request, _), (allowed, reasons) in zip(worlds, cedar.decide(worlds), strict=True):
        ours = decide(rules, request).categories[0]
        permits += ours.permitted
        if (ours.permitted, frozenset(ours.rules) - defaults) != (allowed, reasons):
            found.append(f"{request}: {ours.permitted} by {ours.rules}, Cedar {allowed} by {sorted(reasons)}")
    return found, permits


def against_cedar(seed: int, samples: int) -> tuple[list[str], int]:
    law = present_law()
    cedar, worlds = Cedar(law), Worlds(law, seed)
    found, permits = [], 0
    for start in range(0, samples, CHUNK):
        requests = [worlds.request() for _ in range(min(CHUNK, samples - start))]
        different, permitted = differences(law, cedar, requests)
        found += different
        permits += permitted
    return found, permits


def against_completions(seed: int, samples: int) -> tuple[list[str], int]:
    """Requests with open facts, and the same with every fact answered at random: yes and no stay what they were."""
    law = present_law()
    worlds = Worlds(law, seed, unknown=0.1)
    found, permits = [], 0
    for _ in range(samples):
        request = worlds.request()
        facts = {
            name: worlds.random.random() < 0.5 if value is None else value for name, value in request.facts.items()
        }
        before, after = (decide(law, asked).categories[0] for asked in (request, replace(request, facts=facts)))
        permits += before.permitted
        truths = {applicable.rule: applicable.truth for applicable in before.applicable}
        turned = [a.rule for a in after.applicable if truths[a.rule] not in (None, a.truth)]
        if turned or (before.permitted and not after.permitted):
            found.append(f"{request}: {turned}")
    return found, permits
