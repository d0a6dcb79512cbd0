"""Check a receipt with nothing of ours: Python and `cryptography`. See formats/receipt.md and
formats/leaf.md.

python verify_receipt.py RECEIPT LEAF VERIFIER_KEY     prints what is proved, or ends with the reason why not
"""

import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def need(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def decoded(text: str) -> bytes:
    data = b64decode(text, validate=True)
    need(b64encode(data).decode() == text, "this is not base64 in its one spelling")
    return data


def verify_receipt(receipt: str, leaf: bytes, verifier_key: str) -> str:
    name, key_id, key = verifier_key.split("+", 2)
    public = decoded(key)
    need(public[0] == 1, "not an Ed25519 key")
    need(key_id == sha256(f"{name}\n".encode() + public).hexdigest()[:8], "the id does not belong to the key")
    proof, checkpoint = receipt.split("\n\n", 1)
    head, signatures = checkpoint.rsplit("\n\n", 1)
    *lines, end = signatures.split("\n")
    blobs = [decoded(line.split(" ")[2]) for line in lines if line.startswith(f"— {name} ")]
    mine = [blob[4:] for blob in blobs if blob[:4].hex() == key_id]
    need(mine and not end, "the log did not sign this checkpoint")
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(mine[0], f"{head}\n".encode())
    origin, size, root = head.split("\n")[:3]
    need(origin == name, "the checkpoint is that of another log")
    header, index, *path = proof.split("\n")
    number = int(index[6:])
    need(header == "c2sp.org/tlog-proof@v1" and index == f"index {number}", "this is no proof of inclusion")
    place, last, node = number, int(size) - 1, sha256(b"\0" + leaf).digest()
    need(0 <= place <= last, "the tree has no such entry")
    for sibling in map(decoded, path):  # RFC 9162, section 2.1.3.2
        need(last > 0, "the path is too long")
        if place & 1 or place == last:
            node = sha256(b"\1" + sibling + node).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling).digest()
        place, last = place >> 1, last >> 1
    need(last == 0 and node == decoded(root), "the path does not lead to the signed root")
    return f"entry {number} of {origin}, in a tree of {size} that the log signed"


if __name__ == "__main__":
    receipt_file, leaf_file, log_key = sys.argv[1:]
    answer = verify_receipt(Path(receipt_file).read_bytes().decode(), Path(leaf_file).read_bytes(), log_key)
    sys.stdout.write(f"{answer}\n")
