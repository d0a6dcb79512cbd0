import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.merkle import (
    EMPTY_ROOT,
    Frontier,
    NotProven,
    complete_subtrees,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.support.vectors import vectors


def naive_root(leaves):
    """RFC 6962, section 2.1, word by word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = max(1 << power for power in range(len(leaves).bit_length()) if 1 << power < len(leaves))
    return node_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


def naive_inclusion(index, leaves):
    """RFC 6962, section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    split = max(1 << power for power in range(len(leaves).bit_length()) if 1 << power < len(leaves))
    if index < split:
        return [*naive_inclusion(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_inclusion(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_consistency(old, leaves, *, whole=True):
    """RFC 6962, section 2.1.2, word by word."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    split = max(1 << power for power in range(len(leaves).bit_length()) if 1 << power < len(leaves))
    if old <= split:
        return [*naive_consistency(old, leaves[:split], whole=whole), naive_root(leaves[split:])]
    return [*naive_consistency(old - split, leaves[split:], whole=False), naive_root(leaves[:split])]


def tree(size):
    leaves = [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]
    _, nodes = Frontier().extended(leaves)
    return leaves, lambda wanted: {each: nodes[each] for each in wanted}


@st.composite
def sizes(draw, count):
    return sorted(draw(st.lists(st.integers(1, 300), min_size=count, max_size=count)))


@settings(deadline=None)
@given(st.integers(0, 300), st.data())
def test_a_tree_that_grows_in_steps_has_the_root_of_the_whole(size, data):
    leaves, _ = tree(size)
    cut = data.draw(st.integers(0, size))
    first, _ = Frontier().extended(leaves[:cut])
    whole, _ = first.extended(leaves[cut:])
    assert whole.root() == naive_root(leaves) == root_of(leaves)
    assert Frontier.from_bytes(size, whole.to_bytes()) == whole


@settings(deadline=None)
@given(sizes(2))
def test_every_entry_is_proved_by_the_path_of_the_rfc(pair):
    index, size = pair[0] - 1, pair[1]
    leaves, read = tree(size)
    path = inclusion_path(index, size, read)
    assert list(path) == naive_inclusion(index, leaves)
    verify_inclusion(index, size, leaves[index], path, naive_root(leaves))


@settings(deadline=None)
@given(sizes(2))
def test_a_tree_proves_that_it_continues_an_older_one_by_the_path_of_the_rfc(pair):
    old, new = pair
    leaves, read = tree(new)
    path = consistency_path(old, new, read)
    assert list(path) == naive_consistency(old, leaves)
    verify_consistency(old, new, path, naive_root(leaves[:old]), naive_root(leaves))


@settings(deadline=None)
@given(sizes(2), st.data())
def test_one_changed_bit_anywhere_in_an_inclusion_proof_is_found(pair, data):
    index, size = pair[0] - 1, pair[1]
    leaves, read = tree(size)
    parts = [leaves[index], *inclusion_path(index, size, read), naive_root(leaves)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    with pytest.raises(NotProven):
        verify_inclusion(index, size, parts[0], parts[1:-1], parts[-1])


@settings(deadline=None)
@given(sizes(2), st.data())
def test_one_changed_bit_anywhere_in_a_consistency_proof_is_found(pair, data):
    old, new = pair
    leaves, read = tree(new)
    parts = [naive_root(leaves[:old]), *consistency_path(old, new, read), naive_root(leaves)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    with pytest.raises(NotProven):
        verify_consistency(old, new, parts[1:-1], parts[0], parts[-1])


@settings(deadline=None)
@given(sizes(2), st.integers(0, 400), st.integers(0, 400))
def test_a_proof_holds_for_its_own_place_and_size_only(pair, index, size):
    mine, whole = pair[0] - 1, pair[1]
    leaves, read = tree(whole)
    path = inclusion_path(mine, whole, read)
    if (index, size) != (mine, whole):
        # A larger size may have a path of the same shape; then nothing but the signed root tells it apart.
        root = naive_root(leaves) if size == whole or size <= index else naive_root(tree(size)[0])
        with pytest.raises(NotProven):
            verify_inclusion(index, size, leaves[mine], path, root if size else EMPTY_ROOT)


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_complete_subtrees_of_a_range_cover_it_once(start, length):
    covered = []
    for level, index in complete_subtrees(start, start + length):
        covered += range(index << level, (index + 1) << level)
    assert covered == list(range(start, start + length))


def test_from_an_empty_tree_nothing_can_be_shown():
    with pytest.raises(NotProven):
        verify_consistency(0, 5, [], EMPTY_ROOT, leaf_hash(b""))
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_path(0, 5, dict)


def test_a_frontier_has_one_peak_for_each_bit_of_its_size():
    with pytest.raises(ValueError, match="one peak"):
        Frontier(3, (leaf_hash(b""),))


def b64(text):
    return base64.b64decode(text or "")


def test_the_hashes_are_those_of_the_vectors():
    constants = vectors("rfc6962_hashes.json")
    assert EMPTY_ROOT.hex() == constants["empty_root"]
    for leaf in constants["leaves"]:
        assert leaf_hash(leaf["data_utf8"].encode()).hex() == leaf["hash"]
    for node in constants["nodes"]:
        assert node_hash(node["left_utf8"].encode(), node["right_utf8"].encode()).hex() == node["hash"]


def test_all_reference_cases_of_inclusion_behave_as_they_say():
    cases = vectors("rfc6962_inclusion.json")
    assert len(cases) == 98
    for case in cases:
        path = [b64(each) for each in case["proof"] or []]
        arguments = case["leafIdx"], case["treeSize"], b64(case["leafHash"]), path, b64(case["root"])
        assert holds(verify_inclusion, *arguments) == (not case["wantErr"]), case["file"]


def test_all_reference_cases_of_consistency_behave_as_they_say():
    cases = vectors("rfc6962_consistency.json")
    assert len(cases) == 98
    for case in cases:
        path = [b64(each) for each in case["proof"] or []]
        arguments = case["size1"], case["size2"], path, b64(case["root1"]), b64(case["root2"])
        assert holds(verify_consistency, *arguments) == (not case["wantErr"]), case["file"]


def test_a_public_log_of_a_thousand_million_entries_is_proved():
    log = vectors("ct_argon2020.json")
    size, root = log["sth"]["tree_size"], b64(log["sth"]["sha256_root_hash"])
    path = [b64(each) for each in log["proof"]["audit_path"]]
    leaf = leaf_hash(b64(log["entry"]["leaf_input"]))
    verify_inclusion(log["proof"]["leaf_index"], size, leaf, path, root)
    between = [b64(each) for each in log["consistency"]]
    verify_consistency(log["old_size"], size, between, b64(log["old_root"]), root)
    with pytest.raises(NotProven):
        verify_inclusion(log["proof"]["leaf_index"] + 1, size, leaf, path, root)


def holds(check, *arguments):
    try:
        check(*arguments)
    except NotProven:
        return False
    return True
