"""The Merkle tree of the timestamp contract, and the branch that leads from a root to a leaf.

A leaf is a submitted SHA-256, not hashed again. A parent is the SHA-256 of 128 ASCII bytes: the
lower-case hex of its left child, then of its right one. The last node of an odd level is paired
with itself.

Source: the timestamp API contract, "Merkle tree" and "POST /v1/proof" (the shape of `Node`).
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NoReturn

from proof.verify.errors import (
    BothChildrenError,
    ChildHashError,
    DepthError,
    HexError,
    NoChildError,
    NodeShapeError,
    ParentHashError,
    SelfPairError,
    TooManyLevelsError,
    quoted,
)

MAX_LEVELS: Final = 64

_INNER: Final = frozenset({"sha256", "depth", "leftSha256", "rightSha256"})
_KNOWN: Final = _INNER | {"left", "right"}
_LEAF_MEMBERS: Final = 2
_INNER_MEMBERS: Final = 5
_HASH_BYTES: Final = 32
_hex_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_HEX_DIGITS: Final = b"0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch whose every hash was recomputed.

    `leaf` and `root` are 32 bytes; `levels` counts the hashes between them (0: leaf and root are
    one). Nothing is said about how many leaves the tree has, nor whether `leaf` is a submitted
    hash or an inner node of a larger tree.
    """

    leaf: bytes
    root: bytes
    levels: int


def parent(left: bytes, right: bytes) -> bytes:
    """The 32-byte parent of two 32-byte nodes. Raises ValueError for any other length."""
    if len(left) != _HASH_BYTES or len(right) != _HASH_BYTES:
        raise ValueError("a node of the tree has 32 bytes")
    return sha256((left.hex() + right.hex()).encode("ascii")).digest()


def hex_hash(value: object, name: str) -> str:
    """`value` if it is 64 lower-case hex digits, else HexError naming the member `name`."""
    if type(value) is not str:
        raise HexError(f"{name} is missing or not text")
    if not _hex_hash(value):
        raise HexError(f"{name} is {quoted(value)}, not 64 lower-case hex digits")
    return value


def verify_branch(branch: object) -> Branch:
    """Recompute every hash of a parsed branch, from its root down to its leaf.

    `branch` is the parsed `Node` of the contract: every node on the path carries both child hashes
    and expands the one child on the path; the leaf carries `sha256` and `depth` alone. A lone leaf
    is its own root. Raises a subclass of RefusedError for each malformation.

    Not checked: which leaf or root this is; the caller compares them.
    """
    node, named = branch, None
    for depth in range(MAX_LEVELS + 1):
        if type(node) is not dict:
            raise NodeShapeError(f"the node at depth {depth} is not an object")
        try:
            stated, digest = node["depth"], node["sha256"]
        except KeyError:
            _refuse_shape(node, depth)
        if stated != depth or type(stated) is not int:
            raise DepthError(f"the node at depth {depth} does not say so")
        if named is not None and digest != named:
            raise ChildHashError(f"the node at depth {depth} is not the one its parent names")
        if len(node) == _LEAF_MEMBERS:
            root = hex_hash(branch["sha256"], "branch.sha256")  # type: ignore[index] # a dict by now
            return Branch(bytes.fromhex(named or root), bytes.fromhex(root), depth)
        node, named = _expanded_child(node, depth)
    raise TooManyLevelsError(f"the branch has more than {MAX_LEVELS} levels")


def _expanded_child(node: dict[str, object], depth: int) -> tuple[object, str]:
    """Check one inner node against its two children; return the expanded one and its hash."""
    if len(node) != _INNER_MEMBERS or ("left" in node) is ("right" in node):
        _refuse_shape(node, depth)
    try:
        left, right = node["leftSha256"], node["rightSha256"]
    except KeyError:
        _refuse_shape(node, depth)
    if type(left) is not str or type(right) is not str or len(left) != len(right):
        raise HexError(f"the children at depth {depth} are not 64 lower-case hex digits each")
    pair = (left + right).encode("ascii", "replace")
    # Deleting the digits takes a third of what a regular expression does.
    if len(pair) != 4 * _HASH_BYTES or pair.translate(None, _HEX_DIGITS):
        raise HexError(f"the children at depth {depth} are not 64 lower-case hex digits each")
    if sha256(pair).hexdigest() != node["sha256"]:
        raise ParentHashError(f"sha256 at depth {depth} is not the hash of the two children")
    if "left" in node:
        return node["left"], left
    if left == right:
        # The right copy is no node of the tree; a path through it would give one leaf two places.
        raise SelfPairError(f"the self-pair at depth {depth} expands right instead of left")
    return node["right"], right


def _refuse_shape(node: dict[str, object], depth: int) -> NoReturn:
    """Say which rule of the node's shape is broken."""
    unknown = sorted(str(name) for name in node.keys() - _KNOWN)
    if unknown:
        raise NodeShapeError(f"the node at depth {depth} has unknown members: {quoted(unknown[0])}")
    if "left" in node and "right" in node:
        raise BothChildrenError(f"the node at depth {depth} expands both children")
    if node.keys() == _INNER:
        raise NoChildError(f"the node at depth {depth} expands neither child")
    raise NodeShapeError(f"the node at depth {depth} lacks a member")
