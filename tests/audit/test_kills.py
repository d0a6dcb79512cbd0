"""A process may die at any step: no receipt without its entry, and the same call gives the same entry."""

import json
import random
import subprocess
import sys
import time

import pytest

from shared.audit import verify_receipt
from tests.audit.conftest import AGENCY, PREFIX
from tests.audit.dying import DIED, STEPS, leaf
from tests.support.shared_data import REPOSITORY

ROUNDS = 6
THROUGH_DATABASE = ("leave", "integrate", "publish", "keep", "record")
POINTS = [
    (step, when, path)
    for path, steps in (("queue", [*STEPS][1:]), ("pending", THROUGH_DATABASE))
    for step in steps
    for when in ("before", "after")
]


def child(installation, *arguments):
    secret = installation.signer.private_bytes_raw().hex()
    command = [sys.executable, "-m", "tests.audit.dying", installation.url, str(installation.heads), secret]
    return subprocess.Popen([*command, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def append_again(log):
    made, openings = leaf("d-1").committing({"person": "p-1"})
    return log.append(AGENCY, made, key="d-1", openings=openings, person="p-1")


def findings(log):
    return {finding.code for finding in log.fsck(AGENCY)}


@pytest.mark.parametrize(("step", "when", "path"), POINTS)
def test_whoever_dies_at_a_step_leaves_nothing_false(on_file, step, when, path):
    process = child(on_file, "once", step, when, path)
    assert process.wait(60) == DIED
    log = on_file.log(start=False)
    assert findings(log) <= {"log.not_signed"}
    before = {entry.idx: entry.leaf_bytes for entry in log.entries(AGENCY)} if log.origins(AGENCY) else {}
    log.start()
    entry = append_again(log)
    verify_receipt(entry.receipt_text, entry.leaf_bytes, log.verifier_key(entry.origin))
    assert before.get(entry.idx, entry.leaf_bytes) == entry.leaf_bytes
    assert [each.idx for each in log.entries(AGENCY)] == [0, 1]
    assert append_again(log).receipt_text == entry.receipt_text
    assert [each.idx for each in log.by_person(AGENCY, "p-1")] == [1]
    assert findings(log) == set()


def test_every_receipt_that_eight_writers_saw_before_they_were_killed_still_holds(installation):
    seen = []
    chance = random.Random(7)
    for round_ in range(ROUNDS):
        process = child(installation, "many", str(round_))
        lines = [process.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.25))
        process.kill()
        lines += process.stdout.read().splitlines()
        process.wait(10)
        seen += [json.loads(line) for line in lines if line.rstrip().endswith("}")]
    log = installation.log()
    assert len(seen) > ROUNDS
    origin = log.origins(AGENCY)[-1]
    for each in seen:
        verified = verify_receipt(each["receipt"], each["leaf"].encode(), log.verifier_key(origin))
        assert verified.index == each["idx"]
    for each in chance.sample(seen, min(25, len(seen))):
        again = log.append(AGENCY, leaf(each["key"]), key=each["key"])
        assert (again.idx, again.leaf_bytes.decode()) == (each["idx"], each["leaf"])
        assert again.receipt_text == each["receipt"]
    assert findings(log) == set()
    assert origin.startswith(f"{PREFIX}/{AGENCY}/")
