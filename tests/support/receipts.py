"""A small log in memory, for tests of what reads receipts: no database, no sequencer."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit import Leaf, Opening, VerifiedReceipt, verify_receipt
from shared.canonical import Json
from shared.merkle import Frontier, inclusion_path, leaf_hash
from shared.notes import Checkpoint, Proof, log_verifier_key, sign_note

ORIGIN = "handschlag.example/jobcenter/2026"
CONTENT: dict[str, Json] = {
    "employment_status": {"since": "2024-05-01", "status": "none"},
    "master_data": {"born": "1990-02-03", "name": "Ute Beispiel"},
}


@dataclass
class ToyLog:
    """Signs the tree over its leaves whenever a receipt is asked for."""

    origin: str = ORIGIN
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=list)

    @property
    def verifier_key(self) -> str:
        return log_verifier_key(self.origin, self.key.public_key())

    def add(self, leaf: Leaf) -> int:
        self.leaves.append(leaf.to_bytes())
        return len(self.leaves) - 1

    def receipt(self, index: int) -> str:
        tree, nodes = Frontier().extended(map(leaf_hash, self.leaves))
        note = sign_note(str(Checkpoint(self.origin, tree.size, tree.root())), (self.origin, self.key))
        path = inclusion_path(index, tree.size, lambda wanted: {each: nodes[each] for each in wanted})
        return str(Proof(index, path, note))

    def verified(self, index: int) -> VerifiedReceipt:
        return verify_receipt(self.receipt(index), self.leaves[index], self.verifier_key)


def intent(
    content: dict[str, Json] | None = None, *, person: str = "p-1", **changed: object
) -> tuple[Leaf, dict[str, Opening]]:
    """A complete intent about a disclosure, and what opens its commitments."""
    values = CONTENT if content is None else content
    fields = {
        "kind": "intent",
        "time": datetime(2026, 3, 2, 11, 0, tzinfo=UTC),
        "sender": "jobcenter",
        "recipient": "pension_insurer",
        "purpose": "rehabilitation",
        "categories": tuple(values),
        "decision": "permit",
        "norms": ("§ 67b Abs. 2 SGB X",),
        "rule_set": "ab" * 32,
        "obligations": ("purpose_limitation",),
        **changed,
    }
    leaf = Leaf(**fields)  # type: ignore[arg-type]
    committed = {f"content.{category}": value for category, value in values.items()}
    return leaf.committing({"person": person, "case": "c-1", **committed})
