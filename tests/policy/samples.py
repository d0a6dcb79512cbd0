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


class Samples:
    """A look at many samples by two processes that work while other things are done."""

    def __init__(self, look: Callable[[int, int], tuple[list[str], int]], samples: int) -> None:
        self._pool = ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"))
        self._looks = [self._pool.submit(look, seed + 1, samples // PROCESSES) for seed in range(PROCESSES)]

    def findings(self) -> tuple[list[str], int]:
        """What was found, and how many were permits."""
        looked = [look.result() for look in self._looks]
        return [finding for found, _ in looked for finding in found], sum(permits for _, permits in looked)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def differences(rules, cedar, requests, ours=None):
    """Requests that Cedar decides otherwise, or by other rules."""
    defaults = {item.id for item in rules.rules if item.default}
    worlds = [(request, known_facts(rules, request, request.categories[0])) for request in requests]
    ours = ours or [decide(rules, request).categories[0] for request in requests]
    return [
        f"{request}: {item.permitted} by {item.rules}, Cedar {allowed} by {sorted(reasons)}"
        for request, item, (allowed, reasons) in zip(requests, ours, cedar.decide(worlds), strict=True)
        if (item.permitted, frozenset(item.rules) - defaults) != (allowed, reasons)
    ]


def against_cedar(seed: int, samples: int) -> tuple[list[str], int]:
    """Random requests with every fact known, decided by Cedar; and the same with some facts open.

    Whatever is yes or no with open facts must be so with the answers: for every rule, and for the permission.
    """
    law = present_law()
    cedar, worlds = Cedar(law), Worlds(law, seed)
    found, permits = [], 0
    for start in range(0, samples, CHUNK):
        requests = [worlds.request() for _ in range(min(CHUNK, samples - start))]
        ours = [decide(law, request).categories[0] for request in requests]
        found += differences(law, cedar, requests, ours)
        found += [f"{request}" for request, item in zip(requests, ours, strict=True) if turns(worlds, request, item)]
        permits += sum(item.permitted for item in ours)
    return found, permits


def turns(worlds: Worlds, request, answered) -> bool:
    """Whether something is yes or no while a tenth of the facts is open, and not so once they are answered."""
    chance = worlds.random.random
    facts = {name: None if chance() < 0.1 else value for name, value in request.facts.items()}
    item = decide(worlds.law, replace(request, facts=facts)).categories[0]
    truths = {applicable.rule: applicable.truth for applicable in answered.applicable}
    turned = any(a.truth is not None and a.truth is not truths[a.rule] for a in item.applicable)
    return turned or (item.permitted and not answered.permitted)
