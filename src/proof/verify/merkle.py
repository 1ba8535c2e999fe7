"""The Merkle tree of the timestamp contract, and the branch that leads from a root to a leaf.

A leaf is a submitted SHA-256, not hashed again. A parent is the SHA-256 of 128 ASCII bytes: the
lower-case hex of its left child, then of its right one. The last node of an odd level is paired
with itself.

Source: the timestamp API contract, "Merkle tree" and "POST /v1/proof" (the shape of `Node`).
"""

from dataclasses import dataclass
from hashlib import sha256
from operator import eq
from typing import Final, NoReturn

from proof.verify.errors import (
    BothChildrenError,
    ChildHashError,
    DepthError,
    NoChildError,
    NodeShapeError,
    ParentHashError,
    SelfPairError,
    TooManyLevelsError,
    quoted,
)
from proof.verify.strict_json import join_hashes

MAX_LEVELS: Final = 64

_INNER: Final = frozenset({"sha256", "depth", "leftSha256", "rightSha256"})
_KNOWN: Final = _INNER | {"left", "right"}
_LEAF_MEMBERS: Final = 2
_INNER_MEMBERS: Final = 5
_HASH_BYTES: Final = 32
_PAIR_DIGITS: Final = 2 * 2 * _HASH_BYTES


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


def verify_branch(branch: object) -> Branch:
    """Recompute every hash of a parsed branch, from its root down to its leaf.

    `branch` is the parsed `Node` of the contract: every node on the path carries both child hashes
    and expands the one child on the path; the leaf carries `sha256` and `depth` alone. A lone leaf
    is its own root. Raises a subclass of RefusedError for each malformation.

    Not checked: which leaf or root this is; the caller compares them.
    """
    digests, hashes = _walk(branch)
    _check_parents(digests, hashes)
    return Branch(bytes.fromhex(digests[-1]), bytes.fromhex(digests[0]), len(digests) - 1)


def _walk(branch: object) -> tuple[list[str], list[object]]:
    """Check each node's shape and depth, and that it says of itself what its parent says of it.

    Returns what the nodes say of themselves, root first, and, still unchecked, the children that each
    inner node names, left before right, with the leaf's own hash after them.
    """
    node, named = branch, None
    digests: list[str] = []
    hashes: list[object] = []
    for depth in range(MAX_LEVELS + 1):
        if type(node) is not dict:
            raise NodeShapeError(f"the node at depth {depth} is not an object")
        try:
            stated, digest = node["depth"], node["sha256"]
            if stated != depth or type(stated) is not int:
                raise DepthError(f"the node at depth {depth} does not say so")
            if depth and digest != named:
                raise ChildHashError(f"the node at depth {depth} is not the one its parent names")
            digests.append(digest)
            if len(node) == _LEAF_MEMBERS:
                hashes.append(digest)
                return digests, hashes
            left, right = node["leftSha256"], node["rightSha256"]
            if len(node) != _INNER_MEMBERS:
                _refuse_shape(node, depth)
            if "left" in node:
                node, named = node["left"], left
            elif left != right:
                node, named = node["right"], right
            else:
                _refuse_self_pair(depth)
        except KeyError:
            _refuse_shape(node, depth)
        hashes.append(left)
        hashes.append(right)
    raise TooManyLevelsError(f"the branch has more than {MAX_LEVELS} levels")


def _check_parents(digests: list[str], hashes: list[object]) -> None:
    """Check the hashes, and that each inner node's digest is that of its two children."""
    text = join_hashes(hashes, lambda at: f"a hash in the node at depth {at // 2}")
    pairs = [text[at : at + _PAIR_DIGITS] for at in range(0, len(text), _PAIR_DIGITS)]
    parents = [sha256(pair).hexdigest() for pair in pairs[:-1]]  # the last one is the leaf alone
    if parents != digests[:-1]:
        depth = [*map(eq, parents, digests)].index(False)
        raise ParentHashError(f"sha256 at depth {depth} is not the hash of the two children")


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


def _refuse_self_pair(depth: int) -> NoReturn:
    # The right copy is no node of the tree; a path through it would give one leaf two places.
    raise SelfPairError(f"the self-pair at depth {depth} expands right instead of left")
