"""Check what the audit log gives out with Python and `cryptography` alone. See formats/receipt.md and bundle.md.

python verify_log.py receipt RECEIPT LEAF KEY     python verify_log.py bundle BUNDLE KEY [KEY ...]

Prints what is proved and what is not, or ends with the reason why not. A key is the verifier key of a log, known by
another way than the file. Cosignatures of witnesses are passed over.
"""

import hmac
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def need(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def no_fraction(text: str) -> None:
    need(not text, "numbers are whole")


def decoded(text: str) -> bytes:
    data = b64decode(text, validate=True)
    need(b64encode(data).decode() == text, "this is not base64 in its one spelling")
    return data


def canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def opened(note: str, keys: Iterable[str]) -> tuple[str, str, int, bytes]:
    """Text, log, size and root of a checkpoint that its own log signed (c2sp.org/signed-note, tlog-checkpoint)."""
    head, lines = note.rsplit("\n\n", 1)
    name, size, root = head.split("\n")[:3]
    need(lines.endswith("\n") and size == str(int(size)), "this is no checkpoint")
    signatures = [decoded(line.split(" ")[2]) for line in lines[:-1].split("\n") if line.startswith(f"— {name} ")]
    signed = False
    for _, key_id, encoded in (key.split("+", 2) for key in keys if key.split("+")[0] == name):
        public = decoded(encoded)
        need(public[0] == 1 and key_id == sha256(f"{name}\n".encode() + public).hexdigest()[:8], "this is no log's key")
        for signature in [blob[4:] for blob in signatures if blob[:4].hex() == key_id][:1]:
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, f"{head}\n".encode())
            signed = True
    need(signed, "no log that is known signed this checkpoint")
    return head, name, int(size), decoded(root)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def verify_receipt(receipt: str, leaf: bytes, keys: Iterable[str]) -> tuple[str, int, int]:
    """Log, index and size of the signed tree in which these bytes stand (c2sp.org/tlog-proof; RFC 9162, 2.1.3.2)."""
    proof, note = receipt.split("\n\n", 1)
    _, name, size, root = opened(note, keys)
    header, index, *path = proof.split("\n")
    number = int(index[6:])
    need(header == "c2sp.org/tlog-proof@v1" and index == f"index {number}", "this is no proof of inclusion")
    need(canonical(json.loads(leaf)) == leaf, "a leaf is canonical JSON")
    place, last, hashed = number, size - 1, sha256(b"\0" + leaf).digest()
    need(0 <= place <= last, "the tree has no such entry")
    for sibling in map(decoded, path):
        need(last > 0, "the path is too long")
        if place & 1 or place == last:
            hashed = node(sibling, hashed)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            hashed = node(hashed, sibling)
        place, last = place >> 1, last >> 1
    need(last == 0 and hashed == root, "the path does not lead to the signed root")
    return name, number, size


class Bundle:
    """Reads a bundle once, from front to end; `told` is what it proves."""

    def __init__(self, lines: Iterator[bytes], keys: list[str]) -> None:
        self.lines, self.keys, self.count, self.rules, self.told = lines, keys, 0, set[str | None](), list[str]()
        self.link = self.before = bytes(32)
        self.line: dict[str, Any] = {}
        self.behind: str | None = None
        self.head, self.at_end, self.inside, self.deleted = "", True, 0, 0
        self.read()
        named, reading = self.line["keys"], self.line["reading"]
        need(self.line == {"format": "handschlag-bundle@v1", "keys": named, "reading": reading}, "this is no bundle")
        need(isinstance(named, list) and set(named) <= set(keys), "the bundle names a key that was not given")
        leaf = self.proved(reading)
        need((leaf["kind"], leaf["details"].get("way")) == ("log_read", "export"), "the bundle was not logged")
        self.query, self.agency = reading["openings"]["query"]["value"], reading["log"].rsplit("/", 1)[0]
        self.read()
        {"period": self.period, "subject": self.persons, "case": self.persons}[self.query["what"]]()
        while "rules" in self.line:
            hashed = sha256(self.line["rules"].encode()).hexdigest()
            need(self.line.keys() == {"rules", "rule_set"} and self.line["rule_set"] == hashed, "these are other rules")
            need(hashed in self.rules, "no entry names these rules")
            self.rules.remove(hashed)
            self.read()
        need(self.line == {"chain": self.before.hex(), "end": self.count - 1}, "the bundle was changed")
        need(not next(lines, b""), "something follows the end")

    def read(self) -> None:
        raw = next(self.lines, b"")
        self.line = json.loads(raw, parse_float=no_fraction)
        need(canonical(self.line) + b"\n" == raw and isinstance(self.line, dict), "a line is canonical JSON")
        self.before, self.link, self.count = self.link, sha256(self.link + raw).digest(), self.count + 1

    def proved(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The leaf of an entry whose receipt and openings hold."""
        need(entry.keys() == {"log", "index", "leaf", "receipt", "openings"}, "an entry has other members")
        place = verify_receipt(entry["receipt"], entry["leaf"].encode(), self.keys)[:2]
        need(place == (entry["log"], entry["index"]), "the receipt is that of another place")
        leaf: dict[str, Any] = json.loads(entry["leaf"])
        for name, opening in entry["openings"].items():
            need(opening.keys() == {"key", "value"}, "an opening has other members")
            made = hmac.digest(unhexed(opening["key"]), canonical(opening["value"]), "sha256").hex()
            need(leaf["commitments"].get(name) == made, f"the entry did not commit to this as {name}")
        return leaf

    def persons(self) -> None:
        query, number, digest = self.query, 0, sha256()
        while "receipt" in self.line:
            leaf = self.proved(self.line)
            log, index, openings = self.line["log"], self.line["index"], self.line["openings"]
            need(
                log.rsplit("/", 1)[0] == self.agency and index < dict(query["upto"]).get(log, 0), "not of this question"
            )
            need(openings.keys() <= set(query["open"]), "more is opened than was asked for")
            about = [name for name in ("person", "case") if name in query and name in openings]
            need(all(openings[name]["value"] == query[name] for name in about), "an entry is about somebody else")
            digest.update(f"{log} {index}\n".encode())
            number += 1
            self.rules.add(leaf["rule_set"])
            self.read()
        need((number, digest.hexdigest()) == (query["entries"], query["places"]), "these are not all entries")
        self.told.append(f"{number} entries about the {query['what']}; the log says that there are no others")
        self.told.append("NOT proved: that there are no others")

    def period(self) -> None:
        for segment in self.query["segments"]:
            self.part(segment)
        need(self.behind is None or self.behind >= self.query["until"] or self.at_end, "the entry behind is missing")
        self.told += ["NOT proved: what stands right behind, it is deleted"] if self.behind is None else []
        span = f"from {self.query['from']} to before {self.query['until']}"
        self.told.append(f"{self.inside} entries {span}, without a gap; {self.deleted} deleted ones between or beside")
        self.told.append("NOT proved: that no entry elsewhere has a time of this period, and that the times are right")

    def part(self, segment: list[Any]) -> None:
        """Entries of one log that lead to its signed root, and follow those of the part before."""
        part = self.line
        need(part.keys() == {"log", "first", "end", "checkpoint", "left", "right"}, "a part has other members")
        text, name, size, root = opened(part["checkpoint"], self.keys)
        first, end, right = part["first"], part["end"], [unhexed(each) for each in part["right"]]
        need([name, first, end, size] == segment and name == part["log"], "this is not what was committed to")
        need(name.rsplit("/", 1)[0] == self.agency and 0 <= first < end <= size, "this is no part of that log")
        need(self.at_end and not (self.head and first), "the parts do not follow each other")
        tree = [unhexed(each) for each in part["left"]]
        need(isinstance(part["left"], list) and isinstance(part["right"], list), "hashes stand in a list")
        need(len(tree) == first.bit_count(), "the edge of the tree is another")
        for index in range(first, end):
            self.read()
            need(self.line.keys() in ({"index", "leaf"}, {"index", "hash"}), "an entry has other members")
            need(self.line["index"] == index, "an entry is missing")
            leaf = json.loads(self.line["leaf"]) if "leaf" in self.line else None
            grow(
                tree, index, sha256(b"\0" + self.line["leaf"].encode()).digest() if leaf else unhexed(self.line["hash"])
            )
            self.count_in(leaf)
            if index == first:
                self.edge(leaf, first)
        while end < size:
            level = min((end & -end).bit_length(), (size - end).bit_length()) - 1
            grow(tree, end >> level, right.pop(0))
            end += 1 << level
        while len(tree) > 1:
            tree[-2:] = [node(*tree[-2:])]
        need(not right and tree == [root], "the entries do not lead to the signed root")
        self.head, self.at_end = text, part["end"] == size
        self.read()

    def count_in(self, leaf: dict[str, Any] | None) -> None:
        self.behind = leaf["time"] if leaf else None
        self.deleted += leaf is None
        if leaf:
            self.inside += self.query["from"] <= leaf["time"] < self.query["until"]
            self.rules.add(leaf["rule_set"])

    def edge(self, leaf: dict[str, Any] | None, first: int) -> None:
        """The first entry of a part lies before the period, begins the first log, or names the log before."""
        if self.head and leaf and leaf["kind"] != "origin_restarted":
            need((leaf["previous"] or "").startswith(f"{self.head}\n\n"), "a log does not continue the one before")
        elif self.head:
            self.told.append("NOT proved: that the logs of two years join")
        elif not leaf or (leaf["time"] >= self.query["from"] and (first or leaf["previous"])):
            need(not (leaf and first), "the entry before the period is missing")
            self.told.append("NOT proved: what stands right before, it is deleted")


def grow(tree: list[bytes], index: int, hashed: bytes) -> None:
    """Put a complete subtree to the right of those that are there (RFC 6962, 2.1)."""
    while index & 1:
        hashed, index = node(tree.pop(), hashed), index >> 1
    tree.append(hashed)


def unhexed(text: str) -> bytes:
    need(len(text) == 64 and bytes.fromhex(text).hex() == text, "this is no hash")
    return bytes.fromhex(text)


def verify_bundle(lines: Iterable[bytes], keys: list[str]) -> list[str]:
    """What a bundle proves, and what it does not."""
    bundle = Bundle(iter(lines), keys)
    return [f"logs of {bundle.agency}", *bundle.told, "NOT proved: that others are shown the same log"]


if __name__ == "__main__":
    what, *files = sys.argv[1:]
    try:
        if what == "receipt":
            found = verify_receipt(Path(files[0]).read_bytes().decode(), Path(files[1]).read_bytes(), files[2:])
            answer = ["entry {1} of {0}, in a tree of {2} that the log signed".format(*found)]
        else:
            with Path(files[0]).open("rb") as file:
                answer = verify_bundle(file, files[1:])
    except (ValueError, LookupError, TypeError, AttributeError, InvalidSignature) as error:
        sys.exit(f"not proved: {error or type(error).__name__}")
    sys.stdout.write("".join(f"{each}\n" for each in answer))
