"""Hashes on their way into chains, without HTTP: the committer, the worker's steps, a clock of our own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.fake_chain import FakeNetwork
from tests.support.pipeline import ORIGIN, VAULT, owner, work

from proof.db import Database
from proof.partners.types import Environment
from proof.timestamps.anchors.anchoring import Anchorer, Schedule
from proof.timestamps.anchors.chain import Chain
from proof.timestamps.anchors.kinds import Pace
from proof.timestamps.anchors.log.service import ensure_log
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.committer import Committer
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.types import Chains, Currency, Receipt, SubmitStatus
from proof.verify import Established, verify_payload
from proof.verify.evidence.bitcoin.networks import TEST_NETWORKS
from proof.verify.trust import ChainTrust

PRODUCTION = Environment.PRODUCTION
BLOCK, BLOCKS = timedelta(minutes=10), 3
SCHEDULE = Schedule(every=timedelta(minutes=10), replace_after=timedelta(hours=1))


class HandClock:
    """Stands still until it is moved, ahead of the database's own clock."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC) + timedelta(minutes=1)

    def now(self) -> datetime:
        return self.moment

    def pass_(self, duration: timedelta) -> None:
        self.moment += duration


class Anchorage:
    """One environment with one chain. `start` before use, `stop` after."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        chain: Chain,
        schedule: Schedule = SCHEDULE,
    ) -> None:
        self.database = database
        self.folder = folder
        self.clock = HandClock()
        self.chains: Chains = {PRODUCTION: (chain.currency,)}
        self.currency = chain.currency
        self.schedule = schedule
        self.anchorer = self.another(chain)
        self.committer = Committer(database, self.chains)
        pace = Pace(schedule.every, BLOCK, BLOCKS)
        paces = {(PRODUCTION, chain.currency): pace}
        self.proofs = Proofs(database, self.clock, self.chains, paces)

    def another(self, chain: Chain) -> Anchorer:
        """A worker's anchoring: a new process, or a second one."""
        return Anchorer(self.database, self.clock, PRODUCTION, chain, self.schedule)

    async def start(self) -> None:
        await ensure_log(self.database, VAULT, PRODUCTION, ORIGIN)
        self.committer.start()

    async def stop(self) -> None:
        await self.committer.close()

    async def submit(self, *digests: bytes, identity: int = 1) -> Receipt:
        submissions = Submissions(self.database, self.committer)
        return await submissions.submit(owner(identity), list(digests))

    async def turn(self) -> None:
        """Rounds are sealed and logged, and the chain's turn comes."""
        await work(self.database, self.folder)
        self.clock.pass_(self.schedule.every)
        await self.anchorer.step()

    async def anchored(self, digest: bytes, network: FakeNetwork) -> Receipt:
        """A hash goes all the way into a block with two more upon it."""
        receipt = await self.submit(digest)
        await self.turn()
        network.mine(3)
        await self.anchorer.step()
        return receipt

    async def status(self, digest: bytes, identity: int = 1) -> SubmitStatus:
        """Of the chain's tree that holds it."""
        found = await self.proofs.status(owner(identity), digest)
        (status,) = (tree.status for tree in found.trees if tree.currency is self.currency)
        return status

    async def proven(self, digest: bytes, blocks: Sequence[str], identity: int = 1) -> Established:
        """The proof as given out, verified against blocks the network has."""
        raw = await self.proofs.proof(owner(identity), digest, self.currency)
        trusted = frozenset(bytes.fromhex(block)[::-1] for block in blocks)
        established = verify_payload(
            raw, chains=ChainTrust(bitcoin_blocks=trusted, networks=TEST_NETWORKS)
        )
        assert established.tied
        assert established.leaf == digest
        return established

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return await connection.fetch(query, *values)

    async def trouble(self) -> str | None:
        """What the operator is told."""
        rows = await self.fetch("SELECT message FROM chain_troubles")
        return rows[0]["message"] if rows else None


def digest_of(label: object) -> bytes:
    return sha256(str(label).encode()).digest()


def tree_of(receipt: Receipt, currency: Currency) -> UUID:
    """The tree of that chain that a submission was told."""
    (found,) = (tree.tree_id for tree in receipt.trees if tree.currency is currency)
    return found
