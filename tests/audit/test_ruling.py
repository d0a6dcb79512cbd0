"""What may leave, and which kind of log entry tells of it; made once, kept for good."""

from dataclasses import replace

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from services.audit.domain.ruling import CategoryRuling, Decided, Extent, Outcome, Ruling, RulingMade
from tests.support.given import given


def decided(**permitted: bool) -> Decided:
    return Decided(
        categories=tuple(
            CategoryRuling(category=name, permitted=yes, norms=(), rules=(), missing=(), obligations=())
            for name, yes in permitted.items()
        ),
        obligations=(),
        consents=(),
        rule_set="ab",
        day="2026-03-02",
        explanation="",
    )


MADE = RulingMade(person_id="p-1", decided=decided(a=True), sent=("a",), entry="{}", openings={})
BOTH, ONE, NONE = decided(a=True, b=True), decided(a=True, b=False), decided(a=False, b=False)


@pytest.mark.parametrize(
    ("ruled", "held", "extent", "sent", "outcome"),
    [
        (BOTH, ("a", "b"), Extent.ALL, ("a", "b"), Outcome.INTENT),
        (BOTH, ("a",), Extent.ALL, (), Outcome.LOOKED),
        (BOTH, ("a",), Extent.PERMITTED, ("a",), Outcome.INTENT),
        (BOTH, (), Extent.PERMITTED, (), Outcome.LOOKED),
        (ONE, ("a", "b"), Extent.ALL, (), Outcome.DENIAL),
        (ONE, ("a", "b"), Extent.PERMITTED, ("a",), Outcome.INTENT),
        (ONE, ("b",), Extent.PERMITTED, (), Outcome.DENIAL),
        (NONE, ("a", "b"), Extent.PERMITTED, (), Outcome.DENIAL),
        (NONE, (), Extent.ALL, (), Outcome.DENIAL),
    ],
)
def test_what_leaves_is_permitted_and_held_and_all_of_it_unless_less_will_do(
    ruled: Decided, held: tuple[str, ...], extent: Extent, sent: tuple[str, ...], outcome: Outcome
) -> None:
    assert ruled.sent(held, extent) == sent
    assert ruled.outcome(sent) is outcome


def test_a_ruling_is_made_once() -> None:
    other = replace(MADE, sent=(), entry='{"another": "entry"}')
    made = given(Ruling()).when(lambda r: r.make(MADE)).then(MADE)
    made.when(lambda r: r.make(other)).then().holds(lambda r: r.made, MADE)


CATEGORIES = st.dictionaries(st.sampled_from("abcdef"), st.booleans(), min_size=1)
HELD = st.sets(st.sampled_from("abcdefgh")).map(tuple)


@whatever(CATEGORIES, HELD, st.sampled_from(Extent))
def test_never_is_anything_sent_that_is_not_permitted_or_not_held(
    permitted: dict[str, bool], held: tuple[str, ...], extent: Extent
) -> None:
    sent = decided(**permitted).sent(held, extent)
    assert all(permitted[category] and category in held for category in sent)
    if extent is Extent.ALL:
        assert sent in ((), tuple(permitted))
