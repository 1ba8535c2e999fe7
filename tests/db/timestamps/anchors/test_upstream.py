"""Trees of one Proof in another, which is a real one, and in one in memory that can be told anything."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.anchors import PRODUCTION, Anchorage, digest_of, tree_of
from tests.support.chain_suite import ROOTS, ChainLab, opened
from tests.support.middleman import instead, lost, middleman, unanswered
from tests.support.partners import issued
from tests.support.pipeline import owner
from tests.support.served_platform import ServedPlatform, platform_served
from tests.support.upstream_lab import (
    FakeUpstream,
    UpstreamChainSuite,
    UpstreamLab,
    fake_lab,
    said,
)

from proof.db import Database
from proof.db.embedded import EmbeddedCluster
from proof.timestamps.anchors.chain import NodeDownError
from proof.timestamps.anchors.overview import EnabledChain, overview
from proof.timestamps.proofs.audit import fsck
from proof.timestamps.types import Currency, SubmitStatus
from proof.verify import Established, parse_policy, verify_payload


@dataclass
class RealUpstream:
    """A partner of its own at a Proof that serves over HTTP."""

    served: ServedPlatform
    token: str
    partner_environment_id: int
    origin: str = "proof.example/production"

    def publish(self) -> None:
        self.served.run(self.served.platform.seal())

    def forget(self) -> None:
        raise NotImplementedError("what it answered for is durable")

    def hashes(self) -> int:
        """How many it was given."""
        counted = "SELECT count(*) FROM submissions WHERE partner_environment_id = $1"
        rows = self.served.run(self.served.platform.fetch(counted, self.partner_environment_id))
        found: int = rows[0][0]
        return found


@pytest.fixture(scope="module")
def served(
    cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedPlatform]:
    with platform_served(cluster, tmp_path_factory.mktemp("upper")) as found:
        yield found


@pytest.fixture
def upstream(served: ServedPlatform) -> RealUpstream:
    partner = served.run(served.platform.onboard(f"Lower {secrets.token_hex(4)}"))
    own = issued(partner, PRODUCTION)
    return RealUpstream(served, own.api_key, own.partner_environment_id)


@pytest.fixture
def lab(upstream: RealUpstream) -> Iterator[UpstreamLab]:
    with middleman(upstream.served.url) as between:
        yield UpstreamLab(upstream, between)


class TestRealUpstream(UpstreamChainSuite):
    """Every promise of a chain, kept with a real Proof."""

    async def test_what_the_network_forgot_is_broadcast_again(self, lab: ChainLab) -> None:
        """It forgets nothing; a call that never came is made again."""
        assert isinstance(lab, UpstreamLab)
        async with opened(lab.chain()) as chain:
            candidate = await chain.build(ROOTS, [])
            lab.between.faults["/v1/timestamp"] = [lost]
            with pytest.raises(NodeDownError):
                await chain.broadcast(candidate)
            assert (await chain.poll([candidate])).status is SubmitStatus.UNSUBMITTED
            await chain.broadcast(candidate)
            assert (await chain.poll([candidate])).status is SubmitStatus.SUBMITTED


@asynccontextmanager
async def anchorage(database: Database, folder: Path, lab: UpstreamLab, **settings: Any) -> Any:
    chain = lab.chain(**settings)
    found = Anchorage(database, folder, chain)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
        await chain.close()


def verified(raw: bytes, served: ServedPlatform) -> Established:
    answer = served.run(served.platform.call("GET", "/log/policy"))
    return verify_payload(raw, policy=parse_policy(answer.body))


async def test_from_the_submission_to_the_upstreams_time(
    lab: UpstreamLab, served: ServedPlatform, database: Database, tmp_path: Path
) -> None:
    async with anchorage(database, tmp_path, lab) as lower:
        digest = digest_of("proved above")
        receipt = await lower.submit(digest)
        assert [tree.currency for tree in receipt.trees] == [Currency.LOG, Currency.UPSTREAM]
        await lower.turn()
        assert await lower.status(digest) is SubmitStatus.SUBMITTED
        lab.upstream.publish()
        await lower.anchorer.step()
        assert await lower.status(digest) is SubmitStatus.VERIFIED
        raw = await lower.proofs.proof(owner(), digest, Currency.UPSTREAM)
        established = verified(raw, served)
        assert (established.leaf, established.remaining) == (digest, ())
        assert established.signed_by == lab.upstream.origin
        claimed = established.claimed
        assert established.timestamp_ms == claimed.timestamp_ms
        assert claimed.tree_id == str(tree_of(receipt, Currency.UPSTREAM))
        assert claimed.transaction == established.root.hex()
        assert not verify_payload(raw).tied
        enabled = EnabledChain(PRODUCTION, lower.anchorer._chain, lower.schedule)
        shown = await overview(database, enabled)
        assert (shown.other_side, shown.trouble, shown.waiting) == ("upstream", None, 0)
        assert shown.last_anchor is not None
        assert shown.last_anchor.status is SubmitStatus.VERIFIED
        assert (await fsck(database, lambda *_: None)).findings == ()


@pytest.mark.parametrize("fault", [lost, unanswered], ids=["lost", "done but unanswered"])
async def test_whatever_is_lost_on_the_way_a_tree_is_one_hash_above(
    lab: UpstreamLab, upstream: RealUpstream, database: Database, tmp_path: Path, fault: Any
) -> None:
    async with anchorage(database, tmp_path, lab) as lower:
        lab.between.faults["/v1/timestamp"] = [fault, fault]
        digest = digest_of(f"again {fault.__name__}")
        await lower.submit(digest)
        await lower.turn()
        assert "the upstream does not answer" in (await lower.trouble() or "")
        await lower.anchorer.step()
        await lower.anchorer.step()
        upstream.publish()
        await lower.anchorer.step()
        assert await lower.status(digest) is SubmitStatus.VERIFIED
        assert await lower.trouble() is None
        assert upstream.hashes() == 1


async def test_while_the_upstream_is_away_hashes_are_taken_and_then_it_catches_up(
    lab: UpstreamLab, served: ServedPlatform, database: Database, tmp_path: Path
) -> None:
    async with anchorage(database, tmp_path, lab) as lower:
        lab.stop()
        digests = [digest_of(("away", n)) for n in range(3)]
        for digest in digests:
            await lower.submit(digest)
            await lower.turn()
            assert await lower.status(digest) is SubmitStatus.UNSUBMITTED
        assert "the upstream does not answer" in (await lower.trouble() or "")
        lab.start()
        for _ in range(2):
            await lower.anchorer.step()
            lab.upstream.publish()
            await lower.anchorer.step()
            await lower.turn()
        lab.upstream.publish()
        await lower.anchorer.step()
        assert await lower.trouble() is None
        for digest in digests:
            raw = await lower.proofs.proof(owner(), digest, Currency.UPSTREAM)
            assert verified(raw, served).leaf == digest


async def test_a_key_that_is_revoked_stops_its_trees_until_there_is_another(
    lab: UpstreamLab, database: Database, tmp_path: Path
) -> None:
    async with anchorage(database, tmp_path, lab) as lower:
        right = lab.upstream.token
        lab.between.faults["/whoami"] = [instead(said(401, "the credential is unknown"))]
        digest = digest_of("revoked")
        await lower.submit(digest)
        await lower.turn()
        told = await lower.trouble() or ""
        assert "does not accept the api_key" in told
        assert right.split("_")[3] not in told
        await lower.anchorer.step()
        lab.upstream.publish()
        await lower.anchorer.step()
        assert await lower.status(digest) is SubmitStatus.VERIFIED


@dataclass
class Below:
    """A tree of `lower` with the digest in it, whose root an upstream in memory has put into its log; its
    Bitcoin is to come."""

    lab: UpstreamLab
    upstream: FakeUpstream
    lower: Anchorage
    digest: bytes


@asynccontextmanager
async def below(database: Database, folder: Path, label: str) -> AsyncIterator[Below]:
    with fake_lab() as lab:
        assert isinstance(lab.upstream, FakeUpstream)
        async with anchorage(database, folder, lab, currency=Currency.BTC) as lower:
            digest = digest_of(label)
            await lower.submit(digest)
            await lower.turn()
            lab.upstream.publish()
            await lower.anchorer.step()
            yield Below(lab, lab.upstream, lower, digest)


async def test_the_proof_of_the_upstreams_bitcoin_takes_the_place_of_its_logs(
    database: Database, tmp_path: Path
) -> None:
    async with below(database, tmp_path, "deeper") as made:
        lower, digest = made.lower, made.digest
        first = await proof(lower, digest)
        assert first["evidence"]["proof"]["evidence"]["type"] == "log"
        await lower.anchorer.step()
        assert await proof(lower, digest) == first
        made.upstream.confirm()
        await lower.anchorer.step()
        second = await proof(lower, digest)
        assert second["evidence"]["proof"]["evidence"]["type"] == "bitcoin"
        assert second["branch"] == first["branch"]
        assert second["tree"]["transaction"] == first["tree"]["transaction"]
        events = await lower.fetch("SELECT 1 FROM outbox WHERE type = 'timestamp.tree'")
        assert len(events) == 2
        settled = await lower.fetch("SELECT settled FROM trees WHERE evidence IS NOT NULL")
        assert [row["settled"] for row in settled] == [True]
        lower.clock.pass_(timedelta(days=1))
        asked = len(made.lab.between.asked)
        await lower.anchorer.step()
        assert len(made.lab.between.asked) == asked


async def test_another_worker_asks_again_and_finds_the_same(
    database: Database, tmp_path: Path
) -> None:
    """It remembers nothing of the proof in the log, and publishes nothing twice."""
    async with below(database, tmp_path, "two workers") as made:
        lower = made.lower
        async with opened(made.lab.chain(currency=Currency.BTC)) as chain:
            another = lower.another(chain)
            await another.step()
            await another.step()
            made.upstream.confirm()
            await another.step()
        await lower.anchorer.step()
        events = await lower.fetch("SELECT 1 FROM outbox WHERE type = 'timestamp.tree'")
        assert len(events) == 2
        found = await proof(lower, made.digest)
        assert found["evidence"]["proof"]["evidence"]["type"] == "bitcoin"


async def proof(lower: Anchorage, digest: bytes) -> Any:
    return json.loads(await lower.proofs.proof(owner(), digest, Currency.UPSTREAM))
