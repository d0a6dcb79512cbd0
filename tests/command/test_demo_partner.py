"""The partner of the demonstration as a witness: it cosigns one history and acknowledges nothing under a second."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from services.command.demo.partner import RETRACTION, DemoPartner
from services.command.demo.platform_client import Unexpected
from services.command.witness import identity, provide_witness
from shared.audit import Leaf
from shared.merkle import Frontier, consistency_path, leaf_hash
from shared.notes import COSIGNATURE, Proof, VerifierKey, open_note
from shared.witness import WitnessStore
from tests.support.clock import NOON
from tests.support.receipts import ORIGIN, ToyLog


@dataclass
class Sender:
    """A log, what it hands to the partner, and what it answers at `/log`."""

    log: ToyLog
    posted: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def send(self, word: str) -> None:
        """A retraction under a fresh head: short, and it takes no envelope."""
        index = self.log.add(Leaf(kind="retraction", time=NOON, details={"word": word}))
        receipt = self.log.receipt(index)
        document = {"type": RETRACTION, "id": word, "leaf": self.log.leaves[index].decode(), "receipt": receipt}
        self.waiting.append({**document, "checkpoint": Proof.parse(receipt).checkpoint})

    def documents(self) -> Iterator[dict[str, Any]]:
        waiting, self.waiting = self.waiting, []
        yield from waiting

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        if path == "/log/key":
            return {"key": self.log.verifier_key}
        assert (path, query["year"]) == ("/log/consistency", "2026")
        if query["new"] > len(self.log.leaves):
            message = "404 log.no_such_size"
            raise Unexpected(message)
        _, nodes = Frontier().extended(map(leaf_hash, self.log.leaves))
        proof = consistency_path(query["old"], query["new"], lambda wanted: {each: nodes[each] for each in wanted})
        return {"proof": [each.hex() for each in proof]}

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        assert (path, len(key)) == ("/acknowledgements", 64)
        self.posted.append(json.loads(urlsafe_b64decode(body["signed"].split(".")[1] + "==")))
        return {}


@pytest.fixture
def sender() -> Sender:
    return Sender(ToyLog(key=Ed25519PrivateKey.generate()))


@pytest.fixture
def partner(sender: Sender, tmp_path: Path) -> DemoPartner:
    provide_witness(tmp_path, "partner.example")
    signing = OKPKey.generate_key("Ed25519").as_dict(private=True)
    return DemoPartner("partner", {"signing_key": signing}, sender, sender, tmp_path)  # type: ignore[arg-type]


def witness_key(partner: DemoPartner) -> VerifierKey:
    assert partner.memory
    name, signer = identity(partner.memory)
    return VerifierKey(name, signer.public_key().public_bytes_raw(), COSIGNATURE)


def test_each_acknowledgement_carries_the_checkpoint_that_continues_what_was_seen(
    sender: Sender, partner: DemoPartner
) -> None:
    for word in ("a", "b", "c"):
        sender.send(word)
    partner.take()
    log, witness = VerifierKey.parse(sender.log.verifier_key), witness_key(partner)
    assert len(sender.posted) == 3
    for said in sender.posted:
        assert [each.key for each in open_note(said["cosigned"], [log, witness]).signatures] == [log, witness]
    assert partner.cosigned == {ORIGIN: 3}
    assert partner.refused == []


def test_what_comes_late_is_acknowledged_after_it_was_shown_to_belong_to_the_same_history(
    sender: Sender, partner: DemoPartner
) -> None:
    sender.send("a")
    sender.send("b")
    sender.waiting.reverse()
    partner.take()
    assert ["cosigned" in said for said in sender.posted] == [True, False]
    assert partner.refused == []


def test_the_same_document_again_is_cosigned_again(sender: Sender, partner: DemoPartner) -> None:
    sender.send("a")
    sender.waiting *= 2
    partner.take()
    assert [said["cosigned"].split("\n")[1] for said in sender.posted] == ["1", "1"]


def another_history(sender: Sender, *words: str) -> None:
    """The same key, another past."""
    sender.log = ToyLog(sender.log.origin, sender.log.key)
    sender.posted.clear()
    for word in words:
        sender.send(word)


@pytest.mark.parametrize("words", [("x", "y"), ("x", "y", "z"), ("x",)])
def test_a_second_history_is_not_acknowledged_whatever_its_size(
    sender: Sender, partner: DemoPartner, words: tuple[str, ...]
) -> None:
    sender.send("a")
    sender.send("b")
    partner.take()
    another_history(sender, *words)
    sender.waiting = sender.waiting[-1:]
    partner.take()
    assert sender.posted == []
    assert len(partner.refused) == 1
    assert partner.cosigned == {ORIGIN: 2}
    assert partner.memory
    if len(words) >= 2:
        (found,) = WitnessStore(partner.memory).contradictions()
        assert found.cosigned != found.shown


def test_a_partner_that_is_no_witness_says_nothing_about_checkpoints(sender: Sender, partner: DemoPartner) -> None:
    partner.memory = None
    sender.send("a")
    partner.take()
    assert "cosigned" not in sender.posted[0]
