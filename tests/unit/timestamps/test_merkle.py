"""A round's tree in tiles: the published vectors, a naive tree beside it, every path verified."""

import json
import random
import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import root_vectors, signer

from proof.timestamps.proofs.service import branch, plain_path
from proof.timestamps.trees.merkle import (
    HASH_BYTES,
    TILE_BYTES,
    PathStep,
    PlainStep,
    RoundTree,
    build,
    plain_tile_path,
    tile_path,
)
from proof.verify import parent, verify_branch
from proof.verify.plain import plain_root, read_plain_path

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle.json").read_text())
BOUNDARIES = [255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 65_535, 65_536, 65_537, 66_000]


def leaves(count: int) -> list[bytes]:
    return sorted(sha256(str(n).encode()).digest() for n in range(count))


def path(tree: RoundTree, index: int) -> list[PathStep]:
    """The steps from leaf `index` to the root, as a proof puts them together from its tiles."""
    steps: list[PathStep] = []
    for level, hashes in enumerate(tree.levels):
        tile_at, position = divmod(index, TILE_BYTES // HASH_BYTES)
        tile = hashes[tile_at * TILE_BYTES : (tile_at + 1) * TILE_BYTES]
        steps += tile_path(tile, position, top=level == len(tree.levels) - 1)
        index = tile_at
    return steps


def plain_steps(tree: RoundTree, index: int) -> list[dict[str, str]]:
    """The steps from leaf `index` to the plain root, as a proof puts them together from its tiles."""
    steps: list[PlainStep] = []
    for level, hashes in enumerate(tree.plain_levels):
        tile_at, position = divmod(index, TILE_BYTES // HASH_BYTES)
        tile = hashes[tile_at * TILE_BYTES : (tile_at + 1) * TILE_BYTES]
        steps += plain_tile_path(tile, position, bottom=level == 0)
        index = tile_at
    return plain_path(steps)


def folded(leaf: bytes, steps: list[PathStep]) -> bytes:
    """The root a path leads to; each step must name the node it comes from."""
    node = leaf
    for step in steps:
        assert node == (step.right if step.from_right else step.left)
        node = parent(step.left, step.right)
    return node


def require_paths(
    tree: RoundTree,
    all_leaves: list[bytes],
    indexes: Iterable[int],
    naive: signer.PlainTrees | None = None,
) -> None:
    """The paths of these leaves lead to the roots. `naive` has the plain tree, among others."""
    naive = naive or signer.PlainTrees(all_leaves)
    for index in indexes:
        steps = path(tree, index)
        assert folded(all_leaves[index], steps) == tree.roots.root
        assert len(steps) == (len(all_leaves) - 1).bit_length()
        plain = plain_steps(tree, index)
        assert plain == naive.path(index, len(all_leaves))
        assert plain_root(all_leaves[index], read_plain_path([plain])) == tree.roots.plain


@pytest.mark.parametrize(
    "vector", VECTORS["built_from_sha256_of_decimal_text"], ids=lambda v: v["n"]
)
def test_published_roots(vector: dict[str, Any]) -> None:
    all_leaves = leaves(vector["n"])
    tree = build(b"".join(all_leaves))
    assert tree.roots.root.hex() == vector["root"]
    assert tree.leaf_count == vector["n"]
    for index in range(vector["n"]):
        assert len(path(tree, index)) == vector["depth"]
    require_paths(tree, all_leaves, range(vector["n"]))


@pytest.mark.parametrize("pair", VECTORS["pairs"], ids=range(len(VECTORS["pairs"])))
def test_published_pairs(pair: dict[str, str]) -> None:
    # Real neighbours need not ascend: order is not build's to check.
    tree = build(bytes.fromhex(pair["left"] + pair["right"]))
    assert tree.roots.root.hex() == pair["parent"]


@pytest.mark.parametrize("vector", VECTORS["proofs"], ids=lambda v: v["chain"])
def test_published_proofs_become_branches_that_verify(vector: dict[str, Any]) -> None:
    node, steps = bytes.fromhex(vector["leaf"]), []
    for step in vector["path_bottom_up"]:
        sibling, on_left = bytes.fromhex(step["sibling"]), step["sibling_side"] == "L"
        steps.append(
            PathStep(*((sibling, node) if on_left else (node, sibling)), from_right=on_left)
        )
        node = parent(steps[-1].left, steps[-1].right)
    verified = verify_branch(branch(bytes.fromhex(vector["leaf"]), steps))
    assert (verified.leaf.hex(), verified.root.hex()) == (vector["leaf"], vector["root"])


def test_around_every_doubling_the_root_is_the_naive_one_and_every_path_leads_to_it() -> None:
    """The published roots are those of every size; here are the paths."""
    ordered = leaves(600)
    named = [leaf.hex() for leaf in ordered]
    plain_trees, pair_hash = signer.PlainTrees(ordered), cache(signer.pair_hash)
    chosen = random.Random(1)
    doublings = {2**power + step for power in range(10) for step in range(-2, 3)}
    for count in sorted({*range(1, 41), *doublings, 600} & set(range(1, 601))):
        tree = build(b"".join(ordered[:count]))
        levels = signer.merkle_levels(named[:count], pair_hash)
        assert tree.roots.root.hex() == levels[-1][0], count
        assert tree.roots.plain == plain_trees.root(count), count
        some = {0, count - 1, count // 2, *(chosen.randrange(count) for _ in range(3))}
        everywhere = range(count) if count <= 40 or count in {256, 257, 513} else some
        require_paths(tree, ordered[:count], everywhere, plain_trees)


def test_around_the_boundaries_of_tiles() -> None:
    ordered = leaves(max(BOUNDARIES))
    named = [leaf.hex() for leaf in ordered]
    plain_trees, pair_hash = signer.PlainTrees(ordered), cache(signer.pair_hash)
    for count in BOUNDARIES:
        tree = build(b"".join(ordered[:count]))
        assert tree.roots.root.hex() == signer.merkle_levels(named[:count], pair_hash)[-1][0], count
        assert tree.roots.plain == plain_trees.root(count), count
        tile_levels = 1 + (count > 256) + (count > 256**2)
        assert len(tree.levels) == len(tree.plain_levels) == tile_levels
        chosen = random.Random(count)
        edges = {0, 1, 254, 255, 256, 257, count - 2, count - 1} & set(range(count))
        picked = edges | {chosen.randrange(count) for _ in range(20)}
        require_paths(tree, ordered[:count], picked, plain_trees)


@pytest.mark.parametrize(
    ("count", "shape"),
    [
        (1, [1]),
        (2, [2]),
        (256, [256]),
        (257, [256, 1, 2]),
        (600, [256, 256, 88, 3]),
        (65_537, [256] * 256 + [1] + [256, 1] + [2]),
    ],
)
def test_tiles_hold_every_eighth_level_once(count: int, shape: list[int]) -> None:
    tree = build(b"".join(leaves(count)))
    tiles = tree.tiles()
    assert [len(tile.hashes) // HASH_BYTES for tile in tiles] == shape
    for number, whole in enumerate(tree.levels):
        assert b"".join(tile.hashes for tile in tiles if tile.level == number) == whole
        # The leaves are the same in both trees and are kept once.
        plain = [tile.plain for tile in tiles if tile.level == number]
        assert b"".join(filter(None, plain)) == (tree.plain_levels[number] if number else b"")
    names = [(tile.level, tile.position) for tile in tiles]
    assert names == sorted(set(names))


@given(st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=70), st.data())
def test_any_leaves(members: set[bytes], data: st.DataObject) -> None:
    all_leaves = sorted(members)
    tree = build(b"".join(all_leaves))
    assert tree.roots.root.hex() == signer.merkle_levels([leaf.hex() for leaf in all_leaves])[-1][0]
    index = data.draw(st.integers(0, len(all_leaves) - 1))
    verified = verify_branch(branch(all_leaves[index], path(tree, index)))
    assert (verified.leaf, verified.root) == (all_leaves[index], tree.roots.root)


@given(
    st.integers(1, 5).flatmap(
        lambda seed: st.tuples(
            st.just(seed),
            st.one_of(st.integers(1, 70), st.integers(200, 300), st.integers(500, 1_100)),
        )
    ),
    st.booleans(),
    st.data(),
)
def test_the_plain_tree_is_the_textbook_one(
    seed_and_count: tuple[int, int], others: bool, data: st.DataObject
) -> None:
    """Whatever stands in the leaves' places, in whatever order: a chain's plain tree does not ascend."""
    seed, count = seed_and_count
    all_leaves = sorted(random.Random(seed).randbytes(32) for _ in range(count))
    plain_leaves = [sha256(leaf).digest() for leaf in all_leaves] if others else all_leaves
    given = b"".join(plain_leaves) if others else None
    tree = build(b"".join(all_leaves), given)
    assert tree.roots == (build(b"".join(all_leaves)).roots.root, signer.plain_root(plain_leaves))
    index = data.draw(st.integers(0, count - 1))
    steps = plain_steps(tree, index)
    assert steps == signer.plain_path(plain_leaves, index)
    assert plain_root(plain_leaves[index], read_plain_path([steps])) == tree.roots.plain


def test_trees_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same number of leaves"):
        build(bytes(64), bytes(32))


def test_the_published_roots_of_every_size() -> None:
    published = json.loads(root_vectors.FILE.read_text())
    hashes = [sha256(str(number).encode()).digest() for number in range(root_vectors.SIZES)]
    rounds = [build(b"".join(sorted(hashes[:count]))).roots for count in range(1, len(hashes) + 1)]
    assert [[root.hex(), plain.hex()] for root, plain in rounds] == published["rounds"]
    for count, expected in enumerate(published["chain_trees"], 1):
        ascending, plain_leaves = root_vectors.chain_leaves([*rounds[:count]])
        roots = build(b"".join(ascending), b"".join(plain_leaves)).roots
        assert [roots.root.hex(), roots.plain.hex()] == expected, count


def test_the_published_check_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of the vectors' page, run as it stands there, for what others would copy."""
    monkeypatch.chdir(root_vectors.FILE.parent)
    (program,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    exec(program, {})  # noqa: S102 - our own page


@pytest.mark.parametrize("count", [2, 3, 5, 11, 300])
def test_a_self_pair_expands_left_and_the_shape_is_the_contracts(count: int) -> None:
    all_leaves = leaves(count)
    tree = build(b"".join(all_leaves))
    for index in {0, count - 1, count // 2}:
        node = branch(all_leaves[index], path(tree, index))
        assert node == signer.branch([leaf.hex() for leaf in all_leaves], index)


def test_the_branch_of_a_lone_leaf_is_the_leaf() -> None:
    assert branch(b"\xab" * 32, []) == {"sha256": "ab" * 32, "depth": 0}


@pytest.mark.parametrize("from_right", [False, True])
def test_a_step_between_equal_nodes_expands_left_whichever_it_names(from_right: bool) -> None:
    leaf = b"\xab" * 32
    node = branch(leaf, [PathStep(leaf, leaf, from_right=from_right)])
    assert node.keys() == {"sha256", "depth", "leftSha256", "rightSha256", "left"}
    assert verify_branch(node).leaf == leaf
