"""The log's tree in tiles, against the recursions of RFC 6962 and our own verifier."""

import random
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import signer

from proof.timestamps.anchors.log.tree import (
    NodeReader,
    TileName,
    append,
    consistency_path,
    edge,
    inclusion_path,
    reader,
    root,
    tiles_read,
)
from proof.verify import root_from_inclusion, verify_consistency
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT, leaf_hash

SMALL = 80


@cache
def hashes(count: int) -> list[bytes]:
    return [leaf_hash(sha256(b"%d" % n).digest()) for n in range(count)]


@cache
def tiles_of(count: int) -> dict[TileName, bytes]:
    return append(0, {}, hashes(count))


def grown(batches: list[int]) -> dict[TileName, bytes]:
    """Tiles after appending batch by batch, each seeing only the tiles its edge names."""
    stored: dict[TileName, bytes] = {}
    size = 0
    for batch in batches:
        seen = {name: stored[name] for name in edge(size)}
        changed = append(size, seen, hashes(sum(batches))[size : size + batch])
        for name, value in changed.items():
            assert value.startswith(stored.get(name, b"")), "a tile only grows"
        stored |= changed
        size += batch
    return stored


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_batches_give_the_same_tiles_and_the_naive_root(batches: list[int]) -> None:
    size = sum(batches)
    stored = grown(batches)
    assert stored == tiles_of(size)
    assert root(size, reader(stored)) == signer.log_root(hashes(size))


def test_one_by_one_every_root_is_the_naive_one() -> None:
    stored: dict[TileName, bytes] = {}
    for size in range(600):
        assert root(size, reader(stored)) == signer.log_root(hashes(size)), size
        seen = {name: stored[name] for name in edge(size)}
        stored |= append(size, seen, [hashes(600)[size]])


def test_appending_nothing_changes_nothing() -> None:
    assert append(300, tiles_of(300), []) == {}


def test_the_empty_log_has_the_root_of_nothing() -> None:
    assert root(0, reader({})) == EMPTY_ROOT == sha256(b"").digest()


def test_every_inclusion_up_to_eighty() -> None:
    node = reader(tiles_of(SMALL))
    for size in range(1, SMALL + 1):
        expected = signer.log_root(hashes(size))
        for index in range(size):
            path = inclusion_path(index, size, node)
            assert root_from_inclusion(index, size, hashes(size)[index], path) == expected


def test_every_consistency_up_to_eighty() -> None:
    node = reader(tiles_of(SMALL))
    roots = [signer.log_root(hashes(size)) for size in range(SMALL + 1)]
    for new in range(1, SMALL + 1):
        for old in range(new + 1):
            verify_consistency(old, roots[old], new, roots[new], consistency_path(old, new, node))


@pytest.mark.parametrize(
    "size", [255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 70_001]
)
def test_around_the_boundaries_of_tiles(size: int) -> None:
    stored = {name: value for name, value in tiles_of(70_001).items() if _is_below(name, size)}
    node, chosen = reader(stored), random.Random(size)
    top = root(size, node)
    if size <= 1000:
        assert top == signer.log_root(hashes(size))
    edges = {0, 1, 255, 256, 257, 65_535, 65_536, size - 2, size - 1}
    some = {index for index in edges if index < size} | {chosen.randrange(size) for _ in range(15)}
    for index in some:
        path = inclusion_path(index, size, node)
        assert root_from_inclusion(index, size, hashes(70_001)[index], path) == top
    for old in some - {0}:
        path = consistency_path(old, size, node)
        verify_consistency(old, root(old, node), size, top, path)


def _is_below(name: TileName, size: int) -> bool:
    return name.position << 8 * (name.level + 1) < size


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(0, 70_000))
def test_the_tiles_named_are_exactly_those_read(number: int, two: int, index: int) -> None:
    old, size = sorted((number, two))
    stored = tiles_of(70_001)
    walks: list[Callable[[NodeReader], object]] = [
        lambda node: root(size, node),
        lambda node: inclusion_path(index % size, size, node),
        lambda node: consistency_path(old, size, node),
    ]
    for walk in walks:
        names = tiles_read(walk)
        assert walk(reader({name: stored[name] for name in names})) == walk(reader(stored))
        for name in names:
            with pytest.raises(KeyError):
                walk(reader({other: stored[other] for other in names - {name}}))


def test_a_proof_from_a_large_log_reads_few_tiles() -> None:
    names = tiles_read(lambda node: inclusion_path(40_000, 70_001, node))
    assert len(names) <= 6


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 2**24])
def test_the_edge_is_the_unfinished_tile_of_each_level(size: int) -> None:
    expected, width, level = [], size, 0
    while width:
        if width % 256:
            expected.append((level, width // 256))
        width, level = width // 256, level + 1
    assert edge(size) == expected


def test_older_roots_stay_readable_as_the_log_grows() -> None:
    sizes = [1, 2, 3, 200, 256, 300, 511, 700]
    node = reader(tiles_of(700))
    for old, new in pairwise(sizes):
        path = consistency_path(old, new, node)
        verify_consistency(old, signer.log_root(hashes(old)), new, root(new, node), path)
