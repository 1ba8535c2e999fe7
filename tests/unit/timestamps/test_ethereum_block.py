"""Inclusion in a block's trie of transactions, as our verifier reads it."""

from functools import cache

import pytest

from proof.timestamps.anchors.ethereum import block
from proof.timestamps.anchors.ethereum.block import inclusion
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.keccak import keccak_256
from proof.verify.evidence.ethereum.trie import value_at


@pytest.fixture(autouse=True)
def each_node_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's trie is built anew for each of its transactions, and nearly all of that is hashing."""
    monkeypatch.setattr(block, "keccak_256", cache(keccak_256))


@pytest.mark.parametrize("count", [1, 2, 16, 127, 128, 129, 200, 256, 257, 300, 700])
def test_every_transaction_of_a_block_is_under_its_root(count: int) -> None:
    transactions = [b"transaction %d " % number * 3 for number in range(count)]
    roots = set()
    for index in sorted({0, 1, 127, 128, 255, 256, 512, count // 2, count - 1} & {*range(count)}):
        root, nodes = inclusion(transactions, index)
        roots.add(root)
        assert value_at(root, rlp.encode_integer(index), nodes) == transactions[index]
    assert len(roots) == 1
