"""Soundness: what is allowed while facts are unknown stays allowed, whatever they turn out to be."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import decide, present_law
from tests.policy.worlds import Worlds

LAW = present_law()
BOOLEANS = [word.id for word in LAW.vocabulary.facts.values() if word.kind == "boolean"]


def completed(request, choose):
    """The request with every open question answered; age and minority are answered alike."""
    facts = {**request.facts, **{name: choose() for name in BOOLEANS if request.facts.get(name) is None}}
    return replace(request, facts=facts)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.sampled_from((0.02, 0.1, 0.4)), data=st.data())
def test_an_allow_with_unknown_facts_stays_an_allow_under_every_completion(seed, share, data):
    worlds = Worlds(LAW, seed, unknown=share)
    for _ in range(25):
        request = worlds.request()
        before = decide(LAW, request)
        if before.permitted:
            whole = completed(request, lambda: data.draw(st.booleans()))
            assert decide(LAW, whole).permitted, (request, whole.facts)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_answer_never_turns_a_rule_from_yes_to_no_or_back(seed):
    worlds = Worlds(LAW, seed, unknown=0.3)
    request = worlds.request()
    whole = completed(request, lambda: worlds.random.random() < 0.5)
    open_truths = {a.rule: a.truth for a in decide(LAW, request).categories[0].applicable}
    for applicable in decide(LAW, whole).categories[0].applicable:
        assert open_truths[applicable.rule] in (None, applicable.truth)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_answering_the_open_questions_and_bringing_about_a_set_opens_the_door(seed):
    """The open questions and the missing sets together are an honest way to a permit."""
    worlds = Worlds(LAW, seed, unknown=0.15)
    request = worlds.request()
    item = decide(LAW, request).categories[0]
    if item.permitted or item.missing or not item.unanswered or "age" in item.unanswered:
        return
    answers = [
        {**request.facts, **dict(zip(item.unanswered, choice, strict=True))}
        for choice in _choices(len(item.unanswered))
    ]
    assert any(decide(LAW, replace(request, facts=facts)).permitted for facts in answers)


def _choices(count):
    return [tuple(bool(number >> bit & 1) for bit in range(count)) for number in range(2 ** min(count, 10))]
