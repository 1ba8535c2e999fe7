"""The contract's Merkle tree: published vectors, real branches, and every refusal of a branch."""

import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import signer

from proof.verify import RefusedError, errors, parent, verify_branch

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle.json").read_text())
SEED = json.loads((Path(__file__).parents[2] / "vectors" / "seed_proof.json").read_text())


def leaves(count: int) -> list[str]:
    return sorted(sha256(str(n).encode()).hexdigest() for n in range(count))


def branch_from_path(vector: dict[str, Any]) -> dict[str, Any]:
    """A nested branch from a leaf and its siblings, bottom up."""
    current, depth = vector["leaf"], vector["depth"]
    node = {"sha256": current, "depth": depth}
    for step in vector["path_bottom_up"]:
        depth -= 1
        on_left = step["sibling_side"] == "L"
        pair = (step["sibling"], current) if on_left else (current, step["sibling"])
        current = sha256("".join(pair).encode()).hexdigest()
        side = "right" if on_left else "left"
        node = {
            "sha256": current,
            "depth": depth,
            "leftSha256": pair[0],
            "rightSha256": pair[1],
            side: node,
        }
    return node


def deep_branch(levels: int) -> dict[str, Any]:
    path = [{"sibling_side": "L", "sibling": "ab" * 32}] * levels
    return branch_from_path({"leaf": "cd" * 32, "depth": levels, "path_bottom_up": path})


@pytest.mark.parametrize("pair", VECTORS["pairs"])
def test_parent_matches_real_nodes(pair: dict[str, str]) -> None:
    left, right = bytes.fromhex(pair["left"]), bytes.fromhex(pair["right"])
    assert parent(left, right).hex() == pair["parent"]


@pytest.mark.parametrize("lengths", [(31, 32), (32, 33), (0, 0)])
def test_parent_takes_32_bytes_only(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        parent(bytes(lengths[0]), bytes(lengths[1]))


@pytest.mark.parametrize("vector", VECTORS["proofs"], ids=lambda v: v["chain"])
def test_real_proofs(vector: dict[str, Any]) -> None:
    branch = verify_branch(branch_from_path(vector))
    assert vector["valid"]
    assert (branch.leaf.hex(), branch.root.hex()) == (vector["leaf"], vector["root"])
    assert branch.levels == vector["depth"]


@pytest.mark.parametrize("vector", VECTORS["built_from_sha256_of_decimal_text"])
def test_every_leaf_of_built_trees(vector: dict[str, Any]) -> None:
    all_leaves = leaves(vector["n"])
    for index, leaf in enumerate(all_leaves):
        branch = verify_branch(signer.branch(all_leaves, index))
        assert (branch.leaf.hex(), branch.root.hex()) == (leaf, vector["root"])
        assert branch.levels == vector["depth"]


def test_self_pair_expanding_left_is_valid() -> None:
    branch = signer.branch(leaves(3), 2)
    below = branch["right"]
    assert below["leftSha256"] == below["rightSha256"]
    assert "left" in below
    assert verify_branch(branch).leaf.hex() == leaves(3)[2]


def test_lone_leaf_is_its_own_root() -> None:
    branch = verify_branch({"sha256": "ab" * 32, "depth": 0})
    assert branch.leaf == branch.root == bytes.fromhex("ab" * 32)
    assert branch.levels == 0


def test_inner_node_as_leaf_is_valid_and_named() -> None:
    branch = signer.branch(leaves(4), 1)
    inner = branch["left"]
    branch["left"] = {"sha256": inner["sha256"], "depth": 1}
    established = verify_branch(branch)
    assert established.leaf.hex() == inner["sha256"]
    assert established.levels == 1


def test_self_pair_expanding_right_gives_a_leaf_two_places() -> None:
    branch = signer.branch(leaves(3), 2)
    branch["right"]["right"] = branch["right"].pop("left")
    with pytest.raises(errors.SelfPairError):
        verify_branch(branch)


def test_64_levels_are_accepted_and_65_refused() -> None:
    assert verify_branch(deep_branch(64)).levels == 64
    with pytest.raises(errors.TooManyLevelsError):
        verify_branch(deep_branch(65))


def test_ten_thousand_levels_do_not_exhaust_the_stack() -> None:
    with pytest.raises(errors.TooManyLevelsError):
        verify_branch(deep_branch(10_000))


def move_boundary(branch: dict[str, Any]) -> None:
    """The same 128 characters, so the same parent, between other children, one of them expanded."""
    left, right = branch["leftSha256"], branch["rightSha256"]
    branch.update(leftSha256=left + right[:2], rightSha256=right[2:])
    branch["left"]["sha256"] = branch["leftSha256"]


FORGERIES: dict[str, tuple[type[RefusedError], Any]] = {
    "not an object": (errors.NodeShapeError, lambda b: b.update(left=[])),
    "null child": (errors.NodeShapeError, lambda b: b.update(left=None)),
    "unknown member in an inner node": (errors.NodeShapeError, lambda b: b.update(note="x")),
    "unknown member in the leaf": (
        errors.NodeShapeError,
        lambda b: b["left"]["right"].update(note="x"),
    ),
    "leaf without hash": (errors.NodeShapeError, lambda b: b["left"]["right"].pop("sha256")),
    "node without depth": (errors.NodeShapeError, lambda b: b.pop("depth")),
    "both children": (errors.BothChildrenError, lambda b: b.update(right=b["left"])),
    "no child": (errors.NoChildError, lambda b: b.pop("left")),
    "child without its hash": (errors.NodeShapeError, lambda b: b.pop("leftSha256")),
    "depth from 1": (errors.DepthError, lambda b: b.update(depth=1)),
    "depth skips": (errors.DepthError, lambda b: b["left"].update(depth=2)),
    "depth as true": (errors.DepthError, lambda b: b["left"].update(depth=True)),
    "depth as float": (errors.DepthError, lambda b: b["left"].update(depth=1.0)),
    "upper case child": (
        errors.HexError,
        lambda b: b.update(rightSha256=b["rightSha256"].upper()),
    ),
    "hash as number": (errors.HexError, lambda b: b.update(rightSha256=7)),
    "hash with a space": (errors.HexError, lambda b: b.update(rightSha256=" " * 64)),
    "hash with a lone surrogate": (errors.HexError, lambda b: b.update(rightSha256="\ud800" * 64)),
    "boundary moved between the children": (errors.HexError, move_boundary),
    "upper case root": (errors.ParentHashError, lambda b: b.update(sha256=b["sha256"].upper())),
    "another child": (errors.ChildHashError, lambda b: b["left"].update(sha256="0" * 64)),
    "another leaf": (errors.ChildHashError, lambda b: b["left"]["right"].update(sha256="0" * 64)),
    "another sibling": (errors.ParentHashError, lambda b: b.update(rightSha256="0" * 64)),
    "children swapped": (
        errors.ChildHashError,
        lambda b: b.update(leftSha256=b["rightSha256"], rightSha256=b["leftSha256"]),
    ),
    "sibling expanded instead": (errors.ChildHashError, lambda b: b.update(right=b.pop("left"))),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_branch_is_refused(attack: str) -> None:
    expected, forge = FORGERIES[attack]
    branch = copy.deepcopy(SEED["branch"])
    forge(branch)
    with pytest.raises(expected):
        verify_branch(branch)


@pytest.mark.parametrize("value", [None, [], "x", 3, {}, {"sha256": "ab" * 32}])
def test_what_is_no_node_is_refused(value: object) -> None:
    with pytest.raises(errors.NodeShapeError):
        verify_branch(value)


@pytest.mark.parametrize("digest", ["AB" * 32, "ab" * 31, "ab" * 33, "gg" * 32, 7, None, "٣" * 64])
def test_lone_leaf_must_be_lower_hex(digest: object) -> None:
    with pytest.raises(errors.HexError):
        verify_branch({"sha256": digest, "depth": 0})


def test_other_node_rules_are_refused() -> None:
    left, right = b"\xab" * 32, b"\xcd" * 32
    wrong = {
        "raw bytes": sha256(left + right).hexdigest(),
        "double": sha256(sha256((left.hex() + right.hex()).encode()).digest()).hexdigest(),
        "upper case": sha256((left.hex() + right.hex()).upper().encode()).hexdigest(),
        "swapped": sha256((right.hex() + left.hex()).encode()).hexdigest(),
    }
    for root in wrong.values():
        node = {
            "sha256": root,
            "depth": 0,
            "leftSha256": left.hex(),
            "rightSha256": right.hex(),
            "left": {"sha256": left.hex(), "depth": 1},
        }
        with pytest.raises(errors.ParentHashError):
            verify_branch(node)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_every_leaf_of_any_tree_verifies(shape: tuple[int, int]) -> None:
    count, index = shape
    all_leaves = leaves(count)
    branch = verify_branch(signer.branch(all_leaves, index))
    assert branch.leaf.hex() == all_leaves[index]
    assert branch.root.hex() == signer.merkle_levels(all_leaves)[-1][0]
