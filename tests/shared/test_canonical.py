import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical import NotCanonical, canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_keys_are_sorted_by_utf16_code_units():
    # RFC 8785 section 3.2.3: the smiley (a surrogate pair) comes before U+FB33
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert [key for key, _ in json.loads(canonical(value), object_pairs_hook=list)] == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


def test_nothing_is_written_that_need_not_be():
    value = {"b": [True, False, None], "a": {"z": "§ 69", "y": -1}}
    assert canonical(value) == '{"a":{"y":-1,"z":"§ 69"},"b":[true,false,null]}'.encode()


def test_strings_are_escaped_as_rfc_8785_says():
    text = '\u20ac$\u000f\nA\'B"\\\\"/\u2028\t\b\f\r\u007f'
    assert canonical(text) == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u2028\\t\\b\\f\\r\u007f"'.encode()


@pytest.mark.parametrize("value", [1.0, float("nan"), 2**53, -(2**53), "\ud800", {1: 2}, {"a": {1}}, b"x", [0.5]])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(NotCanonical):
        canonical(value)


@given(VALUES)
def test_the_form_reads_back_as_the_value_and_is_stable(value):
    encoded = canonical(value)
    assert json.loads(encoded) == value
    assert canonical(json.loads(encoded)) == encoded


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=2))
def test_the_order_of_keys_says_nothing(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)
