"""What a partner receives: deliveries and retractions (`contracts/formats/envelope.md`), and whose log is believed.

Outside the sealed content stands nothing that two partners could join: the reference in the envelope's header is the
partner's own, ids and numbers belong to one delivery, and no trace context travels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.audit import VerifiedReceipt, verify_receipt
from shared.envelope import delivery_document
from shared.errors import HandschlagError, Unavailable
from shared.notes import Proof, VerifierKey, log_verifier_key

RETRACTION_TYPE = "handschlag.retraction.v1"
NOTICE_TYPE = "handschlag.notice.v1"


@dataclass(frozen=True)
class LogKey:
    """The public key of this installation's audit log and those before it. What none of them signed is not believed."""

    origin_prefix: str
    public_key: bytes
    former: tuple[bytes, ...] = ()

    @staticmethod
    def load(keys: Path) -> "LogKey":
        """From `<keys>/log-public.json`; `Unavailable` when the installation has none yet."""
        try:
            known = json.loads((keys / "log-public.json").read_text("utf-8"))
        except FileNotFoundError:
            raise Unavailable("audit.key_missing", "the log has no key", "run handschlag migrate") from None
        former = tuple(bytes.fromhex(each) for each in known.get("former", ()))
        return LogKey(known["origin_prefix"], bytes.fromhex(known["public_key"]), former)

    def of(self, origin: str) -> VerifierKey:
        """The key as it signs for one of the logs."""
        return VerifierKey(origin, self.public_key)

    def verify(self, agency: str, origin: str, leaf: str, receipt: str) -> VerifiedReceipt:
        """The verified receipt. `Unavailable` when it proves nothing about this agency's log: then nothing leaves."""
        try:
            if not origin.startswith(f"{self.origin_prefix}/{agency}/"):
                raise Unavailable("audit.other_log")
            keys = [log_verifier_key(origin, each) for each in (self.public_key, *self.former)]
            return verify_receipt(receipt, leaf.encode(), keys)
        except HandschlagError as error:
            detail = f"the receipt proves nothing ({error.code}), so nothing has left"
            raise Unavailable("audit.receipt_not_proven", detail, "send the same again later") from None


def disclosure_document(
    disclosure_id: str,
    receipt: VerifiedReceipt,
    envelope: str,
    *,
    obligations: Sequence[Mapping[str, object]],
    erase_by: date | None,
) -> str:
    """The delivery as JSON text, still without the partner's number; that is given when it leaves.

    `obligations` tell the recipient what binds it (§ 78 SGB X and the like), `erase_by` how long it may keep the data.
    """
    document = delivery_document(
        receipt, envelope, delivery_id=disclosure_id, sequence=0, checkpoint=_checkpoint(receipt)
    )
    end = {} if erase_by is None else {"erase_by": erase_by.isoformat()}
    return json.dumps({**document, "obligations": [dict(each) for each in obligations], **end})


def retraction_document(disclosure_id: str, about: VerifiedReceipt, receipt: VerifiedReceipt) -> str:
    """The retraction as JSON text: which entry is taken back, and the retraction's own entry with its receipt."""
    return json.dumps(
        {
            "type": RETRACTION_TYPE,
            "id": f"{disclosure_id}-retraction",
            "sequence": 0,
            "log": about.origin,
            "index": about.index,
            "leaf_hash": about.leaf_hash.hex(),
            "reason": receipt.leaf.result,
            "leaf": receipt.leaf_bytes.decode(),
            "receipt": receipt.receipt_text,
            "checkpoint": _checkpoint(receipt),
        }
    )


def notice_document(
    disclosure_id: str, notice_id: str, change: str, about: VerifiedReceipt, receipt: VerifiedReceipt
) -> str:
    """What became of data that the partner has (Art. 19 DSGVO), as JSON text: `change` is rectified, contested,
    restricted or erased, about the entry named; the notice's own entry comes with its receipt. What is right now is a
    disclosure of its own, decided anew.
    """
    return json.dumps(
        {
            "type": NOTICE_TYPE,
            "id": f"{disclosure_id}-notice-{notice_id}",
            "sequence": 0,
            "log": about.origin,
            "index": about.index,
            "leaf_hash": about.leaf_hash.hex(),
            "change": change,
            "leaf": receipt.leaf_bytes.decode(),
            "receipt": receipt.receipt_text,
            "checkpoint": _checkpoint(receipt),
        }
    )


def numbered(document: str, sequence: int) -> dict[str, object]:
    """The document as it leaves, with the partner's own number."""
    return {**json.loads(document), "sequence": sequence}


def own_entry(document: str) -> tuple[str, int]:
    """The entry that an acknowledgement of this document speaks of, by log and index; written by us, so believed."""
    proof = Proof.parse(json.loads(document)["receipt"])
    return proof.checkpoint.partition("\n")[0], proof.index


def _checkpoint(receipt: VerifiedReceipt) -> str:
    return Proof.parse(receipt.receipt_text).checkpoint
