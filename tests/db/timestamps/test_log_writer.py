"""The log's one writer: grows, signs, and refuses to sign a second history."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from tests.support import signer
from tests.support.application import Platform, Stage
from tests.support.partners import execute, issued, tamper
from tests.support.pipeline import key_lines

from proof.partners.types import Environment
from proof.timestamps.anchors.log.mark import LogRolledBackError, MarkUnwritableError
from proof.timestamps.anchors.log.service import ClockBehindError, ensure_log
from proof.verify import parse_verifier_key, verify_checkpoint
from proof.verify.evidence.log.rfc6962 import leaf_hash

PRODUCTION = Environment.PRODUCTION


@dataclass
class SetClock:
    moment: datetime

    def now(self) -> datetime:
        return self.moment


def entry_of(root: bytes) -> bytes:
    """The entry of a round of `sealed_rounds`."""
    return root + sha256(root).digest()


async def sealed_rounds(platform: Platform, count: int, label: str = "") -> list[bytes]:
    """Sealed rounds waiting for the log; their roots in the order they go in."""
    roots = [sha256(f"{label} {n}".encode()).digest() for n in range(count)]
    for root in roots:
        await execute(
            platform.database,
            "INSERT INTO rounds (partner_environment_id, environment, blinding, closed_at,"
            " sealed_at, leaf_count, root, plain_root)"
            " VALUES (1, 'production', $1, now(), now(), 2, $1, sha256($1))",
            root,
        )
    return roots


async def checkpoints(platform: Platform) -> list[Any]:
    async with platform.database.connection() as connection:
        keys = list(map(parse_verifier_key, await key_lines(connection)))
    rows = await platform.fetch(
        "SELECT size, note FROM log_checkpoints JOIN logs ON logs.id = log_id"
        " WHERE environment = 'production' ORDER BY size"
    )
    found = [verify_checkpoint(row["note"].encode(), keys) for row in rows]
    assert [checkpoint.size for checkpoint in found] == [row["size"] for row in rows]
    assert all(
        checkpoint.log_key is not None and checkpoint.cosigned_time_s for checkpoint in found
    )
    return found


def test_grows_and_signs_what_is_committed(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        writer = platform.writers[PRODUCTION]
        hashes: list[bytes] = []
        assert await writer.append() == 0
        assert not await writer.publish()
        for count in (1, 4, 255, 3):
            roots = await sealed_rounds(platform, count, f"of {count}")
            hashes += [leaf_hash(entry_of(root)) for root in roots]
            assert await writer.append() == count
            assert await writer.publish()
            assert not await writer.publish()
            newest = (await checkpoints(platform))[-1]
            assert (newest.size, newest.root) == (len(hashes), signer.log_root(hashes))
            assert newest.origin == "proof.example/production"

    alone.run(scene())


def test_the_time_signed_is_the_clocks_and_the_trees_is_when_that_second_ends(
    alone: Stage,
) -> None:
    platform = alone.platform
    clock = SetClock(datetime(2026, 11, 21, 12, 0, 0, 999_999, tzinfo=UTC))

    async def scene() -> None:
        token = issued(await platform.onboard()).api_key
        body = {"sha256": ["ab" * 32]}
        tree = (await platform.call("POST", "/v1/timestamp", body, token=token)).json["trees"][0]
        platform.writers[PRODUCTION] = platform.writer(PRODUCTION, clock)
        await platform.seal()
        (only,) = await checkpoints(platform)
        assert only.cosigned_time_s == int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
        answer = await platform.call("GET", f"/v1/tree/{tree['treeId']}", token=token)
        assert answer.json["timestamp"] == (only.cosigned_time_s + 1) * 1000
        assert answer.json["transaction"] == "0"

    alone.run(scene())


def test_two_writers_at_once_make_one_log(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        roots = await sealed_rounds(platform, 300)
        item, two = platform.writer(PRODUCTION), platform.writer(PRODUCTION)
        appended = await asyncio.gather(item.append(), two.append(), item.append())
        assert sorted(appended) == [0, 0, 300]
        assert sorted(await asyncio.gather(item.publish(), two.publish())) == [False, True]
        roots += await sealed_rounds(platform, 20, "later")
        await asyncio.gather(two.append(), item.append())
        await asyncio.gather(two.publish(), item.publish())
        rows = await platform.fetch("SELECT root FROM log_entries ORDER BY position")
        assert [row["root"] for row in rows] == roots
        assert [found.size for found in await checkpoints(platform)] == [300, 320]

    alone.run(scene())


async def roll_back(platform: Platform, size: int) -> None:
    """The database as an older backup has it; the mark is not in it."""
    await tamper(
        platform.database,
        f"DELETE FROM log_checkpoints WHERE size > {size}",
        "DELETE FROM log_entries",
        "DELETE FROM log_tiles",
    )
    await execute(platform.database, "UPDATE log_heads SET size = 0, root = sha256('')")
    await execute(platform.database, "UPDATE rounds SET logged = false WHERE id <= $1", size)
    await execute(platform.database, "DELETE FROM rounds WHERE id > $1", size)
    await platform.writers[PRODUCTION].append()


def test_a_restored_backup_signs_nothing_and_says_why(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        writer = platform.writers[PRODUCTION]
        await sealed_rounds(platform, 10)
        await writer.append()
        await writer.publish()
        await roll_back(platform, 6)
        await tamper(platform.database, "DELETE FROM log_checkpoints")
        with pytest.raises(LogRolledBackError) as caught:
            await platform.writer(PRODUCTION).publish()
        assert "holds 6 entries, but 10 were signed" in caught.value.message
        assert "production-log.json" in caught.value.message
        assert "Restore the newest backup" in caught.value.message
        # Grown past the mark with other entries, it is still another history.
        await sealed_rounds(platform, 7, "another history")
        await writer.append()
        with pytest.raises(LogRolledBackError, match="are not those that were signed"):
            await writer.publish()
        assert await checkpoints(platform) == []

    alone.run(scene())


def test_stopped_after_the_mark_the_same_size_is_signed_again(
    alone: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = alone.platform

    async def scene() -> None:
        writer = platform.writers[PRODUCTION]
        roots = await sealed_rounds(platform, 5)
        await writer.append()

        async def killed(*_: Any) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(writer, "_announce", killed)
            with pytest.raises(RuntimeError, match="killed"):
                await writer.publish()
        assert await checkpoints(platform) == []
        mark = json.loads((platform.folder / "production-log.json").read_text())
        assert mark["size"] == 5
        assert await platform.writer(PRODUCTION).publish()
        (only,) = await checkpoints(platform)
        assert only.root == signer.log_root([leaf_hash(entry_of(root)) for root in roots])

    alone.run(scene())


def test_without_a_mark_nothing_is_signed(alone: Stage) -> None:
    platform = alone.platform

    async def scene() -> None:
        await sealed_rounds(platform, 2)
        writer = platform.writers[PRODUCTION]
        await writer.append()
        partial = platform.folder / "production-log.partial"
        partial.mkdir()
        with pytest.raises(MarkUnwritableError):
            await writer.publish()
        assert await checkpoints(platform) == []
        partial.rmdir()
        assert await writer.publish()

    alone.run(scene())


def test_a_clock_that_went_back_signs_nothing(alone: Stage) -> None:
    platform = alone.platform
    clock = SetClock(datetime(2026, 11, 21, 12, tzinfo=UTC))

    async def scene() -> None:
        writer = platform.writer(PRODUCTION, clock)
        await sealed_rounds(platform, 1)
        await writer.append()
        await writer.publish()
        await sealed_rounds(platform, 1, "later")
        await writer.append()
        clock.moment -= timedelta(seconds=2)
        with pytest.raises(ClockBehindError, match="before the newest checkpoint's"):
            await writer.publish()
        clock.moment += timedelta(seconds=2)
        assert await writer.publish(), "the same second is no step back"
        times = [checkpoint.cosigned_time_s for checkpoint in await checkpoints(platform)]
        assert times == [int(clock.moment.timestamp())] * 2

    alone.run(scene())


async def test_origin_and_keys_stay_what_they_were_at_the_first_start(platform: Platform) -> None:
    async with platform.database.connection() as connection:
        before = await key_lines(connection)
        await ensure_log(platform.database, platform.vault, PRODUCTION, "other.example/log")
        assert await key_lines(connection) == before
    rows = await platform.fetch("SELECT origin FROM logs ORDER BY 1")
    assert [row["origin"] for row in rows] == [
        "proof.example/production",
        "proof.example/sandbox",
    ]
