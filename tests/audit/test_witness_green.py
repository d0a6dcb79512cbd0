"""Asking witnesses under green threads: who waits for a witness lets everybody else run."""

import threading
import time

import pytest

from services.audit.witnessing import HttpPost, Witnessing
from shared.audit import Leaf
from shared.clock import SystemClock
from shared.notes import VerifierKey
from shared.witness import Policy
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.servers import free_ports
from tests.support.witnesses import WitnessProcess, running


@pytest.mark.green
def test_green_threads_ask_real_witnesses_while_the_log_goes_on(on_file, monkeypatch):
    monkeypatch.setattr("services.audit.witnessing.PACE", 0.05)
    on_file.clock.moment = SystemClock().now()
    origin = f"{PREFIX}/{AGENCY}/{on_file.clock.today().year}"
    key = str(VerifierKey(origin, on_file.signer.public_key().public_bytes_raw()))
    there, silent = (WitnessProcess(on_file.folder / n, p, [key]) for n, p in zip("ab", free_ports(2), strict=True))
    names = [f"witness {each.folder.name} {each.verifier_key} {each.url}" for each in (there, silent)]
    policy = Policy.parse("\n".join([*names, "group any any a b", "quorum any", ""]))
    log, stop = on_file.log(policy=policy), threading.Event()
    witnessing = Witnessing(on_file.database(), policy, on_file.clock, HttpPost())
    loop = threading.Thread(target=witnessing.run, args=(stop,))
    with running(there):
        loop.start()
        for number in range(20):
            log.append(AGENCY, Leaf(kind="looked"), key=f"k-{number}")
        ends = time.monotonic() + 20
        while not log.witnessed(origin):
            assert time.monotonic() < ends
            time.sleep(0.02)
        stop.set()
        loop.join(20)
    assert not loop.is_alive()
