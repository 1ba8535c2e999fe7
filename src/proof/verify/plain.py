"""The plain tree beside the contract's, and the path that leads from a leaf to its root.

    "plainPath": [[{"left": hex} or {"right": hex}, …], …]

A leaf is hashed as SHA-256(00 ‖ leaf), a node as SHA-256(01 ‖ left ‖ right), and a node without a sibling
is carried up as it is. Each inner list holds the siblings of one tree from below, by the side they stand
on; the root of a tree is a leaf of the next.

Source: the timestamp API contract, "Merkle tree" (the plain root); RFC 9162, 2.1.1.
"""

from hashlib import sha256
from typing import Any, Final

from proof.verify.errors import PlainPathError
from proof.verify.merkle import MAX_LEVELS
from proof.verify.strict_json import decode_hashes

MAX_TREES: Final = 4

_SIDES: Final = {"left": True, "right": False}

Sibling = tuple[bool, bytes]
"""One step of a path: whether the sibling stands on the left, and its 32 bytes."""

PlainPath = list[list[Sibling]]


def read_plain_path(value: Any) -> PlainPath:
    """The path as it stands in evidence. Raises PlainPathError, HexError."""
    if type(value) is not list or not 0 < len(value) <= MAX_TREES:
        raise PlainPathError(f"evidence.plainPath is not a list of 1 to {MAX_TREES} lists")
    if not set(map(type, value)) <= {list}:
        raise PlainPathError("evidence.plainPath holds something else than lists")
    steps = [step for tree in value for step in tree]
    if len(steps) > MAX_LEVELS:
        raise PlainPathError(f"evidence.plainPath has more than {MAX_LEVELS} levels")
    try:
        pairs = [_only_member(step) for step in steps]
        sides = [_SIDES[side] for side, _ in pairs]
    except (AttributeError, KeyError, ValueError):
        raise PlainPathError(
            "a step of evidence.plainPath is no object with either left or right"
        ) from None
    hashes = decode_hashes([digits for _, digits in pairs], "evidence.plainPath")
    siblings = iter(zip(sides, hashes, strict=True))
    return [[next(siblings) for _ in tree] for tree in value]


def plain_root(leaf: bytes, path: PlainPath) -> bytes:
    """The 32-byte root that a path leads to from a 32-byte leaf; the caller compares it."""
    node = leaf
    for tree in path:
        node = sha256(b"\x00" + node).digest()
        for on_left, sibling in tree:
            pair = sibling + node if on_left else node + sibling
            node = sha256(b"\x01" + pair).digest()
    return node


def _only_member(step: dict[str, Any]) -> tuple[str, Any]:
    ((side, digits),) = step.items()
    return side, digits
