"""A log with witnesses is closed where the quorum saw it last, whatever is left of it here."""

from typing import Any

import pytest
from tests.db.timestamps.test_log_writer import roll_back, sealed_rounds
from tests.db.timestamps.test_witnessed import Scene, play
from tests.support.application import Stage
from tests.support.fake_witness import Reply
from tests.support.retiring import retire

from proof.timestamps.anchors.log import queries, retired
from proof.timestamps.anchors.log.final import FinalUnknownError, ForkedLogError
from proof.timestamps.anchors.log.keys import public_keys
from proof.timestamps.anchors.log.keys import signer as signer_of
from proof.timestamps.anchors.log.mark import LogRolledBackError
from proof.timestamps.anchors.log.quorum import QuorumMissingError
from proof.timestamps.anchors.log.retired import RetiredLog
from proof.timestamps.anchors.log.retirement import Order
from proof.timestamps.anchors.log.service import PolicyMissingError
from proof.timestamps.anchors.log.verifiers import served_policy
from proof.verify import verify_checkpoint
from proof.verify.evidence.log.note import checkpoint_body, signed_note
from proof.verify.evidence.log.rfc6962 import EMPTY_ROOT

ORIGIN = "proof.example/production"
LOST = Order("the disk failed", log=ORIGIN)


async def published(it: Scene, count: int, label: str) -> None:
    writer = it.writer()
    await sealed_rounds(it.platform, count, label)
    await writer.append()
    assert await writer.publish()


async def closed(it: Scene, order: Order = LOST, **options: Any) -> RetiredLog:
    options.setdefault("policy", it.policy)
    return await retire(
        it.platform.database, it.platform.vault, it.platform.folder, order, **options
    )


async def restored_to(it: Scene, size: int) -> None:
    """The database as a backup from the checkpoint of that size has it."""
    await roll_back(it.platform, size)
    await sealed_rounds(it.platform, 1, "after the backup")
    writer = it.writer()
    await writer.append()
    with pytest.raises(LogRolledBackError):
        await writer.publish()


async def served(it: Scene) -> Any:
    async with it.platform.database.connection() as connection:
        return await served_policy(connection, "production")


def test_what_was_lost_here_is_fetched_from_witnesses(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        await published(it, 4, "kept")
        await published(it, 5, "lost")
        before = await served(it)
        await restored_to(it, 4)
        it.found[2].fault = lambda _body, _reply: Reply(500)
        found = await closed(it)
        assert (found.size, found.kept_size, found.reason) == (9, 4, LOST.reason)
        checkpoint = verify_checkpoint(found.note, before)
        assert checkpoint.log_key is not None
        assert checkpoint.quorum_reached
        assert await it.leases() == 0
        # What verifiers are told to trust has both logs, and asks no less of the second.
        policy = await served(it)
        assert {log.key.name for log in policy.logs} == {ORIGIN, f"{ORIGIN}/2"}
        assert policy.quorum == before.quorum

    play(alone, act)


def test_where_witnesses_leave_it_open_nothing_is_closed(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        await published(it, 4, "kept")
        newest = (await it.platform.call("GET", "/log/checkpoint")).body
        for each in it.found[:2]:
            each.fault = lambda _body, _reply: Reply(500)
        with pytest.raises(
            FinalUnknownError, match=r"4 entries were published.*w0-0 does not tell"
        ):
            await closed(it)
        with pytest.raises(PolicyMissingError, match="PROOF_LOG_POLICY_FILE"):
            await closed(it, policy=None)
        assert await it.leases() == 0
        async with it.platform.database.connection() as connection:
            assert await retired.logs(connection, "production") == []
        # Whoever knows it from elsewhere may say so.
        found = await closed(it, Order("moved", log=ORIGIN, vouched=newest))
        assert (found.size, found.kept_size) == (4, 4)

    play(alone, act)


def test_witnesses_of_two_histories_are_named(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        await published(it, 4, "kept")
        async with it.platform.database.connection() as connection:
            head = await queries.head(connection, "production")
            signer = await signer_of(connection, it.platform.vault, head.log_id)
        body = checkpoint_body(ORIGIN, 4, bytes(32))
        other = signed_note(body, [signer.log.sign(body), it.found[0].keys[0].cosign(body, 9)])
        it.found[0].note = other
        with pytest.raises(ForkedLogError, match="two roots for 4 entries"):
            await closed(it)
        assert await it.leases() == 0

    play(alone, act)


def test_the_successor_waits_for_witnesses_that_do_not_know_it_yet(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        await published(it, 4, "first")
        found = await closed(it, Order("rotation", log=ORIGIN))
        assert (found.size, found.kept_size) == (4, 4)
        writer = it.writer()
        with pytest.raises(QuorumMissingError):
            await writer.publish()
        assert (await it.platform.call("GET", "/log/checkpoint")).status == 404
        assert (await it.platform.call("GET", "/log/retired/1/checkpoint")).body == found.note
        async with it.platform.database.connection() as connection:
            head = await queries.head(connection, "production")
            (key, *_) = await public_keys(connection, head.log_id)
        for each in it.found:
            each.log_key, each.size, each.root, each.note = key, 0, EMPTY_ROOT, b""
        assert await writer.publish()
        checkpoint = verify_checkpoint(
            (await it.platform.call("GET", "/log/checkpoint")).body, await served(it)
        )
        assert (checkpoint.origin, checkpoint.size) == (f"{ORIGIN}/2", 1)
        assert checkpoint.quorum_reached

    play(alone, act)
