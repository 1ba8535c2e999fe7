"""Canonical JSON against an independent RFC 8785 implementation."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from proof.core.canonical import canonical_json

EXACT = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-EXACT, EXACT) | TEXT
KEYS = st.text(st.characters(max_codepoint=127))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@given(VALUES)
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    encoded = canonical_json(value)
    assert encoded == rfc8785.dumps(value)
    assert json.loads(encoded) == value


@given(st.dictionaries(KEYS, st.integers(0, 9), min_size=2))
def test_the_order_of_insertion_does_not_show(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        b"bytes",
        {"é": 1},
        {1: 1},
        {"deep": [{"in": 0.5}]},
        pytest.param(object(), id="object()"),
        "\ud800",
        {"key": "\udfff"},
    ],
    ids=repr,
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_the_largest_exact_integers_are_accepted() -> None:
    assert canonical_json([EXACT, -EXACT]) == b"[9007199254740991,-9007199254740991]"
