"""Rounds become trees: all leaves, once, provable; empty ones leave nothing."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from tests.support import signer
from tests.support.application import Platform
from tests.support.partners import execute, owner_of

from proof.partners.types import PartnerEnvironment
from proof.timestamps.proofs.service import branch, plain_path
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.trees import queries
from proof.timestamps.trees.sealing import LeafMissingError, close_due, paths, seal_next
from proof.verify import verify_branch
from proof.verify.plain import plain_root, read_plain_path


def digests(count: int, label: str = "") -> list[bytes]:
    return [sha256(f"{label} {n}".encode()).digest() for n in range(count)]


async def filled(platform: Platform, hashes: list[bytes]) -> tuple[PartnerEnvironment, int]:
    """A newcomer's open round with these hashes."""
    owner = await owner_of(platform.database, await platform.onboard())
    committer = Committer(platform.database)
    committer.start()
    done = await committer.commit(owner.id, owner.environment, hashes)
    await committer.close()
    return owner, done.round.id


async def row_of(platform: Platform, round_id: int) -> Any:
    rows = await platform.fetch("SELECT * FROM rounds WHERE id = $1", round_id)
    return rows[0] if rows else None


@pytest.mark.parametrize("count", [1, 2, 254, 255, 256, 257, 3000])
async def test_every_leaf_of_a_sealed_round_is_provable(platform: Platform, count: int) -> None:
    hashes = digests(count, "leaf")
    _, round_id = await filled(platform, hashes)
    await platform.seal()
    row = await row_of(platform, round_id)
    leaves = sorted([*hashes, row["blinding"]])
    assert row["leaf_count"] == count + 1
    assert row["root"].hex() == signer.merkle_levels([leaf.hex() for leaf in leaves])[-1][0]
    assert row["plain_root"] == signer.plain_root(leaves)
    async with platform.database.connection() as connection:
        for leaf in {leaves[0], leaves[-1], row["blinding"], *hashes[:: count // 15 + 1]}:
            found = (await paths(connection, "round", [(round_id, leaf)]))[round_id, leaf]
            verified = verify_branch(branch(leaf, found.steps))
            assert (verified.leaf, verified.root) == (leaf, row["root"])
            above = read_plain_path([plain_path(found.plain)])
            assert plain_root(leaf, above) == row["plain_root"]
        for stranger in (b"\x00" * 32, b"\xff" * 32, sha256(b"stranger").digest()):
            with pytest.raises(LeafMissingError, match=stranger.hex()):
                await paths(connection, "round", [(round_id, stranger)])


async def test_only_rounds_old_enough_are_closed(platform: Platform) -> None:
    _, round_id = await filled(platform, digests(1, "young"))
    await close_due(platform.database, 60)
    assert (await row_of(platform, round_id))["closed_at"] is None
    await execute(
        platform.database,
        "UPDATE rounds SET opened_at = opened_at - interval '61 s' WHERE id = $1",
        round_id,
    )
    await close_due(platform.database, 60)
    assert (await row_of(platform, round_id))["closed_at"] is not None
    assert await seal_next(platform.database)
    assert not await seal_next(platform.database)


async def test_an_empty_round_and_its_tree_are_discarded(platform: Platform) -> None:
    owner = await owner_of(platform.database, await platform.onboard())
    committer = Committer(platform.database)
    committer.start()
    first = await committer.commit(owner.id, owner.environment, digests(2, "known"))
    await platform.seal()
    second = await committer.commit(owner.id, owner.environment, digests(2, "known"))
    assert second.round.id != first.round.id
    await platform.seal()
    assert await row_of(platform, second.round.id) is None
    for tree in second.round.trees:
        assert not await platform.fetch("SELECT FROM trees WHERE id = $1", tree.tree_id)
    assert not await platform.fetch("SELECT FROM round_trees WHERE round_id = $1", second.round.id)
    assert (await row_of(platform, first.round.id))["sealed_at"] is not None
    # The process that had it open only finds it gone.
    third = await committer.commit(owner.id, owner.environment, digests(1, "fresh"))
    await committer.close()
    assert third.round.id not in {first.round.id, second.round.id}
    assert third.known == frozenset()
    await platform.seal()


async def test_two_sealers_at_once_share_the_rounds(platform: Platform) -> None:
    rounds = [(await filled(platform, digests(40, f"shared {n}")))[1] for n in range(8)]
    await close_due(platform.database, 0)

    async def sealer() -> int:
        count = 0
        while await seal_next(platform.database):
            count += 1
        return count

    counts = await asyncio.gather(*(sealer() for _ in range(3)))
    assert sum(counts) == 8
    for round_id in rounds:
        assert (await row_of(platform, round_id))["leaf_count"] == 41
    assert await sealer() == 0


async def test_whoever_adds_to_a_round_is_not_waited_for(platform: Platform) -> None:
    _, round_id = await filled(platform, digests(1, "busy"))
    async with platform.database.transaction() as tx:
        await tx.fetch("SELECT FROM rounds WHERE id = $1 FOR SHARE", round_id)
        async with asyncio.timeout(120):
            await close_due(platform.database, 0)
        assert (await row_of(platform, round_id))["closed_at"] is None
    await close_due(platform.database, 0)
    assert (await row_of(platform, round_id))["closed_at"] is not None
    await platform.seal()


async def test_stopped_before_the_commit_nothing_of_the_tree_exists(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = queries.store_tree

    async def killed(*arguments: Any) -> None:
        await real(*arguments)
        raise RuntimeError("killed")

    _, round_id = await filled(platform, digests(3, "stopped"))
    await close_due(platform.database, 0)
    with monkeypatch.context() as patch:
        patch.setattr(queries, "store_tree", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await seal_next(platform.database)
    row = await row_of(platform, round_id)
    assert (row["closed_at"] is not None, row["sealed_at"]) == (True, None)
    assert not await platform.fetch("SELECT FROM round_tiles WHERE round_id = $1", round_id)
    assert await seal_next(platform.database)
    assert (await row_of(platform, round_id))["leaf_count"] == 4
