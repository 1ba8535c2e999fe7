"""The plain tree: paths that lead to its root, and what is offered in the place of one."""

import copy
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.signer import merkle_levels, plain_path, plain_root

from proof.verify import plain
from proof.verify.errors import HexError, PlainPathError, RefusedError
from proof.verify.merkle import MAX_LEVELS

LEAVES = sorted(sha256(str(n).encode()).digest() for n in range(7))
INDEX = 2
ROUND_ROOT = plain_root(LEAVES)
CONTRACT_ROOT = bytes.fromhex(merkle_levels([leaf.hex() for leaf in LEAVES])[-1][0])
ABOVE = [sha256(b"another round").digest(), ROUND_ROOT, sha256(b"a checkpoint").digest()]
ROOT = plain_root(ABOVE)
PATH = [plain_path(LEAVES, INDEX), plain_path(ABOVE, 1)]


def led(leaf: bytes, path: Any) -> bytes:
    return plain.plain_root(leaf, plain.read_plain_path(path))


def inner(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def test_every_leaf_of_every_size_leads_to_the_root() -> None:
    for count in range(1, 40):
        leaves = LEAVES[:1] + [sha256(bytes([n])).digest() for n in range(count - 1)]
        for index, leaf in enumerate(leaves):
            assert led(leaf, [plain_path(leaves, index)]) == plain_root(leaves)


def test_a_round_in_a_chains_tree_leads_to_that_trees_root() -> None:
    assert led(LEAVES[INDEX], PATH) == ROOT
    assert led(ROUND_ROOT, PATH[1:]) == ROOT


def hashed(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


# What is offered as a leaf, and the path it comes with; each is right in some other tree.
FORGERIES: dict[str, tuple[bytes, Any]] = {
    "an inner node as a leaf": (
        inner(hashed(LEAVES[2]), hashed(LEAVES[3])),
        [PATH[0][1:], PATH[1]],
    ),
    "a hashed leaf as a leaf": (hashed(LEAVES[INDEX]), PATH),
    "a leaf as an inner node": (LEAVES[INDEX], [[{"right": hashed(LEAVES[3]).hex()}], *PATH]),
    "an inner node of the contract's tree as a leaf": (
        bytes.fromhex(merkle_levels([leaf.hex() for leaf in LEAVES])[1][INDEX // 2]),
        [PATH[0][1:], PATH[1]],
    ),
    "the plain root of a round as a node above it": (ROUND_ROOT, [PATH[1][:1], PATH[1][1:]]),
    "another leaf": (LEAVES[3], PATH),
    "the contract's root as a leaf of the plain tree": (CONTRACT_ROOT, PATH[1:]),
    "the round's path alone": (LEAVES[INDEX], PATH[:1]),
    "both paths as those of one tree": (LEAVES[INDEX], [PATH[0] + PATH[1]]),
    "the trees in the other order": (LEAVES[INDEX], PATH[::-1]),
    "a sibling on the other side": (
        LEAVES[INDEX],
        [[{"left": PATH[0][0]["right"]}, *PATH[0][1:]], PATH[1]],
    ),
    "a step left out": (LEAVES[INDEX], [PATH[0][1:], PATH[1]]),
    "the last node paired with itself": (
        LEAVES[6],
        [[{"right": hashed(LEAVES[6]).hex()}, *plain_path(LEAVES, 6)], PATH[1]],
    ),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_what_is_forged_leads_elsewhere(attack: str) -> None:
    assert led(*FORGERIES[attack]) != ROOT


HASH = "00" * 32
MALFORMED: dict[str, tuple[type[RefusedError], Any]] = {
    "nothing": (PlainPathError, None),
    "no tree": (PlainPathError, []),
    "an object": (PlainPathError, {"right": HASH}),
    "steps without a tree": (PlainPathError, [{"right": HASH}]),
    "a text for a tree": (PlainPathError, ["right"]),
    "five trees": (PlainPathError, [[]] * (plain.MAX_TREES + 1)),
    "too many levels": (PlainPathError, [[{"right": HASH}] * 33, [{"right": HASH}] * 32]),
    "both sides": (PlainPathError, [[{"left": HASH, "right": HASH}]]),
    "neither side": (PlainPathError, [[{}]]),
    "a third side": (PlainPathError, [[{"above": HASH}]]),
    "a step that is text": (PlainPathError, [[HASH]]),
    "a number": (HexError, [[{"left": 7}]]),
    "a short hash": (HexError, [[{"left": HASH[2:]}]]),
    "upper case": (HexError, [[{"left": "AB" * 32}]]),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_paths_are_refused(fault: str) -> None:
    expected, path = MALFORMED[fault]
    with pytest.raises(expected):
        plain.read_plain_path(path)


def test_as_many_trees_and_levels_as_are_allowed() -> None:
    path = [[{"right": HASH}] * (MAX_LEVELS // plain.MAX_TREES)] * plain.MAX_TREES
    assert sum(map(len, plain.read_plain_path(path))) == MAX_LEVELS


@given(st.integers(0, 1), st.data())
def test_any_altered_bit_leads_elsewhere(tree: int, data: st.DataObject) -> None:
    path = copy.deepcopy(PATH)
    step = path[tree][data.draw(st.integers(0, len(path[tree]) - 1))]
    ((side, text),) = step.items()
    bit = data.draw(st.integers(0, 255))
    step[side] = (int(text, 16) ^ (1 << bit)).to_bytes(32, "big").hex()
    assert led(LEAVES[INDEX], path) != ROOT
