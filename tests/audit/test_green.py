"""The log under green threads, where everything that waits has to let the others run."""

import threading
import time

import pytest

from shared.audit import Leaf
from tests.audit.conftest import AGENCY


@pytest.mark.green
def test_many_green_threads_append_at_once_and_none_holds_up_the_others(on_file):
    log, entries, ticks = on_file.log(), [], []

    def tick():
        while len(entries) < 60:
            ticks.append(time.monotonic())
            time.sleep(0.005)

    def append(number):
        entries.append(log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}"))

    threads = [threading.Thread(target=tick), *(threading.Thread(target=append, args=(n,)) for n in range(60))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(entry.idx for entry in entries) == list(range(1, 61))
    assert log.fsck(AGENCY) == []
    assert len(ticks) > 2


@pytest.mark.green
def test_a_green_process_that_does_not_sequence_is_served_by_one_that_does(on_file):
    on_file.log()
    other = on_file.log()
    assert other.append(AGENCY, Leaf(kind="looked"), key="k").idx == 1
