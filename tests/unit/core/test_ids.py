"""Identifiers: width, alphabet, checksum."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.ids import ALPHABET, base62, base62_width, checksum, random_base62


def value_of(text: str) -> int:
    number = 0
    for letter in text:
        number = number * 62 + ALPHABET.index(letter)
    return number


@given(st.integers(0, 2**256 - 1))
def test_base62_is_read_back(number: int) -> None:
    text = base62(number, base62_width(256))
    assert len(text) == base62_width(256)
    assert value_of(text) == number


@pytest.mark.parametrize(("bits", "width"), [(0, 0), (1, 1), (5, 1), (6, 2), (72, 13), (256, 43)])
def test_width_holds_every_number_and_no_more(bits: int, width: int) -> None:
    assert base62_width(bits) == width
    assert 62**width >= 2**bits > 62**width / 62


def test_random_identifiers_have_one_width_and_differ() -> None:
    made = {random_base62(72) for _ in range(1000)}
    assert len(made) == 1000
    assert {len(text) for text in made} == {base62_width(72)}
    assert set("".join(made)) == set(ALPHABET)


@given(st.text(st.characters(max_codepoint=127)))
def test_checksum_is_crc32_in_six_characters(text: str) -> None:
    assert len(checksum(text)) == 6
    assert value_of(checksum(text)) == zlib.crc32(text.encode())
