"""Given what happened, when something is asked, then this follows: how the rules of an aggregate are tested.

given(Consent(), GRANTED).when(lambda c: c.withdraw(TODAY)).then(ConsentWithdrawn(on=TODAY))
given(Consent(), GRANTED).refused(lambda c: c.grant(TERMS, TODAY), "consent.already_given")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

import pytest

from shared.domain import Aggregate, Event
from shared.errors import Refused

A = TypeVar("A", bound=Aggregate)


@dataclass(frozen=True)
class Given(Generic[A]):
    """An aggregate to which something happened already."""

    state: A

    def when(self, decide: Callable[[A], Sequence[Event]]) -> "When[A]":
        """What the aggregate answers."""
        return When(self.state, tuple(decide(self.state)))

    def refused(self, decide: Callable[[A], Sequence[Event]], code: str) -> None:
        """The aggregate refuses, with exactly this code."""
        with pytest.raises(Refused) as refusal:
            decide(self.state)
        assert refusal.value.code == code

    def holds(self, question: Callable[[A], Any], answer: Any = True) -> "Given[A]":  # noqa: FBT002 - reads as a sentence
        """What the aggregate says about itself."""
        assert question(self.state) == answer
        return self


@dataclass(frozen=True)
class When(Generic[A]):
    """What was decided."""

    before: A
    events: tuple[Event, ...]

    def then(self, *expected: Event) -> Given[A]:
        """Exactly these events, none if none are named; answers with the state they lead to."""
        assert self.events == expected
        return given(self.before, *self.events)


def given(aggregate: A, *events: Event) -> Given[A]:
    """`aggregate` after `events`."""
    return Given(reduce(lambda state, event: state.apply(event), events, aggregate))
