"""The plain tree beside the contract's, and the path that leads from a leaf to its root.

    "plainPath": [[{"left": hex} or {"right": hex}, …], …]

A leaf is hashed as SHA-256(00 ‖ leaf), a node as SHA-256(01 ‖ left ‖ right), and a node without a sibling
is carried up as it is. Each inner list holds the siblings of one tree from below, by the side they stand
on; the root of a tree is a leaf of the next.

Source: the timestamp API contract, "Merkle tree" (the plain root); RFC 9162, 2.1.1.
"""

from typing import Final, NamedTuple

from proof.verify.errors import PlainPathError
from proof.verify.evidence.log.rfc6962 import leaf_hash, node_hash
from proof.verify.merkle import MAX_LEVELS
from proof.verify.strict_json import hex_hash

MAX_TREES: Final = 4

_SIDES: Final = ("left", "right")


class Sibling(NamedTuple):
    """One step of a path: a 32-byte sibling, and whether it stands on the left."""

    hash: bytes
    on_left: bool


PlainPath = tuple[tuple[Sibling, ...], ...]


def read_plain_path(value: object) -> PlainPath:
    """The path as it stands in evidence. Raises PlainPathError, HexError."""
    if type(value) is not list or not 0 < len(value) <= MAX_TREES:
        raise PlainPathError(f"evidence.plainPath is not a list of 1 to {MAX_TREES} lists")
    if not all(type(tree) is list for tree in value):
        raise PlainPathError("evidence.plainPath holds something else than lists")
    if sum(map(len, value)) > MAX_LEVELS:
        raise PlainPathError(f"evidence.plainPath has more than {MAX_LEVELS} levels")
    return tuple(tuple(map(_sibling, tree)) for tree in value)


def plain_root(leaf: bytes, path: PlainPath) -> bytes:
    """The 32-byte root that a path leads to from a 32-byte leaf; the caller compares it."""
    node = leaf
    for tree in path:
        node = leaf_hash(node)
        for sibling in tree:
            pair = (sibling.hash, node) if sibling.on_left else (node, sibling.hash)
            node = node_hash(*pair)
    return node


def _sibling(value: object) -> Sibling:
    if type(value) is not dict or len(value) != 1 or (side := next(iter(value))) not in _SIDES:
        raise PlainPathError("a step of evidence.plainPath names neither left nor right alone")
    digits = hex_hash(value[side], f"evidence.plainPath {side}")
    return Sibling(bytes.fromhex(digits), side == "left")
