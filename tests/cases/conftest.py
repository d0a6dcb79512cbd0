"""A platform for each module, an agency for each test."""

from collections.abc import Iterator

import pytest

from tests.support.clock import FixedClock
from tests.support.workplace import Workplace, jobcenter, platform

__all__ = ["jobcenter", "platform"]


@pytest.fixture
def clock(jobcenter: Workplace) -> Iterator[FixedClock]:
    """The clock of the platform; after the test it is as before."""
    found = jobcenter.platform.contexts["cases"].clock
    assert isinstance(found, FixedClock)
    before = found.moment
    yield found
    found.moment = before
