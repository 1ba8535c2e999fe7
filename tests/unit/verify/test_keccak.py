"""Keccak-256 by known digests, and its sponge by SHA3-256, which differs in one byte of padding."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.verify.evidence.ethereum.keccak import _sponge, keccak_256

# The first two are in every implementation of Ethereum; the third is the selector of ERC-20's transfer.
DIGESTS = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    b"The quick brown fox jumps over the lazy dog": (
        "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15"
    ),
}


@pytest.mark.parametrize("data", DIGESTS)
def test_known_digests(data: bytes) -> None:
    assert keccak_256(data).hex() == DIGESTS[data]


def test_the_selector_of_transfer() -> None:
    assert keccak_256(b"transfer(address,uint256)")[:4].hex() == "a9059cbb"


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 273])
def test_blocks_and_padding_at_their_edges(length: int) -> None:
    data = bytes(range(256)) * 2
    assert _sponge(data[:length], 0x06) == hashlib.sha3_256(data[:length]).digest()


@given(st.binary(max_size=300))
def test_the_sponge_is_the_one_of_sha3(data: bytes) -> None:
    assert _sponge(data, 0x06) == hashlib.sha3_256(data).digest()
    assert keccak_256(data) != hashlib.sha3_256(data).digest()
