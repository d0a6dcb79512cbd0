"""The Merkle tree of RFC 6962, section 2.1: hashes, proofs, and a tree that grows by its right edge. Pure.

A leaf is hashed with the prefix 0x00 and an inner node with 0x01, so that neither can pass for the other. A
tree whose size is no power of two is split at the largest power below it; no node is ever doubled. Only
*complete* subtrees are worth keeping: `(level, index)` names the one over the leaves `index << level` up to
`(index + 1) << level`, and once it exists it never changes. Every proof is folded from those.

A check raises `NotProven`; it never answers False.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from shared.errors import Refused

HASH_LENGTH = 32

Node = tuple[int, int]
"""Level and index of a complete subtree; level 0 is the leaf hashes."""

ReadNodes = Callable[[Sequence[Node]], Mapping[Node, bytes]]
"""Fetches the hashes of complete subtrees, all in one go."""


class NotProven(Refused):
    """The evidence does not show what it is said to show."""


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = sha256().digest()


@dataclass(frozen=True)
class Frontier:
    """The right edge of a tree: the roots of its complete subtrees, largest first.

    It is all that is needed to go on appending and to name the root: at most 64 hashes, whatever the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a tree has one peak for each bit that is set in its size")
        if any(len(peak) != HASH_LENGTH for peak in self.peaks):
            raise ValueError("a peak is a SHA-256 hash")

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Which complete subtrees the peaks are."""
        return tuple(complete_subtrees(0, self.size))

    def root(self) -> bytes:
        return fold(self.peaks) if self.peaks else EMPTY_ROOT

    def extended(self, leaves: Iterable[bytes]) -> tuple["Frontier", dict[Node, bytes]]:
        """Append leaf hashes; answers the new edge and every complete subtree that came into being."""
        size, peaks, born = self.size, list(self.peaks), dict[Node, bytes]()
        for leaf in leaves:
            level, index, node = 0, size, leaf
            born[level, index] = node
            while index & 1:
                node = node_hash(peaks.pop(), node)
                level, index = level + 1, index >> 1
                born[level, index] = node
            peaks.append(node)
            size += 1
        return Frontier(size, tuple(peaks)), born

    def to_bytes(self) -> bytes:
        return b"".join(self.peaks)

    @staticmethod
    def from_bytes(size: int, joined: bytes) -> "Frontier":
        if len(joined) % HASH_LENGTH:
            raise ValueError("peaks are whole hashes")
        return Frontier(size, tuple(joined[i : i + HASH_LENGTH] for i in range(0, len(joined), HASH_LENGTH)))


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes; keeps only the right edge in memory."""
    return Frontier().extended(leaves)[0].root()


def complete_subtrees(start: int, end: int) -> list[Node]:
    """The fewest complete subtrees that cover the leaves from `start` up to `end`, left to right."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def fold(peaks: Sequence[bytes]) -> bytes:
    """The hash over neighbouring subtrees, largest first: the smaller ones on the right join up first."""
    node = peaks[-1]
    for left in reversed(peaks[:-1]):
        node = node_hash(left, node)
    return node


def inclusion_path(index: int, size: int, read: ReadNodes) -> tuple[bytes, ...]:
    """The siblings from the leaf `index` up to below the root of the tree of `size` (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    return _hashes(_siblings(index, 0, size), read)


def consistency_path(old: int, new: int, read: ReadNodes) -> tuple[bytes, ...]:
    """What shows that the tree of `new` continues that of `old` (RFC 6962, 2.1.2); empty if both are equal."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof leads from {old} to {new}")
    return _hashes(_differences(old, 0, new), read)


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises `NotProven` unless the leaf hash stands at `index` in the tree of `size` with this root."""
    if not 0 <= index < size:
        raise NotProven("log.no_such_leaf", f"a tree of {size} has no leaf {index}")
    _whole_hashes(leaf, root, *path)
    inner = (index ^ (size - 1)).bit_length()
    if len(path) != inner + (index >> inner).bit_count():
        raise NotProven("log.inclusion", "the path has the wrong length")
    node = leaf
    for level, sibling in enumerate(path):
        right = level < inner and not index >> level & 1
        node = node_hash(node, sibling) if right else node_hash(sibling, node)
    if node != root:
        raise NotProven("log.inclusion", "the path does not lead to the root")


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises `NotProven` unless the tree of `new` begins with that of `old`. From size 0 nothing is shown."""
    if not 0 < old <= new:
        raise NotProven("log.consistency", f"no consistency proof leads from {old} to {new}")
    if old == new:
        if path or old_root != new_root:
            raise NotProven("log.consistency", "trees of one size are the same tree or prove nothing")
        return
    _whole_hashes(old_root, new_root, *path)
    shift = (old & -old).bit_length() - 1
    inner = (old - 1 ^ new - 1).bit_length() - shift
    steps = list(path) if old != 1 << shift else [old_root, *path]
    if len(steps) != 1 + inner + ((old - 1) >> shift + inner).bit_count():
        raise NotProven("log.consistency", "the path has the wrong length")
    before = after = steps[0]
    for level, sibling in enumerate(steps[1:]):
        if level < inner and not (old - 1) >> shift + level & 1:
            after = node_hash(after, sibling)
        else:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
    if before != old_root:
        raise NotProven("log.consistency", "the path does not lead to the older root")
    if after != new_root:
        raise NotProven("log.consistency", "the path does not lead to the newer root")


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _siblings(index: int, start: int, end: int) -> list[tuple[int, int]]:
    """The ranges of leaves below the siblings, lowest first."""
    ranges = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def _differences(old: int, start: int, end: int) -> list[tuple[int, int]]:
    ranges = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def _hashes(ranges: Sequence[tuple[int, int]], read: ReadNodes) -> tuple[bytes, ...]:
    subtrees = [complete_subtrees(start, end) for start, end in ranges]
    known = read([node for nodes in subtrees for node in nodes])
    return tuple(fold([known[node] for node in nodes]) for nodes in subtrees)


def _whole_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_LENGTH for each in hashes):
        raise NotProven("log.hash_length", "a hash has 32 bytes")
