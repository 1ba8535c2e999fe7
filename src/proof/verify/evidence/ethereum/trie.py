"""Inclusion in a Merkle Patricia trie, as Ethereum's block headers commit to their transactions.

Source: the Ethereum Yellow Paper, appendices C (hex prefix) and D.
"""

from collections.abc import Sequence
from typing import Final

from proof.verify.errors import TrieHashError, TrieNodeError, TriePathError
from proof.verify.evidence.ethereum import rlp
from proof.verify.evidence.ethereum.keccak import block_part_hash

MAX_NODES: Final = 10
"""A transaction's index takes at most 4 bytes of RLP, so 8 nibbles."""


_HASH_BYTES: Final = 32

_BRANCH_ITEMS: Final = 17

_SHORT_ITEMS: Final = 2

_LEAF, _ODD = 2, 1


def value_at(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """The value under `key` (bytes) in the trie with that 32-byte root.

    `nodes` are the RLP nodes from the root down; nodes shorter than 32 bytes stand inside their parent
    and are not listed. Raises TrieHashError, TrieNodeError, TriePathError, RlpError.
    """
    nibbles = [half for byte in key for half in (byte >> 4, byte & 15)]
    named: rlp.Item = root
    used = 0
    for _ in range(2 * MAX_NODES):
        if isinstance(named, bytes):
            node = _opened(named, nodes, used)
            used += 1
        else:
            node = named
        if len(node) == _BRANCH_ITEMS:
            if not nibbles:
                return _value(node[-1], nodes, used)
            named, nibbles = node[nibbles[0]], nibbles[1:]
            if named == b"":
                raise TriePathError("the trie has nothing under that index")
            continue
        path, is_leaf = _short(node)
        if nibbles[: len(path)] != path:
            raise TriePathError("the trie has something else where the index should be")
        nibbles = nibbles[len(path) :]
        if is_leaf:
            if nibbles:
                raise TriePathError("the trie's leaf is of a shorter index")
            return _value(node[1], nodes, used)
        named = node[1]
    raise TriePathError("the trie goes on beyond the index")


def _opened(named: bytes, nodes: Sequence[bytes], used: int) -> list[rlp.Item]:
    """The listed node with that hash."""
    if len(named) != _HASH_BYTES:
        raise TrieNodeError("a node of the trie names another by something that is no hash")
    if used >= len(nodes):
        raise TriePathError("the nodes end above the transaction")
    if block_part_hash(nodes[used]) != named:
        raise TrieHashError(f"node {used} of the trie is not the one that is named")
    return rlp.decode_list(nodes[used])


def _short(node: list[rlp.Item]) -> tuple[list[int], bool]:
    """The nibbles of an extension or a leaf, and whether it is a leaf."""
    prefix = node[0] if len(node) == _SHORT_ITEMS else None
    if not isinstance(prefix, bytes) or not prefix or prefix[0] >> 4 > _LEAF + _ODD:
        raise TrieNodeError("a node of the trie is no branch, extension or leaf")
    flag = prefix[0] >> 4
    path = [half for byte in prefix[1:] for half in (byte >> 4, byte & 15)]
    if flag & _ODD:
        path.insert(0, prefix[0] & 15)
    elif prefix[0] & 15:
        raise TrieNodeError("a node of the trie has padding that is not zero")
    if not flag & _LEAF and not path:
        raise TrieNodeError("an extension of the trie leads nowhere")
    return path, bool(flag & _LEAF)


def _value(item: rlp.Item, nodes: Sequence[bytes], used: int) -> bytes:
    if not isinstance(item, bytes) or not item:
        raise TriePathError("the trie has nothing under that index")
    if used != len(nodes):
        raise TriePathError("more nodes of the trie are given than lead to the transaction")
    return item
