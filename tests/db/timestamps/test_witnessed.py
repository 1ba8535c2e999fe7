"""A log with witnesses: nothing is published without the quorum, and nothing waits for more than it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.db.api.operators import operator
from tests.db.timestamps.test_log_writer import checkpoints, roll_back, sealed_rounds
from tests.support.application import Platform, Stage
from tests.support.fake_witness import FakeWitness, Reply, fake_witness
from tests.support.partners import execute, issued, tamper
from tests.support.pipeline import owner

from proof.core.clock import SystemClock
from proof.partners.access.operators import OperatorScope
from proof.partners.types import Environment, PartnerEnvironment
from proof.timestamps.anchors.health import parts
from proof.timestamps.anchors.log import keys, queries
from proof.timestamps.anchors.log.mark import LogRolledBackError, Marks
from proof.timestamps.anchors.log.policy import NO_WITNESSES, read_policy, without_urls
from proof.timestamps.anchors.log.quorum import Pauses, QuorumMissingError
from proof.timestamps.anchors.log.service import LogWriter, PolicyMissingError
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.proofs.errors import UnsoundProofError
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.types import Currency
from proof.verify.evidence.log.note import COSIGNER_KEY, VerifierKey, parse_note
from proof.verify.evidence.log.policy import Policy, parse_policy

PRODUCTION = Environment.PRODUCTION
AT_ONCE = Pauses(0, 0)


@dataclass
class Scene:
    """A platform whose production log has three witnesses, two of which are a quorum."""

    platform: Platform
    found: list[FakeWitness]
    policy: Policy
    writers: list[LogWriter] = field(default_factory=list)

    def writer(self, folder: Path | None = None) -> LogWriter:
        made = LogWriter(
            self.platform.database,
            self.platform.vault,
            SystemClock(),
            PRODUCTION,
            Marks(folder or self.platform.folder),
            self.policy,
            AT_ONCE,
        )
        self.writers.append(made)
        return made

    async def close(self) -> None:
        for each in self.found:
            each.gate.set()
        for writer in self.writers:
            await writer.close()

    async def sizes(self) -> list[int]:
        return [checkpoint.size for checkpoint in await checkpoints(self.platform)]

    async def leases(self) -> int:
        return len(await self.platform.fetch("SELECT FROM log_publishers"))


async def public_keys_of(platform: Platform) -> list[VerifierKey]:
    async with platform.database.connection() as connection:
        head = await queries.head(connection, PRODUCTION)
        return await keys.public_keys(connection, head.log_id)


@contextmanager
def scene(platform: Platform, run: Callable[[Any], Any]) -> Iterator[Scene]:
    with ExitStack() as stack:
        key = run(public_keys_of(platform))[0]
        found = [
            stack.enter_context(fake_witness(f"w{n}.example", key, (COSIGNER_KEY,)))
            for n in range(3)
        ]
        lines = "".join(each.lines(f"w{n}") for n, each in enumerate(found))
        raw = f"{lines}group three 2 w0 w1 w2\nquorum three\n".encode()
        yield Scene(platform, found, read_policy(raw))


def play(alone: Stage, act: Callable[[Scene], Any]) -> None:
    with scene(alone.platform, alone.run) as item:
        try:
            alone.run(act(item))
        finally:
            alone.run(item.close())


def test_a_checkpoint_has_the_quorum_and_our_own_cosignatures(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        it.found[1].gate.clear()
        for count in (1, 5):
            await sealed_rounds(it.platform, count, f"of {count}")
            await writer.append()
            assert await writer.publish()
            assert not await writer.publish()
        assert await it.sizes() == [1, 6]
        (row, *_) = await it.platform.fetch(
            "SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1"
        )
        names = [line.name for line in parse_note(row["note"].encode()).signatures]
        origin = "proof.example/production"
        assert names[:3] == [origin, f"{origin}/cosigner", f"{origin}/cosigner"]
        assert sorted(names[3:]) == ["w0.example", "w2.example"]
        assert await it.leases() == 0
        it.found[1].gate.set()

    play(alone, act)


def test_without_the_quorum_nothing_is_published_and_submissions_are_accepted(
    alone: Stage,
) -> None:
    async def act(it: Scene) -> None:
        platform = it.platform
        platform.writers[PRODUCTION] = writer = it.writer()
        for each in it.found[:2]:
            each.fault = lambda _body, _reply: Reply(500)
        token = issued(await platform.onboard()).api_key
        body = {"sha256": ["ab" * 32]}
        assert (await platform.call("POST", "/v1/timestamp", body, token=token)).status == 200
        with pytest.raises(QuorumMissingError, match="w0-0"):
            await platform.seal()
        assert (await platform.call("GET", "/log/checkpoint")).status == 404
        proof = await platform.call("GET", f"/v1/proof/{'ab' * 32}", token=token)
        assert (proof.status, await it.sizes()) == (425, [])
        assert await it.leases() == 0
        rows = await platform.fetch(
            "SELECT size, failing_since, error FROM log_witnesses ORDER BY names"
        )
        assert [row["failing_since"] is None for row in rows] == [False, False, True]
        assert [row["size"] for row in rows] == [0, 0, 1]
        assert "HTTP status 500" in rows[0]["error"]
        it.found[0].fault = None
        assert await writer.publish()
        proof = await platform.call("GET", f"/v1/proof/{'ab' * 32}", token=token)
        assert (proof.status, await it.sizes()) == (200, [1])

    play(alone, act)


def test_appending_goes_on_while_witnesses_are_asked_and_the_next_checkpoint_takes_all(
    alone: Stage,
) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        for each in it.found:
            each.gate.clear()
        await sealed_rounds(it.platform, 2)
        await writer.append()
        publishing = asyncio.create_task(writer.publish())
        await asyncio.to_thread(it.found[0].asked.acquire)
        for label in ("a", "b", "c"):
            await sealed_rounds(it.platform, 3, label)
            assert await writer.append() == 3
        assert await it.sizes() == []
        for each in it.found:
            each.gate.set()
        assert await publishing
        assert await writer.publish()
        assert await it.sizes() == [2, 11]

    play(alone, act)


def test_one_worker_publishes_at_a_time_and_another_takes_over_when_it_is_gone(
    alone: Stage,
) -> None:
    async def act(it: Scene) -> None:
        first, second = it.writer(), it.writer()
        for each in it.found:
            each.gate.clear()
        await sealed_rounds(it.platform, 2)
        await first.append()
        publishing = asyncio.create_task(first.publish())
        await asyncio.to_thread(it.found[0].asked.acquire)
        assert await second.publish() == 0.2, "it looks again soon"
        assert await it.leases() == 1
        # As if it had been frozen beyond its time.
        await execute(it.platform.database, "UPDATE log_publishers SET until = now()")
        await sealed_rounds(it.platform, 1, "later")
        await second.append()
        owners = "SELECT owner FROM log_publishers"
        before = await it.platform.fetch(owners)
        taking = asyncio.create_task(second.publish())
        while await it.platform.fetch(owners) == before:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        for each in it.found:
            each.gate.set()
        assert await publishing, "it lost its lease, and looks again"
        assert await taking
        assert await it.sizes() == [3]
        assert not await first.publish()

    play(alone, act)


def test_a_lease_of_a_process_that_died_ends_by_itself(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        await sealed_rounds(it.platform, 2)
        await writer.append()
        await execute(
            it.platform.database,
            "INSERT INTO log_publishers SELECT id, gen_random_uuid(), now() + interval '1 hour'"
            " FROM logs WHERE environment = 'production'",
        )
        assert await writer.publish() == 0.2
        await execute(it.platform.database, "UPDATE log_publishers SET until = now()")
        assert await writer.publish()

    play(alone, act)


def test_a_new_process_goes_on_from_what_each_witness_holds(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        first = it.writer()
        await sealed_rounds(it.platform, 4)
        await first.append()
        await first.publish()
        await first.close()
        before = [len(each.bodies) for each in it.found]
        await sealed_rounds(it.platform, 4, "later")
        second = it.writer()
        await second.append()
        await second.publish()
        known = await it.platform.fetch("SELECT size FROM log_witnesses WHERE size = 8")
        assert len(known) >= 2
        for each, count in zip(it.found, before, strict=True):
            asked = each.bodies[count:]
            assert not asked or asked[0].startswith((b"old 4\n", b"old 0\n"))
        assert sum(len(each.bodies) for each in it.found) <= sum(before) + 4

    play(alone, act)


def test_whoever_missed_a_checkpoint_is_offered_it_when_nothing_new_comes(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        late = it.found[2]
        late.fault = lambda _body, _reply: Reply(503)
        await sealed_rounds(it.platform, 4)
        await writer.append()
        await writer.publish()
        late.fault = None
        async with asyncio.timeout(120):
            while late.size != 4:
                assert not await writer.publish()
                await asyncio.sleep(0.01)
            while len(await it.platform.fetch("SELECT FROM log_witnesses WHERE size = 4")) != 3:
                assert not await writer.publish()
                await asyncio.sleep(0.01)

    play(alone, act)


def test_a_log_that_lost_entries_says_what_a_witness_holds(alone: Stage, tmp_path: Path) -> None:
    async def act(it: Scene) -> None:
        first = it.writer()
        await sealed_rounds(it.platform, 10)
        await first.append()
        await first.publish()
        await first.close()
        await roll_back(it.platform, 6)
        # Another machine, with a mark that never saw the ten.
        restored = it.writer(tmp_path / "stale")
        for grown in (0, 9):
            await sealed_rounds(it.platform, grown, "another history")
            await restored.append()
            with pytest.raises(LogRolledBackError) as caught:
                await restored.publish()
            assert "holds 10 entries" in caught.value.message
        assert await it.sizes() == []

    play(alone, act)


def test_fsck_compares_with_what_witnesses_hold(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        await sealed_rounds(it.platform, 10)
        await writer.append()
        await writer.publish()
        it.found[2].shows = False

        async def compared() -> tuple[dict[str, int | None], list[str]]:
            audit = await fsck(it.platform.database, lambda *_: None)
            about = [finding.what for finding in audit.findings if "witness" in finding.where]
            return {each.url: each.size for each in audit.witnesses}, about

        sizes, findings = await compared()
        assert findings == []
        assert sizes[it.found[2].url] is None
        assert 10 in sizes.values()
        await roll_back(it.platform, 6)
        sizes, findings = await compared()
        held = [each for each in it.found[:2] if each.size == 10]
        assert len(findings) == len(held) > 0
        assert "holds 10 entries of the log" in findings[0]
        assert "the database holds 6" in findings[0]

    play(alone, act)


def test_a_checkpoint_without_its_quorum_is_found_and_is_in_no_proof(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        platform = it.platform
        token = issued(await platform.onboard()).api_key
        body = {"sha256": ["ab" * 32]}
        platform.writers[PRODUCTION] = it.writer()
        await platform.call("POST", "/v1/timestamp", body, token=token)
        await platform.seal()
        path = f"/v1/proof/{'ab' * 32}"
        assert (await platform.call("GET", path, token=token)).status == 200
        (row,) = await platform.fetch("SELECT note FROM log_checkpoints")
        head, _, _ = row["note"].partition("\n— w")
        await tamper(platform.database, f"UPDATE log_checkpoints SET note = '{head}' || chr(10)")
        audit = await fsck(platform.database, lambda *_: None)
        assert any("lacks the quorum" in finding.what for finding in audit.findings)
        with pytest.raises(UnsoundProofError, match="lacks the quorum"):
            await Proofs(platform.database, SystemClock()).proof(
                await owner_of(platform), bytes.fromhex("ab" * 32), Currency.LOG
            )

    play(alone, act)


async def owner_of(platform: Platform) -> PartnerEnvironment:
    (row,) = await platform.fetch("SELECT partner_environment_id FROM submissions")
    return owner(row["partner_environment_id"])


async def policy_of(platform: Platform) -> Policy:
    answer = await platform.call("GET", "/log/policy")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"].startswith("text/plain")
    return parse_policy(answer.body)


def test_the_policy_to_verify_by_is_the_one_that_the_newest_checkpoint_was_published_by(
    alone: Stage,
) -> None:
    async def act(it: Scene) -> None:
        key, *own = await public_keys_of(it.platform)
        before = await policy_of(it.platform)
        assert [log.key for log in before.logs] == [key]
        assert [witness.key for witness in before.witnesses] == own
        assert [before.satisfied([each.name]) for each in before.witnesses] == [True, True]
        assert not before.satisfied([])
        writer = it.writer()
        await sealed_rounds(it.platform, 1)
        await writer.append()
        assert await policy_of(it.platform) == before
        await writer.publish()
        after = await policy_of(it.platform)
        assert [log.key for log in after.logs] == [key]
        assert after.witnesses == without_urls(it.policy).witnesses
        assert (after.groups, after.quorum) == (it.policy.groups, it.policy.quorum)

    play(alone, act)


def test_who_is_missing_is_told_and_since_when(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        platform, writer = it.platform, it.writer()
        token = (await operator(platform, OperatorScope.READ)).token

        async def status() -> dict[str, Any]:
            answer = await platform.call("GET", "/statusz", token=token)
            return {part["part"]: part for part in answer.json["parts"]}

        assert "without witnesses" in (await status())["production log"]["note"]
        it.found[1].fault = lambda _body, _reply: Reply(500)
        it.found[2].gate.clear()
        await sealed_rounds(platform, 3)
        await writer.append()
        publishing = asyncio.create_task(writer.publish())
        await asyncio.to_thread(it.found[1].asked.acquire)
        it.found[2].gate.set()
        await publishing
        async with asyncio.timeout(120):
            while not await platform.fetch("SELECT FROM log_witnesses WHERE error IS NOT NULL"):
                await writer.publish()
        found = await status()
        names = [f"production witness {each.url}" for each in it.found]
        assert [found[name]["ok"] for name in names] == [True] * 3, "it may pass"
        assert found["production log"]["note"] is None
        await execute(
            platform.database,
            "UPDATE log_witnesses SET failing_since = '2026-11-21T12:00Z' WHERE error IS NOT NULL",
        )
        found = await status()
        assert [found[name]["ok"] for name in names] == [True, False, True]
        said = found[names[1]]["reason"]
        assert said.startswith("has not cosigned since 2026-11-21 12:00")
        assert "HTTP status 500" in said
        metrics = (await platform.call("GET", "/metrics", token=token)).body.decode()
        for url, size in ((it.found[0].url, 3.0), (it.found[1].url, 0.0)):
            assert (
                f'proof_witness_size{{environment="production",witness="{url}"}} {size}' in metrics
            )
        failing = [line for line in metrics.splitlines() if "failing_seconds{" in line]
        assert sorted(float(line.split()[-1]) > 30 for line in failing) == [False, False, True]

    play(alone, act)


def test_a_process_without_the_policy_does_not_publish_without_witnesses(alone: Stage) -> None:
    async def act(it: Scene) -> None:
        writer = it.writer()
        await sealed_rounds(it.platform, 1)
        await writer.append()
        await writer.publish()
        await writer.close()
        await sealed_rounds(it.platform, 1, "later")
        unsaid = it.platform.writer(PRODUCTION)
        await unsaid.append()
        with pytest.raises(PolicyMissingError, match="PROOF_LOG_POLICY_FILE"):
            await unsaid.publish()
        explicit = LogWriter(
            it.platform.database,
            it.platform.vault,
            SystemClock(),
            PRODUCTION,
            Marks(it.platform.folder),
            NO_WITNESSES,
        )
        assert await explicit.publish()
        log, *_ = [part for part in await parts(it.platform.database) if part.name.endswith(" log")]
        assert log.note == "without witnesses, as its policy says: none"
        texts = await it.platform.fetch("SELECT size, policy FROM log_policies ORDER BY size")
        assert [row["size"] for row in texts] == [1, 2]
        assert texts[1]["policy"] == b"quorum none\n"
        assert b"http" not in texts[0]["policy"]

    play(alone, act)
