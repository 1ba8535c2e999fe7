"""What a submission may hold, and how a bad entry is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.errors import InvalidInputError
from proof.timestamps.submissions.service import MAX_HASHES, parse_digest, parse_digests

GOOD = "ab" * 32
BAD = {
    "63 digits": "a" * 63,
    "65 digits": "a" * 65,
    "62 digits": "a" * 62,
    "66 digits": "a" * 66,
    "empty": "",
    "no hexadecimal digit": "g" * 64,
    "one stray letter": "a" * 63 + "x",
    "prefixed": "0x" + "a" * 62,
    "spaces": " " * 64,
    "space inside": "a" * 32 + " " + "a" * 31,
    "newline at the end": "a" * 64 + "\n",
    "NUL": "a" * 63 + "\x00",
    "digits of another script": "٣" * 64,
    "full-width digits": "\uff11" * 64,
    "lone surrogates": "\ud800" * 64,
    "underscores": "a_" * 32,
}


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=50))
def test_distinct_digests_in_the_order_sent(digests: list[bytes]) -> None:
    assert parse_digests([digest.hex() for digest in digests]) == list(dict.fromkeys(digests))


def test_upper_case_is_accepted_and_is_the_same_hash() -> None:
    assert parse_digests([GOOD.upper(), GOOD, "aB" * 32]) == [bytes.fromhex(GOOD)]
    assert parse_digest(GOOD.upper()) == bytes.fromhex(GOOD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_entry_refuses_the_request_and_names_its_index(name: str) -> None:
    for index in (0, 1, 7):
        hexes = [GOOD] * 8
        hexes[index] = BAD[name]
        with pytest.raises(InvalidInputError) as caught:
            parse_digests(hexes)
        assert caught.value.message == f"sha256[{index}]: 64 hexadecimal digits are required"
    with pytest.raises(InvalidInputError, match=r"^sha256: 64 hexadecimal digits are required$"):
        parse_digest(BAD[name])


def test_lengths_that_make_up_for_each_other_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"sha256\[0\]"):
        parse_digests(["a" * 62, "a" * 66])
    with pytest.raises(InvalidInputError, match=r"sha256\[1\]"):
        parse_digests([GOOD, "a" * 63, "a" * 65])


@pytest.mark.parametrize("count", [0, MAX_HASHES + 1])
def test_the_count_is_limited(count: int) -> None:
    with pytest.raises(InvalidInputError, match=f"sha256: 1 to 10000 hashes .* not {count}"):
        parse_digests([GOOD] * count)


def test_the_most_are_accepted() -> None:
    assert len(parse_digests([f"{n:064x}" for n in range(MAX_HASHES)])) == MAX_HASHES


@given(st.lists(st.text(max_size=70), min_size=1, max_size=4))
def test_any_texts_are_digests_or_refused(texts: list[str]) -> None:
    try:
        digests = parse_digests(texts)
    except InvalidInputError:
        return
    assert {text.lower() for text in texts} == {digest.hex() for digest in digests}
